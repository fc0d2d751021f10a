//! NODE_UPDATE: another profile, and the node's own fields. What is attempted
//! is recorded first; whatever fails, one container is left, and the node says
//! which.

use std::sync::Arc;

use senlin_core::{
    Map,
    action::{ActionStatus, inputs::NodeUpdate},
    ids::*,
    node::{Condition, Node, NodeStatus},
    placement::{HostSnapshot, Requirements, Rules},
    profile_type::{Demand, Health, Made},
};
use senlin_db::{
    attempts::{self, Kept},
    fence::{End, NodeChange},
    members::{self, Change},
    whereabouts,
};
use senlin_policies::placement::filter::turn_away;

use super::{
    UNKNOWN, change_of, driver, id, load,
    settle::{kept, settle, settled},
};
use crate::{
    actions::{
        context::{CleanUp, Ctx, Outcome},
        retries,
    },
    failure::{self, Failure},
    hosts::profile_cache::LoadedProfile,
};

pub(crate) async fn run(ctx: &Ctx) -> Result<Outcome, Failure> {
    let (node, loaded) = load(ctx).await?;
    let profile = ctx.inputs::<NodeUpdate>()?.new_profile_id;
    if profile.is_none_or(|p| p == node.profile_id) && node.attempt.is_none() {
        // Nothing is done to what runs: its status stays.
        return end(ctx, None, None, &done(), &NodeChange::default()).await;
    }
    let ended = match attempt(ctx, node, loaded, profile).await {
        Ok((node, new, made)) => succeed(ctx, &node, &new, made).await,
        Err(failure) => Err(failure),
    };
    match ended {
        Err(failure) => fail(ctx, failure).await,
        recorded => recorded,
    }
}

/// The update itself: the node as it was, the profile it was given, and what it
/// has by it.
async fn attempt(
    ctx: &Ctx,
    node: Node,
    loaded: Arc<LoadedProfile>,
    profile: Option<ProfileId>,
) -> Result<(Node, Arc<LoadedProfile>, Made), Failure> {
    ctx.mark("mark as updating", NodeStatus::Updating, "Update in progress")
        .await?;
    let (node, loaded) = settled(ctx, node, loaded).await?;
    let mut conn = ctx.conn();
    let new = ctx
        .engine
        .profile_cache
        .load(&mut conn, profile.unwrap_or(node.profile_id))
        .await?;
    let made = change_profile(ctx, &node, &loaded, &new).await?;
    Ok((node, new, made))
}

fn done() -> End {
    End {
        status: ActionStatus::Succeeded,
        reason: "The node was updated.".to_owned(),
        outputs: Map::new(),
    }
}

/// Ends the action with the node's own fields as asked.
async fn end(
    ctx: &Ctx,
    profile: Option<ProfileId>,
    kept: Option<&Kept>,
    end: &End,
    after: &NodeChange,
) -> Result<Outcome, Failure> {
    let change = if end.status == ActionStatus::Succeeded {
        let asked: NodeUpdate = ctx.inputs()?;
        Change {
            name: asked.name,
            profile_id: profile,
            role: asked.role,
            metadata: asked.metadata,
            tainted: asked.tainted,
            ..Change::default()
        }
    } else {
        Change::default()
    };
    let cluster = if ctx.is_members_own() {
        Some(ctx.cluster_id()?)
    } else {
        None
    };
    let mut conn = ctx.conn();
    let write = members::update_node(&mut conn, ctx.fence, id(ctx), &change, kept, end, after, cluster);
    Ok(Outcome::ended(ctx.end("record the end", write).await?))
}

async fn succeed(ctx: &Ctx, node: &Node, new: &LoadedProfile, made: Made) -> Result<Outcome, Failure> {
    // The same container may be stopped, as it was before.
    let seen = if !new.kind.is_host() && node.physical_id.as_ref() == Some(&made.physical_id) {
        let seen = as_it_is(ctx, node, new, &CleanUp::new(ctx, 30)).await;
        Some(seen).filter(|seen| seen.status != Some(NodeStatus::Active))
    } else {
        None
    };
    let after = seen.unwrap_or_else(|| NodeChange {
        status: Some(NodeStatus::Active),
        reason: "Update succeeded".to_owned(),
        physical_id: Some(Some(made.physical_id.clone())),
        generation: Some(made.generation),
        ..NodeChange::default()
    });
    let kept = if new.kind.is_host() {
        None
    } else {
        Some(Kept {
            container: Some(made),
            ..kept(node, new)?
        })
    };
    end(ctx, Some(new.id), kept.as_ref(), &done(), &after).await
}

/// The intent, then the effect.
async fn change_profile(
    ctx: &Ctx,
    node: &Node,
    old: &Arc<LoadedProfile>,
    new: &LoadedProfile,
) -> Result<Made, Failure> {
    if node.physical_id.is_none() {
        return Err(Failure::Refused(format!(
            "Node '{}' has no container to update.",
            node.name
        )));
    }
    if old.type_name != new.type_name {
        return Err(Failure::Refused(format!(
            "A node of type {} cannot become one of type {}.",
            old.type_name, new.type_name
        )));
    }
    if let Demand::Host(needs) = new.demand()? {
        // Nothing moves it: what it needs must hold where it is.
        let at = whereabouts::of(&mut ctx.conn(), &[node.id]).await?;
        if let Some(why) = at.iter().find_map(|at| at.misplaced(&needs)) {
            return Err(Failure::Refused(format!(
                "Node '{}' cannot have this profile where it is: {why}. An update moves no container to another host.",
                node.name
            )));
        }
    }
    let driver = driver(ctx, node, old).await?;
    let node = match (new.demand()?, node.host_id) {
        (Demand::Host(needs), Some(host)) => {
            // The generation that is begun next must not be there already.
            let job = ctx.job(node, old, driver.clone(), ctx);
            if let Some(why) = ctx.act("look", old.kind.check(&job)).await?.unaccounted {
                return Err(Failure::Refused(why));
            }
            let mut node = node.clone();
            let mut conn = ctx.conn();
            let write = attempts::begin(&mut conn, ctx.fence, node.id, host, new.id, &needs, |there| {
                fits(there, &needs)
            });
            let attempt = ctx.record("record what is attempted", write).await??;
            node.generations = node.generations.max(attempt.generation);
            node.attempt = Some(attempt);
            node
        }
        _ => node.clone(),
    };
    Ok(old
        .kind
        .update(&ctx.job(&node, old, driver, ctx), &new.properties)
        .await?)
}

/// Whether the host that the node is on has room for its new profile. Whether
/// it answers is found out by asking it.
fn fits(host: Option<HostSnapshot>, needs: &Requirements) -> Result<(), Failure> {
    let refused =
        |name: &str, why: &str| Failure::Refused(format!("Host '{name}' cannot take the new profile: {why}."));
    let mut host = host.ok_or_else(|| refused("", "it is gone"))?;
    host.closed = false;
    host.state = senlin_core::host::HostState::Up;
    let needs = Requirements {
        host_node: None,
        host_cluster: None,
        ..needs.clone()
    };
    match turn_away(&host, &needs, &Rules::default()) {
        Some(why) => Err(refused(&host.name, why)),
        None => Ok(()),
    }
}

/// A failed update: what is left is found out, and said. If that cannot be
/// found out now, the attempt stays on record, and the node is looked at again.
async fn fail(ctx: &Ctx, failure: Failure) -> Result<Outcome, Failure> {
    if failure.is_lease_lost() || retries::again(ctx, &failure).is_some() {
        return Err(failure);
    }
    let (status, why) = ctx
        .ending()
        .unwrap_or_else(|| (ActionStatus::Failed, failure::words(&failure)));
    let (node, loaded) = load(ctx).await?;
    let steps = CleanUp::new(ctx, 30);
    let left = match node.attempt {
        Some(attempt) => settle(ctx, &node, &loaded, attempt, &steps).await.map(Some),
        None => Ok(None),
    };
    let (kept, mut after) = match left {
        Ok(Some((settled, kept))) if settled.updated => {
            // Everything was done but to say so.
            return end(
                ctx,
                None,
                Some(&kept),
                &done(),
                &NodeChange {
                    reason: "Update succeeded".to_owned(),
                    ..change_of(&settled.seen)
                },
            )
            .await;
        }
        Ok(Some((settled, kept))) => (Some(kept), change_of(&settled.seen)),
        Ok(None) => (None, as_it_is(ctx, &node, &loaded, &steps).await),
        Err(failure) if failure.is_lease_lost() || matches!(failure, Failure::Db(_)) => return Err(failure),
        Err(failure) => (None, unknown(&failure)),
    };
    let why = why.trim_end_matches('.');
    after.reason = if after.status == Some(NodeStatus::Active) {
        format!("Update failed: {why}. The node runs with its old profile.")
    } else {
        format!("{} Update failed: {why}.", after.reason)
    };
    let failed = End {
        status,
        reason: format!("{why}."),
        outputs: Map::new(),
    };
    end(ctx, None, kept.as_ref(), &failed, &after).await
}

/// The node after a failure before anything was attempted.
async fn as_it_is(ctx: &Ctx, node: &Node, loaded: &LoadedProfile, steps: &CleanUp<'_>) -> NodeChange {
    let seen = async {
        if node.host_id.is_none() && !loaded.kind.is_host() {
            return Ok(Health::Gone("It has no container.".to_owned()).into());
        }
        let driver = driver(ctx, node, loaded).await?;
        Ok::<_, Failure>(loaded.kind.check(&ctx.job(node, loaded, driver, steps)).await?)
    };
    match seen.await {
        Ok(seen) => change_of(&seen),
        Err(failure) => unknown(&failure),
    }
}

fn unknown(failure: &Failure) -> NodeChange {
    NodeChange {
        status: Some(NodeStatus::Warning),
        reason: format!("{UNKNOWN}{}", failure::words(failure)),
        condition: Some(Condition::Unknown),
        ..NodeChange::default()
    }
}

//! NODE_CREATE: a place, then the physical side.

use std::sync::Arc;

use senlin_core::{
    Map,
    action::{ActionKind, ActionStatus},
    driver::{ContainerDriver, DriverError},
    host::HostState,
    ids::ActionId,
    node::{Node, NodeStatus},
    placement::{Requirements, Rules},
    profile_type::{Demand, ProfileError},
};
use senlin_db::{
    clusters,
    fence::{End, NodeChange},
    hosts, members, placement,
};
use senlin_policies::placement::place;

use super::{
    done, driver, id, load,
    settling::{self, Settled},
};
use crate::{
    actions::{
        context::{CleanUp, Ctx, Outcome},
        retries,
    },
    decisions,
    failure::Failure,
    hosts::profile_cache::LoadedProfile,
};

pub(crate) async fn run(ctx: &Ctx) -> Result<Outcome, Failure> {
    let (node, loaded) = load(ctx).await?;
    if node.status == NodeStatus::Init
        && ctx.is_members_own()
        && let Some(parents) = admit(ctx, &node).await?
    {
        return Ok(Outcome::ended(parents));
    }
    let settled = match settling::under_way(ctx)? {
        Some(settling) => settling::look(ctx, &node, &loaded, settling).await,
        None => match ctx
            .mark("mark as creating", NodeStatus::Creating, "Creation in progress")
            .await
        {
            Ok(()) => start(ctx, node, &loaded).await,
            Err(failure) => Err(failure),
        },
    };
    match settled {
        Ok(Settled::Counts(made)) => {
            let change = NodeChange {
                status: Some(NodeStatus::Active),
                reason: made.reason,
                physical_id: Some(Some(made.physical_id)),
                created: true,
                ..NodeChange::default()
            };
            done(ctx, "The node was created.", change).await
        }
        Ok(Settled::Later(outcome)) => Ok(outcome),
        Err(failure) => {
            undo(ctx, &loaded, &failure).await?;
            Err(failure)
        }
    }
}

async fn start(ctx: &Ctx, node: Node, loaded: &LoadedProfile) -> Result<Settled, Failure> {
    let node = elsewhere(ctx, node, loaded).await?;
    let (physical_id, reason) = make(ctx, node, loaded).await?;
    settling::begin(ctx, loaded, physical_id, &reason).await
}

/// A node whose host has gone silent since it was chosen goes elsewhere, if it may.
async fn elsewhere(ctx: &Ctx, mut node: Node, loaded: &LoadedProfile) -> Result<Node, Failure> {
    let Some(host) = node
        .host_id
        .filter(|_| ctx.action.retries > 0 && loaded.host_node.is_none())
    else {
        return Ok(node);
    };
    let mut conn = ctx.conn();
    if hosts::get(&mut conn, host)
        .await?
        .is_some_and(|h| h.state == HostState::Unknown)
    {
        ctx.record("give the place up", placement::give_up(&mut conn, ctx.fence, node.id))
            .await?;
        node.host_id = None;
        node.generation += 1;
    }
    Ok(node)
}

/// A node that a user creates in a cluster counts as asked for, or is refused.
async fn admit(ctx: &Ctx, node: &Node) -> Result<Option<Vec<ActionId>>, Failure> {
    let refuse = |size: i32, max: i32| End {
        status: ActionStatus::Failed,
        reason: format!(
            "The target capacity ({size}) is greater than the cluster's max_size ({max}); node '{}' was not created.",
            node.name
        ),
        outputs: Map::new(),
    };
    let mut conn = ctx.conn();
    let write = members::admit(&mut conn, ctx.fence, ctx.cluster_id()?, &refuse);
    ctx.record("admit", write).await
}

/// Finds a place and fills it. Also how a recovery makes the node anew.
pub(crate) async fn make(ctx: &Ctx, mut node: Node, loaded: &LoadedProfile) -> Result<(String, String), Failure> {
    match loaded.demand()? {
        Demand::Host(needs) => {
            if node.host_id.is_none() {
                node.host_id = Some(find_place(ctx, &node, loaded, &needs).await?);
            }
            let driver = driver(ctx, &node, loaded).await?;
            let made = loaded.kind.create(&ctx.job(&node, loaded, driver, ctx)).await?;
            Ok((made, "Creation succeeded".to_owned()))
        }
        Demand::Endpoint(pool) => {
            let driver = take_endpoint(ctx, &node, pool).await?;
            let made = loaded.kind.create(&ctx.job(&node, loaded, driver.clone(), ctx)).await?;
            let info = ctx.act("ask what it is", async { Ok(driver.info().await?) }).await?;
            let mut conn = ctx.conn();
            ctx.record("record what it is", hosts::answered(&mut conn, node.id, &info))
                .await?;
            Ok((made, format!("Docker Engine {} answers.", info.engine_version)))
        }
    }
}

/// What the cluster's policies and the profile say of where it may go.
async fn rules(ctx: &Ctx, node: &Node, loaded: &LoadedProfile) -> Result<Rules, Failure> {
    let Some(id) = node.cluster_id else {
        return Ok(Rules::of(loaded.strategy()));
    };
    let mut conn = ctx.conn();
    let cluster = clusters::get(&mut conn, id)
        .await?
        .ok_or_else(|| Failure::Refused("The cluster could not be found.".to_owned()))?;
    let decision = decisions::of_node(ctx, &cluster, node.id, ActionKind::NodeCreate).await?;
    Ok(crate::decisions::rules(&decision, loaded))
}

async fn find_place(
    ctx: &Ctx,
    node: &Node,
    loaded: &LoadedProfile,
    needs: &Requirements,
) -> Result<senlin_core::ids::NodeId, Failure> {
    let rules = rules(ctx, node, loaded).await?;
    let seed = node.id.0.as_u64_pair().0 ^ u64::try_from(ctx.action.attempt).unwrap_or(0);
    let mut conn = ctx.conn();
    let write = placement::place(&mut conn, ctx.fence, node.id, node.cluster_id, needs, |hosts| {
        place(&hosts, needs, &rules, seed)
    });
    ctx.record("place", write).await?.map_err(|refusal| {
        let text = format!("No host can take the container: {refusal}");
        if refusal.may_pass() {
            Failure::NotYet(text)
        } else {
            Failure::Refused(text)
        }
    })
}

async fn take_endpoint(
    ctx: &Ctx,
    node: &Node,
    pool: Vec<senlin_core::host::Endpoint>,
) -> Result<Arc<dyn ContainerDriver>, Failure> {
    let urls: Vec<String> = pool.iter().map(|e| e.url.clone()).collect();
    let mut conn = ctx.conn();
    let taken = ctx
        .record(
            "take an endpoint",
            hosts::take_endpoint(&mut conn, ctx.fence, node.id, &urls),
        )
        .await?
        .ok_or_else(|| {
            Failure::Refused(format!(
                "All {} endpoints of the profile's pool are taken by other hosts.",
                urls.len()
            ))
        })?;
    ctx.engine.connections.forget(node.id);
    let endpoint = pool.into_iter().find(|e| e.url == taken).ok_or_else(|| {
        Failure::from(ProfileError::from(DriverError::Endpoint {
            endpoint: taken,
            reason: "its profile does not list it".to_owned(),
        }))
    })?;
    ctx.engine.connections.connect(&endpoint).await
}

/// A failed creation leaves nothing behind: what was made goes, the place is
/// free again. A silent host's share is noted, for when it answers.
async fn undo(ctx: &Ctx, loaded: &LoadedProfile, failure: &Failure) -> Result<(), Failure> {
    if failure.is_lease_lost() {
        return Ok(());
    }
    if retries::again(ctx, failure).is_some() {
        return Ok(());
    }
    let (node, _) = load(ctx).await?;
    let mut conn = ctx.conn();
    if loaded.kind.is_host() {
        ctx.end(
            "release the endpoint",
            hosts::release_endpoint(&mut conn, ctx.fence, id(ctx)),
        )
        .await?;
        return Ok(());
    }
    if node.host_id.is_none() {
        return Ok(());
    }
    let clean = CleanUp::new(ctx, 30);
    let removed = match driver(ctx, &node, loaded).await {
        Ok(driver) => loaded
            .kind
            .delete(&ctx.job(&node, loaded, driver, &clean))
            .await
            .map_err(Failure::from),
        Err(error) => Err(error),
    };
    match removed {
        Ok(()) => {
            ctx.end("free the place", placement::free(&mut conn, ctx.fence, node.id))
                .await?;
        }
        Err(error) if error.is_lease_lost() => return Err(error),
        Err(_) => {
            ctx.end("note what is left", placement::give_up(&mut conn, ctx.fence, node.id))
                .await?;
        }
    }
    Ok(())
}

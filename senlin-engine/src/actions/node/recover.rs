//! NODE_RECOVER: RESTART the container, or RECREATE it, on another host when
//! its old one does not answer.

use senlin_core::{
    action::inputs::{Common, Recover},
    node::{Node, NodeStatus},
    profile_type::Health,
};
use senlin_db::{fence::NodeChange, members, placement};

use super::{
    change_of,
    check::look,
    create::make,
    done, driver, load,
    settle::settled,
    settling::{self, Settled},
};
use crate::{
    actions::{
        context::{Ctx, Outcome},
        retries,
    },
    failure::{self, Failure},
    hosts::profile_cache::LoadedProfile,
};

/// What is left of the old container is gone; only making the new one remains.
const CLEARED: &str = "cleared";

/// The node's reason after each of the ways.
const RESTARTED: &str = "Recovered by RESTART";
const RECREATED: &str = "Recovered by RECREATE";

pub(crate) async fn run(ctx: &Ctx) -> Result<Outcome, Failure> {
    let (node, loaded) = load(ctx).await?;
    ctx.mark("mark as recovering", NodeStatus::Recovering, "Recovery in progress")
        .await?;
    let asked: Recover = ctx.inputs()?;
    let wanted = methods(&asked)?;
    if let Some(settling) = settling::under_way(ctx)? {
        let restarted = settling.reason == RESTARTED;
        let looked = settling::look(ctx, &node, &loaded, settling).await;
        return match looked {
            // The next thing that is to be tried.
            Err(failure)
                if restarted && is_final(ctx, &failure) && wanted.iter().any(|w| matches!(w, Method::Recreate)) =>
            {
                clear(ctx, &node, &loaded).await
            }
            looked => conclude(ctx, looked?).await,
        };
    }
    if ctx.action.phase == CLEARED {
        return anew(ctx, node, &loaded).await;
    }
    let (node, loaded) = match settled(ctx, node.clone(), loaded.clone()).await {
        Err(failure) if failure::host_unknown(&failure) => (node, loaded),
        other => other?,
    };
    let check = asked.check.unwrap_or(false) || wanted.is_empty();
    let seen = look(ctx, &node, &loaded).await?;
    let health = seen.health.clone();
    if check && health == Health::Healthy {
        return done(ctx, "The node is healthy: nothing to recover.", change_of(&seen)).await;
    }
    if loaded.kind.is_host() {
        return Err(Failure::Refused(format!(
            "A host cannot be recovered from here: {}",
            super::status_of(&health).1
        )));
    }
    let unasked = ctx.inputs::<Common>()?.reason.is_some();
    if let (Health::Suspended(_), true) = (&health, unasked) {
        return done(
            ctx,
            "The container was stopped or paused: it stays so.",
            change_of(&seen),
        )
        .await;
    }
    if let (Health::Unknown(_), true) = (&health, unasked && !asked.host_lost.unwrap_or(false)) {
        // Unknown is not failed: nobody asked for another one.
        return done(
            ctx,
            "What became of it is not known: nothing is done until it is.",
            change_of(&seen),
        )
        .await;
    }
    let gone = matches!(health, Health::Gone(_) | Health::Unknown(_));
    let tries = match wanted.as_slice() {
        [] if gone => vec![Method::Recreate],
        [] => vec![Method::Restart],
        // What is not there cannot be restarted, if something else is to be tried too.
        [Method::Restart, rest @ ..] if gone && !rest.is_empty() => rest.to_vec(),
        all => all.to_vec(),
    };
    let mut failed = None;
    for method in tries {
        let tried = match method {
            Method::Restart => restart(ctx, &node, &loaded).await,
            Method::Recreate => {
                // Its next generation may be the one that is there.
                return match seen.unaccounted {
                    Some(why) => Err(Failure::Refused(why)),
                    None => clear(ctx, &node, &loaded).await,
                };
            }
        };
        match tried {
            Err(failure) if is_final(ctx, &failure) => failed = Some(failure),
            other => return other,
        }
    }
    Err(failed.unwrap_or_else(|| Failure::Refused("There is nothing to try.".to_owned())))
}

/// Whether something else is to be tried, and not the same again.
fn is_final(ctx: &Ctx, failure: &Failure) -> bool {
    failure.interrupt().is_none() && retries::again(ctx, failure).is_none()
}

#[derive(Debug, Clone, Copy)]
enum Method {
    Restart,
    Recreate,
}

/// The operations asked for, in order. REBOOT and REBUILD are Senlin's words for servers.
fn methods(asked: &Recover) -> Result<Vec<Method>, Failure> {
    asked
        .operations
        .iter()
        .chain(&asked.operation)
        .map(|name| match name.to_uppercase().as_str() {
            "RESTART" | "REBOOT" => Ok(Method::Restart),
            "RECREATE" | "REBUILD" => Ok(Method::Recreate),
            _ => Err(Failure::Refused(format!(
                "Recovery operation '{name}' is unknown: RESTART or RECREATE."
            ))),
        })
        .collect()
}

async fn restart(ctx: &Ctx, node: &Node, loaded: &LoadedProfile) -> Result<Outcome, Failure> {
    let driver = driver(ctx, node, loaded).await?;
    let seen = loaded
        .kind
        .operate(&ctx.job(node, loaded, driver, ctx), "restart", &senlin_core::Map::new())
        .await?;
    if seen.health != Health::Healthy {
        return Err(Failure::Refused(format!(
            "Recovery by RESTART failed: {}",
            super::status_of(&seen.health).1
        )));
    }
    let id = seen.found.map_or_else(
        || node.physical_id.clone().unwrap_or_default(),
        |found| found.physical_id,
    );
    conclude(ctx, settling::begin(ctx, loaded, id, RESTARTED).await?).await
}

/// It counts, or is given its time.
async fn conclude(ctx: &Ctx, settled: Settled) -> Result<Outcome, Failure> {
    let made = match settled {
        Settled::Counts(made) => made,
        Settled::Later(outcome) => return Ok(outcome),
    };
    let restarted = made.reason == RESTARTED;
    let text = if restarted {
        "The node was recovered by RESTART."
    } else {
        "The node was recovered by RECREATE."
    };
    let change = NodeChange {
        status: Some(NodeStatus::Active),
        reason: made.reason,
        physical_id: Some(Some(made.physical_id)),
        created: !restarted,
        ..NodeChange::default()
    };
    done(ctx, text, change).await
}

/// Clears what is left of the old container. A host that does not answer is
/// given up: its container goes when it returns, and the new one elsewhere.
async fn clear(ctx: &Ctx, node: &Node, loaded: &LoadedProfile) -> Result<Outcome, Failure> {
    let removed = match node.host_id {
        None => Ok(()),
        Some(_) => match driver(ctx, node, loaded).await {
            Ok(driver) => loaded
                .kind
                .delete(&ctx.job(node, loaded, driver, ctx))
                .await
                .map_err(Failure::from),
            Err(failure) => Err(failure),
        },
    };
    let mut conn = ctx.conn();
    match removed {
        Ok(()) => {}
        Err(failure) if failure::host_unknown(&failure) && loaded.host_node.is_none() => {
            ctx.record("give the place up", placement::give_up(&mut conn, ctx.fence, node.id))
                .await?;
        }
        Err(failure) => return Err(failure),
    }
    ctx.record(
        "count the generation",
        members::next_generation(&mut conn, ctx.fence, node.id, CLEARED),
    )
    .await?;
    Ok(Outcome::Next(CLEARED.to_owned()))
}

async fn anew(ctx: &Ctx, node: Node, loaded: &LoadedProfile) -> Result<Outcome, Failure> {
    let (physical_id, _) = make(ctx, node, loaded).await?;
    conclude(ctx, settling::begin(ctx, loaded, physical_id, RECREATED).await?).await
}

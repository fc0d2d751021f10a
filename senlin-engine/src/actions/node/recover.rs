//! NODE_RECOVER: RESTART the container, or RECREATE it, on another host when
//! its old one does not answer.

use senlin_core::{
    node::{Node, NodeStatus},
    profile_type::Health,
};
use senlin_db::{
    fence::{self, NodeChange},
    members, placement,
};

use super::{check::look, create::make, done, driver, load};
use crate::{
    context::{Ctx, Failure, Outcome},
    specs::Loaded,
    worker,
};

/// What is left of the old container is gone; only making the new one remains.
const CLEARED: &str = "cleared";

pub(crate) async fn run(ctx: &Ctx) -> Result<Outcome, Failure> {
    let (node, loaded) = load(ctx).await?;
    let mut conn = ctx.conn().await?;
    ctx.record(
        "mark as recovering",
        fence::node_status(&mut conn, ctx.fence, NodeStatus::Recovering, "Recovery in progress"),
    )
    .await?;
    drop(conn);
    if ctx.action.phase == CLEARED {
        return anew(ctx, node, &loaded).await;
    }
    let wanted = wish(ctx)?;
    let check = ctx.input::<bool>("check")?.unwrap_or(false) || wanted.is_none();
    let health = look(ctx, &node, &loaded).await?;
    if check && health == Health::Healthy {
        let change = NodeChange {
            status: Some(NodeStatus::Active),
            reason: "The node is healthy.".to_owned(),
            ..NodeChange::default()
        };
        return done(ctx, "The node is healthy: nothing to recover.", change).await;
    }
    if loaded.kind.is_host() {
        return Err(Failure::Refused(format!(
            "A host cannot be recovered from here: {}",
            super::status_of(&health).1
        )));
    }
    let wish = wanted.unwrap_or(match health {
        Health::Unhealthy(_) | Health::Suspended(_) | Health::Healthy => Wish::Restart,
        Health::Gone(_) | Health::Unknown(_) => Wish::Recreate,
    });
    match wish {
        Wish::Restart => restart(ctx, &node, &loaded).await,
        Wish::Recreate => clear(ctx, &node, &loaded).await,
    }
}

#[derive(Debug, Clone, Copy)]
enum Wish {
    Restart,
    Recreate,
}

/// The operation asked for. REBOOT and REBUILD are Senlin's words for servers.
fn wish(ctx: &Ctx) -> Result<Option<Wish>, Failure> {
    let Some(operation) = ctx.input::<String>("operation")? else {
        return Ok(None);
    };
    match operation.to_uppercase().as_str() {
        "RESTART" | "REBOOT" => Ok(Some(Wish::Restart)),
        "RECREATE" | "REBUILD" => Ok(Some(Wish::Recreate)),
        _ => Err(Failure::Refused(format!(
            "Recovery operation '{operation}' is unknown: RESTART or RECREATE."
        ))),
    }
}

async fn restart(ctx: &Ctx, node: &Node, loaded: &Loaded) -> Result<Outcome, Failure> {
    let driver = driver(ctx, node, loaded).await?;
    let health = loaded
        .kind
        .operate(&ctx.job(node, loaded, driver, ctx), "restart", &senlin_core::Map::new())
        .await?;
    if health != Health::Healthy {
        return Err(Failure::Refused(format!(
            "Recovery by RESTART failed: {}",
            super::status_of(&health).1
        )));
    }
    let change = NodeChange {
        status: Some(NodeStatus::Active),
        reason: "Recovered by RESTART".to_owned(),
        ..NodeChange::default()
    };
    done(ctx, "The node was recovered by RESTART.", change).await
}

/// Clears what is left of the old container. A host that does not answer is
/// given up: its container goes when it returns, and the new one elsewhere.
async fn clear(ctx: &Ctx, node: &Node, loaded: &Loaded) -> Result<Outcome, Failure> {
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
    let mut conn = ctx.conn().await?;
    match removed {
        Ok(()) => {}
        Err(failure) if worker::host_unknown(&failure) && loaded.host_node.is_none() => {
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

async fn anew(ctx: &Ctx, node: Node, loaded: &Loaded) -> Result<Outcome, Failure> {
    let (physical_id, _) = make(ctx, node, loaded).await?;
    let change = NodeChange {
        status: Some(NodeStatus::Active),
        reason: "Recovered by RECREATE".to_owned(),
        physical_id: Some(Some(physical_id)),
        created: true,
        ..NodeChange::default()
    };
    done(ctx, "The node was recovered by RECREATE.", change).await
}

//! NODE_CHECK: looks, and sets the node's status to what is true.

use senlin_core::{
    action::ActionStatus,
    node::{Node, NodeStatus},
    profile_type::Health,
};
use senlin_db::fence::NodeChange;

use super::{driver, ended, load, status_of};
use crate::{
    context::{Ctx, Failure, Outcome},
    specs::Loaded,
    worker,
};

pub(crate) async fn run(ctx: &Ctx) -> Result<Outcome, Failure> {
    let (node, loaded) = load(ctx).await?;
    let health = look(ctx, &node, &loaded).await?;
    let (status, reason) = status_of(&health);
    let change = NodeChange {
        status: Some(status),
        reason: reason.clone(),
        physical_id: matches!(health, Health::Gone(_)).then_some(None),
        ..NodeChange::default()
    };
    let ended_as = if status == NodeStatus::Error {
        ActionStatus::Failed
    } else {
        ActionStatus::Succeeded
    };
    let text = if status == NodeStatus::Error {
        format!("Node check failed: {reason}")
    } else {
        reason
    };
    ended(ctx, ended_as, &text, change).await
}

/// What is true of the node. A host that does not answer makes it unknown.
pub(crate) async fn look(ctx: &Ctx, node: &Node, loaded: &Loaded) -> Result<Health, Failure> {
    if node.host_id.is_none() && !loaded.kind.is_host() {
        return Ok(Health::Gone("It has no container.".to_owned()));
    }
    let seen = match driver(ctx, node, loaded).await {
        Ok(driver) => {
            let job = ctx.job(node, loaded, driver, ctx);
            ctx.act("look", async { loaded.kind.check(&job).await }).await
        }
        Err(failure) => Err(failure),
    };
    match seen {
        Err(failure) if worker::host_unknown(&failure) => Ok(Health::Unknown(failure.to_string())),
        other => other,
    }
}

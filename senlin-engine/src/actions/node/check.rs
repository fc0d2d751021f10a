//! NODE_CHECK: looks, and sets the node's status to what is true.

use senlin_core::{
    action::ActionStatus,
    node::{Node, NodeStatus},
    profile_type::{Health, Seen},
};

use super::{change_of, driver, ended, load, settle::settled};
use crate::{
    actions::context::{Ctx, Outcome},
    failure::{self, Failure},
    hosts::profile_cache::LoadedProfile,
};

pub(crate) async fn run(ctx: &Ctx) -> Result<Outcome, Failure> {
    let (node, loaded) = load(ctx).await?;
    let (node, loaded) = match settled(ctx, node.clone(), loaded.clone()).await {
        Err(failure) if failure::host_unknown(&failure) => (node, loaded),
        other => other?,
    };
    let change = change_of(&look(ctx, &node, &loaded).await?);
    let (status, reason) = (change.status, change.reason.clone());
    let ended_as = if status == Some(NodeStatus::Error) {
        ActionStatus::Failed
    } else {
        ActionStatus::Succeeded
    };
    let text = if status == Some(NodeStatus::Error) {
        format!("Node check failed: {reason}")
    } else {
        reason
    };
    ended(ctx, ended_as, &text, change).await
}

/// What is true of the node. A host that does not answer makes it unknown.
pub(crate) async fn look(ctx: &Ctx, node: &Node, loaded: &LoadedProfile) -> Result<Seen, Failure> {
    if node.host_id.is_none() && !loaded.kind.is_host() {
        return Ok(Health::Gone("It has no container.".to_owned()).into());
    }
    let seen = match driver(ctx, node, loaded).await {
        Ok(driver) => {
            let job = ctx.job(node, loaded, driver, ctx);
            ctx.act("look", async { loaded.kind.check(&job).await }).await
        }
        Err(failure) => Err(failure),
    };
    match seen {
        Err(failure) if failure::host_unknown(&failure) => Ok(Health::Unknown(failure.to_string()).into()),
        other => other,
    }
}

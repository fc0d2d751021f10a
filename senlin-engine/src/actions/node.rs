//! Actions on one node.

use std::sync::Arc;

use senlin_core::{
    Map,
    action::ActionStatus,
    driver::ContainerDriver,
    ids::*,
    node::{Node, NodeStatus},
    profile_type::{Health, ProfileError, Seen},
};
use senlin_db::fence::{End, NodeChange};

use crate::{
    actions::context::{Ctx, Outcome},
    failure::Failure,
    hosts::profile_cache::LoadedProfile,
};

pub mod check;
pub mod create;
pub mod delete;
pub mod join;
pub mod leave;
pub mod operation;
pub mod recover;
mod settle;
pub mod settling;
pub mod update;

/// The action's node and its profile.
pub(crate) async fn load(ctx: &Ctx) -> Result<(Node, Arc<LoadedProfile>), Failure> {
    let node = ctx
        .many(|many| &many.nodes, ctx.action.target.into())
        .await?
        .ok_or_else(|| Failure::Refused("The node could not be found.".to_owned()))?;
    let mut conn = ctx.conn();
    let loaded = ctx.engine.profile_cache.load(&mut conn, node.profile_id).await?;
    Ok((node, loaded))
}

/// The driver of the host that the node is on (a host's node is on itself).
pub(crate) async fn driver(
    ctx: &Ctx,
    node: &Node,
    loaded: &LoadedProfile,
) -> Result<Arc<dyn ContainerDriver>, Failure> {
    let host = if loaded.kind.is_host() {
        Some(node.id)
    } else {
        node.host_id
    };
    let host = host.ok_or_else(|| {
        Failure::from(ProfileError::State(format!(
            "Node '{}' has no container: it was never placed.",
            node.name
        )))
    })?;
    let mut conn = ctx.conn();
    ctx.engine
        .connections
        .driver(&mut conn, &ctx.engine.profile_cache, host)
        .await
}

/// Ends the action well.
pub(crate) async fn done(ctx: &Ctx, reason: &str, change: NodeChange) -> Result<Outcome, Failure> {
    ended(ctx, ActionStatus::Succeeded, reason, change).await
}

/// Ends the action.
pub(crate) async fn ended(
    ctx: &Ctx,
    status: ActionStatus,
    reason: &str,
    change: NodeChange,
) -> Result<Outcome, Failure> {
    let mut outputs = Map::new();
    if let Some(Some(id)) = &change.physical_id {
        outputs.insert("physical_id".to_owned(), id.clone().into());
    }
    let end = End {
        status,
        reason: reason.to_owned(),
        outputs,
    };
    let parents = ctx.end("record the end", ctx.finish(end, change)).await?;
    Ok(Outcome::ended(parents))
}

/// How the reason of a node begins that nobody knows anything of.
pub(crate) const UNKNOWN: &str = "Unknown: ";

/// What a node's health makes of its status.
pub(crate) fn status_of(health: &Health) -> (NodeStatus, String) {
    match health {
        Health::Healthy => (NodeStatus::Active, "The node is healthy.".to_owned()),
        Health::Exited(why) | Health::Unhealthy(why) | Health::Unresponsive(why) | Health::Gone(why) => {
            (NodeStatus::Error, why.clone())
        }
        Health::Suspended(why) => (NodeStatus::Warning, why.clone()),
        // Unknown is not failed.
        Health::Unknown(why) => (NodeStatus::Warning, format!("{UNKNOWN}{why}")),
    }
}

/// What was seen is what the node's record gets: status, id and generation.
pub(crate) fn change_of(seen: &Seen) -> NodeChange {
    let (status, reason) = status_of(&seen.health);
    let found = seen.found.as_ref();
    NodeChange {
        status: Some(status),
        reason,
        condition: Some(seen.health.condition()),
        physical_id: match seen.health {
            Health::Gone(_) => Some(None),
            _ => found.map(|f| Some(f.physical_id.clone())),
        },
        generation: found.map(|f| f.generation),
        ..NodeChange::default()
    }
}

/// The node's target id.
pub(crate) fn id(ctx: &Ctx) -> NodeId {
    ctx.action.target.into()
}

//! One file per resource of the contract; the same word names it in every layer.

pub mod actions;
pub mod alerts;
pub mod build_info;
pub mod cluster_policies;
pub mod clusters;
pub mod events;
pub mod nodes;
pub mod own;
pub mod policies;
pub mod policy_types;
pub mod profile_types;
pub mod profiles;
pub mod receivers;
pub mod services;
pub(crate) mod specs;
pub mod targets;
pub mod unaccounted;
pub mod versions;
pub mod webhooks;

use senlin_core::{
    Map,
    action::{ActionKind, ActionStatus, Cause, LockScope, NewAction},
    ids::*,
};
use senlin_db::actions::{Obstacle, submit};

use crate::{
    error::{ApiError, Result},
    request::Call,
};

/// Refuses what would give a project more nodes than it may have.
pub(crate) async fn room_for(call: &Call, project: &str, more: i32) -> Result<()> {
    let most = call.api.settings.max_nodes_per_project;
    if more <= 0 {
        return Ok(());
    }
    let have = senlin_db::nodes::count(&mut *call.conn().await?, project).await?;
    if have.saturating_add(i64::from(more)) > most {
        return Err(ApiError::OverQuota(format!(
            "nodes: a project may have {most}, this one has {have}, and {more} more are asked for"
        )));
    }
    Ok(())
}

/// The target of a new action.
pub(crate) struct Target<'a> {
    pub(crate) id: uuid::Uuid,
    pub(crate) cluster: Option<ClusterId>,
    pub(crate) host: Option<NodeId>,
    pub(crate) project: &'a str,
    pub(crate) timeout: i32,
}

/// The action as it will be recorded.
pub(crate) fn action(call: &Call, kind: ActionKind, target: &Target<'_>, inputs: Map) -> NewAction {
    let short: String = target.id.to_string().chars().take(8).collect();
    let lock_scope = match (kind.is_cluster(), target.cluster) {
        (true, _) => LockScope::Cluster,
        (false, Some(_)) => LockScope::Member,
        (false, None) => LockScope::Node,
    };
    NewAction {
        id: ActionId::random(),
        name: format!("{}_{short}", kind.as_str().to_lowercase()),
        kind,
        target: target.id,
        cluster_id: target.cluster,
        parent_id: None,
        cause: Cause::Rpc,
        lock_scope,
        host_id: target.host,
        status: ActionStatus::Ready,
        inputs,
        timeout: target.timeout,
        user: call.caller.user.clone(),
        project: target.project.to_owned(),
        request_id: call.caller.request_id.clone(),
        hook: None,
    }
}

/// Records an action and wakes workers; `exclusive` refuses while another one
/// on the same target has not ended.
pub(crate) async fn record(call: &Call, action: &NewAction, name: &str, exclusive: bool) -> Result<ActionId> {
    let mut conn = call.conn().await?;
    let kind = if action.kind.is_cluster() { "cluster" } else { "node" };
    match submit(&mut conn, action, exclusive).await? {
        Ok(()) => {
            call.api.wake(&[action.id], &call.caller.request_id);
            Ok(action.id)
        }
        Err(Obstacle::Gone) => Err(ApiError::NotFound {
            kind,
            identity: name.to_owned(),
        }),
        Err(Obstacle::Locked) => Err(ApiError::Locked {
            action: action.kind.as_str(),
            kind,
            identity: action.target.to_string(),
        }),
        Err(Obstacle::Active(with)) => Err(ApiError::ActionConflict {
            target: name.to_owned(),
            with,
        }),
    }
}

/// How a resource words what is wrong with a body of one key (tempest reads them).
pub(crate) struct Words {
    pub(crate) none: &'static str,
    pub(crate) many: &'static str,
    pub(crate) shape: &'static str,
}

impl Words {
    pub(crate) const OPERATION: Self = Self {
        none: "No operation specified.",
        many: "Multiple operations specified.",
        shape: "The params provided is not a map.",
    };
}

/// The one key of a body such as `{"resize": {…}}`, and its map if it has one.
pub(crate) fn only_key(body: Option<&Map>, words: &Words) -> Result<(String, Option<Map>)> {
    let mut keys = body.into_iter().flatten();
    let (key, value) = keys.next().ok_or_else(|| ApiError::BadRequest(words.none.to_owned()))?;
    if keys.next().is_some() {
        return Err(ApiError::BadRequest(words.many.to_owned()));
    }
    let params = match value {
        serde_json::Value::Object(map) => Some(map.clone()),
        serde_json::Value::Null => Some(Map::new()),
        _ => None,
    };
    Ok((key.clone(), params))
}

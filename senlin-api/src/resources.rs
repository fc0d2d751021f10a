//! One file per resource of the contract; the same word names it in every layer.

pub mod actions;
pub mod alerts;
pub mod build_info;
pub mod cluster_policies;
pub mod clusters;
pub mod events;
pub mod node_self;
pub mod nodes;
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

use actix_web::HttpResponse;
use senlin_core::{
    action::{ActionKind, ActionStatus, Cause, LockScope, NewAction, inputs},
    ids::*,
};
use senlin_db::{
    actions::{Obstacle, Terms, accept},
    idempotency::Stored,
    quota::Full,
};

use serde::Serialize;

use crate::{
    error::{ApiError, Result},
    request::Call,
};

/// The refusal of what would give a project more nodes than it may have.
pub(crate) fn no_room(call: &Call, full: Full) -> ApiError {
    ApiError::OverQuota(format!(
        "nodes: a project may have {}, this one has {}, and {} more are asked for",
        call.api.settings.max_nodes_per_project, full.have, full.more
    ))
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
pub(crate) fn action(call: &Call, kind: ActionKind, target: &Target<'_>, inputs: &impl Serialize) -> NewAction {
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
        inputs: inputs::write(inputs),
        timeout: target.timeout,
        user: call.caller.user.clone(),
        project: target.project.to_owned(),
        request_id: call.caller.request_id.clone(),
        hook: None,
    }
}

/// Records an action on the object of that name, wakes workers, and answers
/// what the call is told, now and when it is repeated with its key.
pub(crate) async fn record(
    call: &Call,
    action: &NewAction,
    name: &str,
    terms: Terms,
    answer: Stored,
) -> Result<HttpResponse> {
    let kind = if action.kind.is_cluster() { "cluster" } else { "node" };
    let answer = |_: &ActionId| answer.clone();
    let accepted = accept(&mut call.conn(), action, terms, &call.store_response(&answer)).await?;
    match accepted {
        Ok(()) => {
            call.api.wake(&[action.id], &call.caller.request_id);
            Ok(call.answer(&answer(&action.id)))
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
        Err(Obstacle::Full(full)) => Err(no_room(call, full)),
    }
}

/// Terms of an action that no other one on its target may be beside.
pub(crate) const ALONE: Terms = Terms {
    exclusive: true,
    size: None,
};

/// Terms of an action that does not wait for others, such as a deletion.
pub(crate) const BESIDE: Terms = Terms {
    exclusive: false,
    size: None,
};

/// Refuses a size that is more than a cluster may have here.
pub(crate) fn size(call: &Call, key: &str, asked: Option<i32>) -> Result<Option<i32>> {
    let most = call.api.settings.max_nodes_per_cluster;
    match asked {
        Some(size) if size > most => Err(ApiError::BadRequest(format!(
            "Value must be <= {most} for field '{key}'."
        ))),
        other => Ok(other),
    }
}

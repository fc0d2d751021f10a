//! Policies that come and go.

use senlin_core::{
    action::{ActionKind, inputs},
    cluster::Cluster,
    policy::Policy,
};
use senlin_db::bindings::{self, Wanted};
use senlin_openapi::{
    bodies::{PolicyBinding, PolicyRef},
    values::Flag,
};

use super::{Planned, refuse};
use crate::{
    error::{ApiError, Result},
    request::Call,
    resources::{clusters::find, policies},
};

struct Target {
    cluster: Cluster,
    policy: Policy,
}

async fn target(call: &Call, identity: &str) -> Result<Target> {
    let cluster = find(call, &call.identity).await?;
    let policy = policies::find(call, identity).await.map_err(|error| match error {
        ApiError::NotFound { identity, .. } => {
            ApiError::BadRequest(format!("The specified policy '{identity}' could not be found."))
        }
        other => other,
    })?;
    Ok(Target { cluster, policy })
}

/// Refuses a policy that is not attached.
async fn attached(call: &Call, target: &Target) -> Result<()> {
    let all = bindings::list(&mut call.conn(), target.cluster.id, &Wanted::default()).await?;
    if all.iter().any(|b| b.policy_id == target.policy.id) {
        Ok(())
    } else {
        refuse(format!(
            "The policy '{}' is not attached to the specified cluster '{}'.",
            target.policy.id, target.cluster.id
        ))
    }
}

fn planned(target: &Target, kind: ActionKind, verb: &str, enabled: Option<Flag>) -> Planned {
    let inputs = inputs::Policy {
        policy_id: target.policy.id,
        enabled: enabled.map(|enabled| enabled.0),
    };
    Planned {
        name: Some(format!("{verb}_policy_{}", target.cluster.id.short())),
        ..Planned::new(&target.cluster, kind, &inputs)
    }
}

pub(super) async fn attach(call: &Call, binding: PolicyBinding) -> Result<Planned> {
    let target = target(call, &binding.policy_id.0).await?;
    let enabled = binding.enabled.unwrap_or(Flag(true));
    Ok(planned(
        &target,
        ActionKind::ClusterAttachPolicy,
        "attach",
        Some(enabled),
    ))
}

pub(super) async fn detach(call: &Call, policy: PolicyRef) -> Result<Planned> {
    let target = target(call, &policy.policy_id.0).await?;
    attached(call, &target).await?;
    Ok(planned(&target, ActionKind::ClusterDetachPolicy, "detach", None))
}

pub(super) async fn update(call: &Call, binding: PolicyBinding) -> Result<Planned> {
    let target = target(call, &binding.policy_id.0).await?;
    attached(call, &target).await?;
    Ok(planned(
        &target,
        ActionKind::ClusterUpdatePolicy,
        "update",
        binding.enabled,
    ))
}

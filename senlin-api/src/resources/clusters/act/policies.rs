//! Policies that come and go.

use senlin_core::{Map, action::ActionKind, cluster::Cluster, policy::Policy};
use senlin_db::bindings::{self, Wanted};
use serde_json::json;

use super::{Planned, refuse};
use crate::{
    error::{ApiError, Result},
    fields::Fields,
    request::Call,
    resources::{clusters::find, policies},
};

struct Target {
    cluster: Cluster,
    policy: Policy,
    enabled: Option<bool>,
}

async fn target(call: &Call, params: Map, allowed: &[&str]) -> Result<Target> {
    let fields = Fields::new(params, allowed)?;
    fields.required("policy_id")?;
    let Some(identity) = fields.text("policy_id")? else {
        return refuse("'policy_id' cannot be null.".to_owned());
    };
    let enabled = fields.boolean("enabled")?;
    let cluster = find(call, &call.identity).await?;
    let policy = policies::find(call, &identity).await.map_err(|error| match error {
        ApiError::NotFound { identity, .. } => {
            ApiError::BadRequest(format!("The specified policy '{identity}' could not be found."))
        }
        other => other,
    })?;
    Ok(Target {
        cluster,
        policy,
        enabled,
    })
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

fn planned(target: &Target, kind: ActionKind, verb: &str, enabled: Option<bool>) -> Planned {
    let mut inputs = Map::from_iter([("policy_id".to_owned(), json!(target.policy.id))]);
    if let Some(enabled) = enabled {
        inputs.insert("enabled".to_owned(), enabled.into());
    }
    Planned {
        name: Some(format!("{verb}_policy_{}", target.cluster.id.short())),
        ..Planned::new(&target.cluster, kind, inputs)
    }
}

pub(super) async fn attach(call: &Call, params: Map) -> Result<Planned> {
    let target = target(call, params, &["policy_id", "enabled"]).await?;
    let enabled = target.enabled.unwrap_or(true);
    Ok(planned(
        &target,
        ActionKind::ClusterAttachPolicy,
        "attach",
        Some(enabled),
    ))
}

pub(super) async fn detach(call: &Call, params: Map) -> Result<Planned> {
    let target = target(call, params, &["policy_id"]).await?;
    attached(call, &target).await?;
    Ok(planned(&target, ActionKind::ClusterDetachPolicy, "detach", None))
}

pub(super) async fn update(call: &Call, params: Map) -> Result<Planned> {
    let target = target(call, params, &["policy_id", "enabled"]).await?;
    attached(call, &target).await?;
    Ok(planned(
        &target,
        ActionKind::ClusterUpdatePolicy,
        "update",
        target.enabled,
    ))
}

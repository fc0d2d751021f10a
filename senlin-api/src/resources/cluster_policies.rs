//! Policies attached to a cluster.

use actix_web::HttpResponse;
use senlin_core::policy::Binding;
use senlin_db::{
    bindings::{self, Wanted},
    page::Direction,
};
use senlin_openapi as wire;
use serde_json::{Value, json};

use super::{clusters, policies};
use crate::{
    error::{ApiError, Result},
    lists,
    request::Call,
};

/// `GET /v1/clusters/{id}/policies`
pub async fn list(call: Call) -> Result<HttpResponse> {
    let mut wanted = Wanted::default();
    for (key, value) in &call.query {
        match key.as_str() {
            "enabled" => wanted.enabled = Some(lists::boolean("enabled", value)?),
            "policy_name" => wanted.names.push(value.clone()),
            "policy_type" => wanted.types.push(value.clone()),
            "sort" => {
                let keys = lists::sort(value, &[("enabled", "enabled")])?;
                wanted.by_enabled = keys.first().map(|(_, direction): &(_, Direction)| *direction);
            }
            other => return Err(ApiError::BadRequest(format!("Invalid parameter {other}"))),
        }
    }
    let cluster = clusters::find(&call, &call.identity).await?;
    let found = bindings::list(&mut call.conn(), cluster.id, &wanted).await?;
    let shown: Vec<Value> = found.iter().map(|b| wire::binding(b, call.version)).collect();
    Ok(call.ok(&json!({"cluster_policies": shown})))
}

/// `GET /v1/clusters/{id}/policies/{policy}`
pub async fn show(call: Call) -> Result<HttpResponse> {
    call.no_query()?;
    let cluster = clusters::find(&call, &call.identity).await?;
    let policy = policies::find(&call, &call.sub).await?;
    let all = bindings::list(&mut call.conn(), cluster.id, &Wanted::default()).await?;
    let binding: Option<Binding> = all.into_iter().find(|b| b.policy_id == policy.id);
    let binding = binding.ok_or_else(|| ApiError::NotAttached {
        policy: call.sub.clone(),
        cluster: call.identity.clone(),
    })?;
    Ok(call.ok(&json!({"cluster_policy": wire::binding(&binding, call.version)})))
}

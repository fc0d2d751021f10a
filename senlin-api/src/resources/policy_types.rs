//! Policy types.

use actix_web::HttpResponse;
use senlin_openapi::{Microversion, versions};
use senlin_policies::engine::{PolicyType, full_name};
use serde_json::{Value, json};

use super::profile_types::support;
use crate::{
    error::{ApiError, Result},
    request::Call,
};

/// The version that brought a type.
fn since(kind: &dyn PolicyType) -> Microversion {
    let (major, minor) = kind.since();
    Microversion(major, minor)
}

/// `GET /v1/policy-types`
pub async fn list(call: Call) -> Result<HttpResponse> {
    call.no_query()?;
    let detailed = call.version >= versions::SUPPORT_STATUS;
    let types: Vec<Value> = call
        .api
        .policies
        .iter()
        .filter(|t| since(t.as_ref()) <= call.version)
        .map(|t| {
            if detailed {
                json!({"name": t.name(), "version": t.version(), "support_status": support(t.version(), t.support())})
            } else {
                json!({"name": full_name(t.as_ref())})
            }
        })
        .collect();
    Ok(call.ok(&json!({"policy_types": types})))
}

/// `GET /v1/policy-types/{type}`
pub async fn show(call: Call) -> Result<HttpResponse> {
    call.no_query()?;
    let kind = call
        .api
        .policies
        .find(&call.identity)
        .filter(|t| since(t.as_ref()) <= call.version)
        .ok_or_else(|| ApiError::NotFound {
            kind: "policy_type",
            identity: call.identity.clone(),
        })?;
    let mut shown = json!({"name": call.identity, "schema": kind.schema().to_senlin()});
    if call.version >= versions::SUPPORT_STATUS
        && let Value::Object(map) = &mut shown
    {
        map.insert("support_status".to_owned(), support(kind.version(), kind.support()));
    }
    Ok(call.ok(&json!({"policy_type": shown})))
}

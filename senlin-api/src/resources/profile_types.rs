//! Profile types.

use actix_web::HttpResponse;
use senlin_core::{
    Map,
    profile_type::{ProfileType, Support},
};
use senlin_openapi::versions;
use serde_json::{Value, json};

use crate::{
    error::{ApiError, Result},
    request::Call,
};

/// A type's life, as lists show it.
pub(crate) fn support(version: &str, life: &[Support]) -> Value {
    let list: Vec<Value> = life
        .iter()
        .map(|s| json!({"status": s.status, "since": s.since}))
        .collect();
    json!({ version: list })
}

/// `GET /v1/profile-types`
pub async fn list(call: Call) -> Result<HttpResponse> {
    call.no_query()?;
    let detailed = call.version >= versions::SUPPORT_STATUS;
    let types: Vec<Value> = call
        .api
        .registry
        .iter()
        .map(|t| {
            if detailed {
                json!({"name": t.name(), "version": t.version(), "support_status": support(t.version(), t.support())})
            } else {
                json!({"name": format!("{}-{}", t.name(), t.version())})
            }
        })
        .collect();
    Ok(call.ok(&json!({"profile_types": types})))
}

/// `GET /v1/profile-types/{type}`
pub async fn show(call: Call) -> Result<HttpResponse> {
    let kind = find(&call)?;
    let mut shown = json!({"name": call.identity, "schema": kind.schema().to_senlin()});
    if call.version >= versions::SUPPORT_STATUS
        && let Value::Object(map) = &mut shown
    {
        map.insert("support_status".to_owned(), support(kind.version(), kind.support()));
    }
    Ok(call.ok(&json!({"profile_type": shown})))
}

fn find(call: &Call) -> Result<&dyn ProfileType> {
    call.api
        .registry
        .find(&call.identity)
        .map(AsRef::as_ref)
        .ok_or_else(|| ApiError::NotFound {
            kind: "profile_type",
            identity: call.identity.clone(),
        })
}

/// `GET /v1/profile-types/{type}/ops`
pub async fn ops(call: Call) -> Result<HttpResponse> {
    let kind = find(&call)?;
    let operations: Map = kind
        .operations()
        .into_iter()
        .map(|o| {
            let mut parameters = o.parameters.to_senlin();
            if let Value::Object(map) = &mut parameters {
                for parameter in map.values_mut().filter_map(Value::as_object_mut) {
                    parameter.remove("updatable");
                }
            }
            (
                o.name.to_owned(),
                json!({"description": o.description, "parameters": parameters}),
            )
        })
        .collect();
    Ok(call.ok(&json!({"operations": operations})))
}

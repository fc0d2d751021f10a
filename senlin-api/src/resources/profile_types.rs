//! Profile types.

use actix_web::HttpResponse;
use senlin_core::{
    Map,
    profile_type::ProfileType,
    types::{Meta, Registry, SpecType},
};
use senlin_openapi::{Microversion, versions};
use serde_json::{Value, json};

use crate::{
    error::{ApiError, Result},
    request::Call,
};

/// A type's life, as answers show it.
fn support(meta: &Meta) -> Value {
    let life = meta.support.iter();
    let life: Vec<Value> = life.map(|s| json!({"status": s.status, "since": s.since})).collect();
    json!({ meta.version: life })
}

fn is_known(call: &Call, meta: &Meta) -> bool {
    Microversion(meta.since.0, meta.since.1) <= call.version
}

/// The types that the call's version knows.
pub(crate) fn listed<T: SpecType + ?Sized>(call: &Call, registry: &Registry<T>) -> Vec<Value> {
    let detailed = call.version >= versions::SUPPORT_STATUS;
    let known = registry.iter().map(|t| t.meta()).filter(|meta| is_known(call, meta));
    known
        .map(|meta| {
            if detailed {
                json!({"name": meta.name, "version": meta.version, "support_status": support(meta)})
            } else {
                json!({"name": meta.full_name()})
            }
        })
        .collect()
}

/// The type that the path names.
pub(crate) fn found<'a, T: SpecType + ?Sized>(
    call: &Call,
    registry: &'a Registry<T>,
    kind: &'static str,
) -> Result<&'a T> {
    let found = registry.find(&call.identity).map(AsRef::as_ref);
    found
        .filter(|t| is_known(call, t.meta()))
        .ok_or_else(|| ApiError::NotFound {
            kind,
            identity: call.identity.clone(),
        })
}

/// One type, with its schema.
pub(crate) fn shown<T: SpecType + ?Sized>(call: &Call, kind: &T) -> Value {
    let mut shown = json!({"name": call.identity, "schema": kind.schema().to_senlin()});
    if call.version >= versions::SUPPORT_STATUS
        && let Value::Object(map) = &mut shown
    {
        map.insert("support_status".to_owned(), support(kind.meta()));
    }
    shown
}

/// `GET /v1/profile-types`
pub async fn list(call: Call) -> Result<HttpResponse> {
    call.no_query()?;
    Ok(call.ok(&json!({"profile_types": listed(&call, &call.api.registry)})))
}

/// `GET /v1/profile-types/{type}`
pub async fn show(call: Call) -> Result<HttpResponse> {
    let kind = find(&call)?;
    Ok(call.ok(&json!({"profile_type": shown(&call, kind)})))
}

fn find(call: &Call) -> Result<&dyn ProfileType> {
    found(call, &call.api.registry, "profile_type")
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

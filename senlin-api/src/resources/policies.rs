//! Policies.

use actix_web::HttpResponse;
use senlin_core::{ids::*, policy::Policy, profile::Spec};
use senlin_db::policies::{self as db, NewPolicy};
use senlin_openapi::{self as wire, bodies};
use serde_json::{Value, json};

use super::specs;
use crate::{
    error::{ApiError, Result},
    lists::{ListSpec, parse_list},
    request::Call,
};

const LIST: ListSpec = ListSpec {
    filters: &[("name", "name"), ("type", "type")],
    sort: &[
        ("type", "type"),
        ("name", "name"),
        ("created_at", "created_at"),
        ("updated_at", "updated_at"),
    ],
    own: &[],
    allowed: |_, _| true,
    quote: false,
};

/// `GET /v1/policies`
pub async fn list(call: Call) -> Result<HttpResponse> {
    let query = parse_list(&call, &LIST)?;
    let found = db::list(&mut call.conn(), &query.scope, &query.filters, &query.page).await?;
    let shown: Vec<Value> = found.iter().map(wire::policy).collect();
    Ok(call.ok(&json!({"policies": shown})))
}

/// The policy that an identity means.
pub(crate) async fn find(call: &Call, identity: &str) -> Result<Policy> {
    db::find(&mut call.conn(), &call.scope(), identity)
        .await?
        .ok_or_else(|| ApiError::NotFound {
            kind: "policy",
            identity: identity.to_owned(),
        })
}

/// `GET /v1/policies/{id}`
pub async fn show(call: Call) -> Result<HttpResponse> {
    let policy = find(&call, &call.identity).await?;
    Ok(call.ok(&json!({"policy": wire::policy(&policy)})))
}

/// A spec that its type accepts.
fn check(call: &Call, spec: Value) -> Result<Spec> {
    let spec = specs::read::<bodies::PolicySpec>(spec)?;
    let full = spec.full_type();
    let kind = call.api.policies.find(&full).ok_or(ApiError::NotFound {
        kind: "policy_type",
        identity: full,
    })?;
    let properties = kind.schema().check(&spec.properties)?;
    kind.validate(&properties)?;
    Ok(spec)
}

/// `POST /v1/policies`
pub async fn create(call: Call) -> Result<HttpResponse> {
    let bodies::NewPolicy { name, spec } = call.envelope("policy")?;
    let spec = check(&call, spec)?;
    let new = NewPolicy {
        id: PolicyId::random(),
        name: name.0,
        type_name: spec.full_type(),
        spec: serde_json::to_value(spec).map_err(|e| ApiError::Internal(e.to_string()))?,
        user: call.caller.user.clone(),
        project: call.caller.project.clone(),
        domain: call.caller.domain.clone(),
    };
    let answer = |made: &Policy| call.created(json!({"policy": wire::policy(made)}));
    let policy = db::create(&mut call.conn(), &new, &call.store_response(&answer)).await?;
    Ok(call.answer(&answer(&policy)))
}

/// `POST /v1/policies/validate`
pub async fn validate(call: Call) -> Result<HttpResponse> {
    let bodies::PolicySpecOnly { spec } = call.envelope("policy")?;
    let spec = check(&call, spec)?;
    Ok(call.ok(&json!({"policy": {
        "id": null, "name": "validated_policy", "type": spec.full_type(), "user": call.caller.user,
        "project": call.caller.project, "domain": call.caller.domain, "spec": spec, "data": {},
        "created_at": null, "updated_at": null,
    }})))
}

/// `PATCH /v1/policies/{id}`
pub async fn update(call: Call) -> Result<HttpResponse> {
    let bodies::PolicyChange { name } = call.change("policy")?;
    let policy = find(&call, &call.identity).await?;
    if name.0 == policy.name {
        return Err(ApiError::BadRequest("No property needs an update.".to_owned()));
    }
    let mut conn = call.conn();
    db::rename(&mut conn, policy.id, &name.0).await?;
    let policy = find(&call, &policy.id.to_string()).await?;
    Ok(call.ok(&json!({"policy": wire::policy(&policy)})))
}

/// `DELETE /v1/policies/{id}`
pub async fn delete(call: Call) -> Result<HttpResponse> {
    let policy = find(&call, &call.identity).await?;
    match db::delete(&mut call.conn(), policy.id).await {
        Ok(()) => Ok(HttpResponse::NoContent().finish()),
        Err(error) if error.is_in_use() => Err(ApiError::InUse {
            kind: "policy",
            identity: call.identity.clone(),
            reason: "still attached to some clusters".to_owned(),
        }),
        Err(error) => Err(error.into()),
    }
}

//! `POST /v1/webhooks/{id}/trigger`: a call without a token.

use actix_web::HttpResponse;
use senlin_core::{Map, caller::Caller, ids::*, receiver::Receiver};
use senlin_db::receivers;
use senlin_openapi::versions;
use serde_json::Value;
use subtle::ConstantTimeEq;

use super::{
    clusters::{self, VERBS},
    record,
};
use crate::{
    error::{ApiError, Result},
    request::{Call, PublicCall},
};

/// Does what the receiver is for, as who it acts for, with their rights of now.
pub async fn trigger(PublicCall(mut call): PublicCall) -> Result<HttpResponse> {
    let query = |call: &Call, name: &str| call.query.iter().find(|(k, _)| k == name).map(|(_, v)| v.clone());
    let version = query(&call, "V").ok_or_else(|| ApiError::BadRequest("V query parameter is required.".to_owned()))?;
    let receiver = open(&call, &query(&call, "key").unwrap_or_default()).await?;
    if !call
        .api
        .rate_limiter
        .allow(receiver.id.0, call.api.settings.webhook_rate)
    {
        return Err(ApiError::TooMany);
    }
    call.caller = actor(&call, &receiver).await?;
    if !call.may("webhooks:trigger") || !call.may("clusters:action") {
        return Err(ApiError::Forbidden);
    }
    let gone = || ApiError::NotFound {
        kind: "cluster",
        identity: receiver.cluster_id.map(|c| c.to_string()).unwrap_or_default(),
    };
    call.identity = receiver.cluster_id.ok_or_else(gone)?.to_string();
    if receiver.type_name != "webhook" {
        call.version = senlin_openapi::SENLIN_MAX;
        return super::alerts::deliver(&mut call, &receiver).await;
    }
    let inputs = inputs(&call, &receiver, &version)?;
    let kind = receiver.action.as_deref().unwrap_or_default();
    let verb = VERBS.iter().find(|(k, _)| k.as_str() == kind).map(|(_, verb)| *verb);
    let verb = verb.ok_or_else(|| ApiError::NotSupported(format!("A receiver cannot do '{kind}'.")))?;
    // The caller's version says how the body is read, not what may be done.
    call.version = senlin_openapi::SENLIN_MAX;
    let planned = clusters::triggered(&call, verb, inputs).await?;
    let (mut action, name, terms) = planned.into_action(&call);
    action.name = format!("webhook_{}", receiver.id.short());
    let answer = record(&call, &action, &name, terms, call.started(action.id)).await?;
    tracing::info!(receiver = %receiver.id, action = %action.id, "a webhook was triggered");
    Ok(answer)
}

/// The receiver, when the key opens it and its time has not passed.
async fn open(call: &Call, key: &str) -> Result<Receiver> {
    let missing = || ApiError::NotFound {
        kind: "receiver",
        identity: call.identity.clone(),
    };
    let id: ReceiverId = call.identity.parse().map_err(|_source| missing())?;
    let found = receivers::get(&mut call.conn(), id).await?;
    let receiver = found.filter(|r| r.type_name != "message").ok_or_else(missing)?;
    let own = call
        .api
        .sealer
        .open(&receiver.key)
        .map_err(|e| ApiError::Internal(e.to_string()))?;
    if !bool::from(own.expose().as_bytes().ct_eq(key.as_bytes())) {
        return Err(ApiError::Forbidden);
    }
    if receiver.expires_at.is_some_and(|end| end <= chrono::Utc::now()) {
        return Err(ApiError::Expired);
    }
    Ok(receiver)
}

/// Whom the receiver acts for, with the roles they have now.
async fn actor(call: &Call, receiver: &Receiver) -> Result<Caller> {
    let text = |key: &str, own: &str| {
        receiver
            .actor
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or(own)
            .to_owned()
    };
    let (user, project) = (text("user_id", &receiver.user), text("project_id", &receiver.project));
    let roles = call.api.auth.roles(&user, &project).await?;
    Ok(Caller {
        user,
        project,
        domain: receiver.domain.clone(),
        roles,
        // Confined to its own project, whoever made it.
        is_admin: false,
        request_id: call.caller.request_id.clone(),
    })
}

/// The stored parameters, overlaid by the body's.
fn inputs(call: &Call, receiver: &Receiver, version: &str) -> Result<Map> {
    let mut inputs = receiver.params.clone();
    let Some(mut body) = call.body.clone() else {
        return Ok(inputs);
    };
    if version == "1" && call.version < versions::WEBHOOK_BODY {
        if let Some(key) = body.keys().find(|k| *k != "params") {
            return Err(ApiError::BadRequest(format!(
                "Additional properties are not allowed ('{key}' was unexpected)"
            )));
        }
        body = match body.remove("params") {
            Some(Value::Object(params)) => params,
            None | Some(Value::Null) => Map::new(),
            Some(other) => {
                return Err(ApiError::BadRequest(format!(
                    "The value '{other}' of 'params' is not a map."
                )));
            }
        };
    }
    inputs.extend(body);
    Ok(inputs)
}

//! `POST /v1/webhooks/{id}/trigger`: a call without a token.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use actix_web::HttpResponse;
use senlin_core::{Map, caller::Caller, ids::*, receiver::Receiver};
use senlin_db::receivers;
use senlin_openapi::Microversion;
use serde_json::Value;
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::{clusters, receivers::VERBS, record};
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
    let planned = clusters::plan(&call, verb, inputs).await?;
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

/// The stored parameters, overlaid by the body's (contract/api, section 5).
fn inputs(call: &Call, receiver: &Receiver, version: &str) -> Result<Map> {
    let mut inputs = receiver.params.clone();
    let Some(mut body) = call.body.clone() else {
        return Ok(inputs);
    };
    if version == "1" && call.version < Microversion(1, 10) {
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

/// How often each receiver was called, or node has reported, at this server.
#[derive(Default)]
pub(crate) struct RateLimiter(Mutex<HashMap<Uuid, (f64, Instant)>>);

/// Receivers that are kept count of at most.
const MAX_COUNTED_RECEIVERS: usize = 10_000;

impl RateLimiter {
    /// Whether one call more is within `per_minute`, which may come all at once.
    pub(crate) fn allow(&self, receiver: Uuid, per_minute: u32) -> bool {
        let most = f64::from(per_minute);
        let now = Instant::now();
        let left = |(left, at): (f64, Instant)| (left + now.duration_since(at).as_secs_f64() * most / 60.0).min(most);
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if map.len() >= MAX_COUNTED_RECEIVERS {
            // One that would be full again needs no entry.
            map.retain(|_, entry| left(*entry) < most);
        }
        let have = map.get(&receiver).map_or(most, |entry| left(*entry));
        let allowed = have >= 1.0;
        map.insert(receiver, (if allowed { have - 1.0 } else { have }, now));
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_through_and_then_no_more() {
        let rate_limiter = RateLimiter::default();
        let (one, other) = (Uuid::new_v4(), Uuid::new_v4());
        let through = (0..10).filter(|_| rate_limiter.allow(one, 5)).count();
        assert_eq!(through, 5);
        assert!(rate_limiter.allow(other, 5), "each has its own");
    }
}

//! `/v1/self`: what a container's own process may ask and do, with the key in
//! its environment. It reaches that one node and no other.

use actix_web::HttpResponse;
use senlin_core::{interface, node::Node};
use senlin_db::{hooks, node_self as db, nodes};
use senlin_openapi::{
    bodies::{SelfEvent, SelfLifecycle, SelfProtection},
    values::LifecycleResult,
};
use serde_json::{Value, json};

use crate::{
    body,
    error::{ApiError, Result},
    request::{Call, PublicCall},
};

/// The node whose key the call brings, and whose container has it now.
async fn node(call: &Call) -> Result<Node> {
    let key = call
        .header("authorization")
        .and_then(|h| h.strip_prefix("Bearer "))
        .unwrap_or_default();
    let (id, generation) = interface::open(&call.api.sealer, key).ok_or(ApiError::Unauthorized)?;
    nodes::get(&mut call.conn(), id)
        .await?
        .filter(|n| n.generation == generation)
        .ok_or(ApiError::Unauthorized)
}

fn brief(node: &Node) -> Value {
    json!({"id": node.id, "name": node.name, "index": node.index, "role": node.role,
        "status": node.status.as_str()})
}

/// `GET /v1/self`
pub async fn show(PublicCall(call): PublicCall) -> Result<HttpResponse> {
    let node = node(&call).await?;
    let mut conn = call.conn();
    let protected = db::protected_until(&mut conn, node.id).await?;
    let question = hooks::open(&mut conn, node.id).await?;
    let mut shown = brief(&node);
    if let Some(map) = shown.as_object_mut() {
        map.insert("cluster_id".to_owned(), json!(node.cluster_id));
        map.insert("metadata".to_owned(), Value::Object(node.metadata.clone()));
        map.insert("protected_until".to_owned(), json!(protected.map(senlin_openapi::time)));
        let lifecycle = question.map(|(action, hook)| {
            json!({"lifecycle_action_token": action, "lifecycle_transition_type": "termination",
                "timeout": hook.get("timeout")})
        });
        map.insert("lifecycle".to_owned(), json!(lifecycle));
    }
    Ok(call.ok(&json!({"self": shown})))
}

/// `GET /v1/self/members`: the node's cluster, itself included.
pub async fn members(PublicCall(call): PublicCall) -> Result<HttpResponse> {
    let node = node(&call).await?;
    let members = match node.cluster_id {
        Some(cluster) => nodes::members(&mut call.conn(), cluster).await?,
        None => Vec::new(),
    };
    let members: Vec<Value> = members.iter().map(brief).collect();
    Ok(call.ok(&json!({"members": members})))
}

/// `POST /v1/self/events`
pub async fn report(PublicCall(call): PublicCall) -> Result<HttpResponse> {
    let node = node(&call).await?;
    let SelfEvent { message, level } = body::read(call.body.clone().unwrap_or_default())?;
    let level = level.unwrap_or_default();
    if !call.api.rate_limiter.allow(node.id.0, call.api.settings.webhook_rate) {
        return Err(ApiError::TooMany);
    }
    db::report(&mut call.conn(), node.id, level.as_str(), &message.0).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// `POST /v1/self/protection`: not to go when the cluster scales in, for so
/// many seconds; 0 ends it.
pub async fn protect(PublicCall(call): PublicCall) -> Result<HttpResponse> {
    let node = node(&call).await?;
    let SelfProtection { seconds } = body::read(call.body.clone().unwrap_or_default())?;
    let until = db::protect(&mut call.conn(), node.id, f64::from(seconds.0)).await?;
    Ok(call.ok(&json!({"protected_until": until.map(senlin_openapi::time)})))
}

/// `POST /v1/self/lifecycle`: the answer to the question whether it may go.
pub async fn lifecycle(PublicCall(call): PublicCall) -> Result<HttpResponse> {
    let node = node(&call).await?;
    let SelfLifecycle { result } = body::read(call.body.clone().unwrap_or_default())?;
    let mut conn = call.conn();
    let open = hooks::open(&mut conn, node.id).await?;
    let (action, _) =
        open.ok_or_else(|| ApiError::Conflict("No lifecycle question is open for this node.".to_owned()))?;
    let done = match result {
        LifecycleResult::Continue => {
            hooks::answered(&mut conn, action, "The node answered its lifecycle hook.").await?
        }
        LifecycleResult::Heartbeat => hooks::heartbeat(&mut conn, action).await?,
    };
    if !done {
        return Err(ApiError::Conflict(
            "The lifecycle question is not open any more.".to_owned(),
        ));
    }
    call.api.wake(&[action], &call.caller.request_id);
    Ok(call.ok(&json!({"lifecycle_action_token": action})))
}

//! Events.

use actix_web::HttpResponse;
use senlin_core::{action::ActionKind, event::Level};
use senlin_db::events as db;
use senlin_openapi as wire;
use serde_json::{Value, json};

use super::actions::by_cluster;
use crate::{
    error::{ApiError, Result},
    lists::{Rules, asked},
    request::Call,
};

const RULES: Rules = Rules {
    filters: &[
        ("oid", "oid"),
        ("oname", "oname"),
        ("otype", "otype"),
        ("action", "action"),
        ("level", "level"),
    ],
    sort: &[
        ("timestamp", "timestamp"),
        ("level", "level"),
        ("otype", "otype"),
        ("oname", "oname"),
        ("action", "action"),
        ("status", "status"),
        ("oid", "oid"),
        ("cluster_id", "cluster_id"),
    ],
    own: &["cluster_id"],
    allowed: |key, value| match key {
        "action" => ActionKind::parse(value).is_some(),
        "level" => Level::ALL.iter().any(|l| l.as_str() == value),
        _ => true,
    },
    quote: false,
};

/// `GET /v1/events`
pub async fn list(call: Call) -> Result<HttpResponse> {
    let mut asked = asked(&call, &RULES)?;
    let found = if by_cluster(&call, &mut asked.filters).await? {
        db::list(&mut *call.conn().await?, &asked.scope, &asked.filters, &asked.page).await?
    } else {
        Vec::new()
    };
    let shown: Vec<Value> = found.iter().map(wire::event).collect();
    Ok(call.ok(&json!({"events": shown})))
}

/// `GET /v1/events/{id}`
pub async fn show(call: Call) -> Result<HttpResponse> {
    let event = db::find(&mut *call.conn().await?, &call.scope(), &call.identity)
        .await?
        .ok_or_else(|| ApiError::NotFound {
            kind: "event",
            identity: call.identity.clone(),
        })?;
    Ok(call.ok(&json!({"event": wire::event(&event)})))
}

//! Events.

use actix_web::HttpResponse;
use senlin_core::{
    action::ActionKind,
    event::{Event, Level},
};
use senlin_db::{
    events::{self as db, Cursor},
    page::Page,
};
use senlin_openapi::{self as wire, versions};
use serde_json::{Value, json};

use super::actions::by_cluster;
use crate::{
    error::{ApiError, Result},
    lists::{ListSpec, parse_list},
    request::Call,
};

const LIST: ListSpec = ListSpec {
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
    own: &["cluster_id", "since"],
    allowed: |key, value| match key {
        "action" => ActionKind::parse(value).is_some(),
        "level" => Level::ALL.iter().any(|l| l.as_str() == value),
        _ => true,
    },
    quote: false,
};

/// `GET /v1/events`
pub async fn list(call: Call) -> Result<HttpResponse> {
    let mut query = parse_list(&call, &LIST)?;
    let after = since(&call, &query.page)?;
    let there = by_cluster(&call, &mut query.filters).await?;
    let Some(after) = after else {
        let found = if there {
            db::list(&mut call.conn(), &query.scope, &query.filters, &query.page).await?
        } else {
            Vec::new()
        };
        return Ok(call.ok(&json!({"events": shown(&found)})));
    };
    if !there {
        return Ok(call.ok(&json!({"events": [], "next": after.to_string()})));
    }
    let limit = query.page.limit.unwrap_or(0);
    let read = db::since(&mut call.conn(), &query.scope, &query.filters, after, limit)
        .await?
        .ok_or_else(unknown)?;
    Ok(call.ok(&json!({"events": shown(&read.events), "next": read.next.to_string()})))
}

fn shown(events: &[Event]) -> Vec<Value> {
    events.iter().map(wire::event).collect()
}

/// Where a reader goes on in the order of commits, if that is what is asked.
fn since(call: &Call, page: &Page) -> Result<Option<Cursor>> {
    let Some((_, text)) = call.query.iter().find(|(key, _)| key == "since") else {
        return Ok(None);
    };
    if call.version < versions::EVENT_CURSOR {
        return Err(ApiError::BadRequest("Invalid parameter since".to_owned()));
    }
    if page.marker.is_some() || !page.sort.is_empty() {
        return Err(ApiError::BadRequest(
            "'since' has an order of its own: 'marker' and 'sort' cannot be used with it.".to_owned(),
        ));
    }
    Cursor::parse(text).map(Some).ok_or_else(unknown)
}

fn unknown() -> ApiError {
    ApiError::BadRequest(
        "The value for since is not a 'next' of this service's events; empty is the beginning.".to_owned(),
    )
}

/// `GET /v1/events/{id}`
pub async fn show(call: Call) -> Result<HttpResponse> {
    let event = db::find(&mut call.conn(), &call.scope(), &call.identity)
        .await?
        .ok_or_else(|| ApiError::NotFound {
            kind: "event",
            identity: call.identity.clone(),
        })?;
    Ok(call.ok(&json!({"event": wire::event(&event)})))
}

//! Actions.

use actix_web::HttpResponse;
use senlin_core::action::{ActionKind, ActionStatus};
use senlin_db::{actions as db, clusters, page::Filter, queue};
use senlin_openapi::{self as wire, bodies::Cancellation, views};
use serde_json::json;

use crate::{
    error::{ApiError, Result},
    lists::{ListSpec, parse_list},
    request::Call,
};

const LIST: ListSpec = ListSpec {
    filters: &[
        ("name", "name"),
        ("target", "target"),
        ("action", "action"),
        ("status", "status"),
    ],
    sort: &[
        ("name", "name"),
        ("target", "target"),
        ("action", "action"),
        ("created_at", "created_at"),
        ("status", "status"),
    ],
    own: &["cluster_id"],
    allowed: |key, value| match key {
        "action" => ActionKind::parse(value).is_some(),
        "status" => ActionStatus::parse(value).is_some(),
        _ => true,
    },
    quote: false,
};

/// Adds the clusters that `cluster_id` means as a filter; none: nothing can match.
pub(crate) async fn by_cluster(call: &Call, filters: &mut Vec<Filter>) -> Result<bool> {
    let wanted: Vec<&String> = call
        .query
        .iter()
        .filter(|(k, _)| k == "cluster_id")
        .map(|(_, v)| v)
        .collect();
    if wanted.is_empty() {
        return Ok(true);
    }
    let mut conn = call.conn();
    let mut values = Vec::new();
    for identity in wanted {
        match clusters::find(&mut conn, &call.scope(), identity).await? {
            Some(cluster) => values.push(cluster.id.to_string()),
            // One that is gone has left its actions and events.
            None if identity.parse::<uuid::Uuid>().is_ok() => values.push(identity.clone()),
            None => return Ok(false),
        }
    }
    filters.push(Filter {
        column: "cluster_id",
        values,
    });
    Ok(true)
}

/// `GET /v1/actions`
pub async fn list(call: Call) -> Result<HttpResponse> {
    let mut query = parse_list(&call, &LIST)?;
    let found = if by_cluster(&call, &mut query.filters).await? {
        db::list(&mut call.conn(), &query.scope, &query.filters, &query.page).await?
    } else {
        Vec::new()
    };
    let shown = found.into_iter().map(|a| views::Action::of(a, call.version));
    Ok(call.list("actions", shown))
}

/// `GET /v1/actions/{id}`
pub async fn show(call: Call) -> Result<HttpResponse> {
    let action = db::find(&mut call.conn(), &call.scope(), &call.identity)
        .await?
        .ok_or_else(|| ApiError::NotFound {
            kind: "action",
            identity: call.identity.clone(),
        })?;
    Ok(call.ok(&json!({"action": wire::action(&action, call.version)})))
}

/// `POST /v1/actions`: an action is made by what it is for.
pub async fn create(_: Call) -> Result<HttpResponse> {
    Err(ApiError::Forbidden)
}

/// `PATCH /v1/actions/{id}`: cancels it.
pub async fn update(call: Call) -> Result<HttpResponse> {
    let Cancellation { status } = call.envelope("action")?;
    if status.0 != "CANCELLED" {
        return Err(ApiError::BadRequest(format!(
            "Cannot update action status to '{}': only 'CANCELLED' is supported.",
            status.0
        )));
    }
    let mut force = false;
    for (key, value) in &call.query {
        match (key.as_str(), value.to_lowercase().as_str()) {
            ("force", "true" | "1" | "t" | "yes" | "y" | "on") => force = true,
            ("force", "false" | "0" | "f" | "no" | "n" | "off") => {}
            ("force", other) => {
                return Err(ApiError::BadRequest(format!(
                    "Invalid value '{other}' specified for 'force'"
                )));
            }
            (other, _) => return Err(ApiError::BadRequest(format!("Invalid parameter {other}"))),
        }
    }
    let mut conn = call.conn();
    let action = db::find(&mut conn, &call.scope(), &call.identity)
        .await?
        .ok_or_else(|| ApiError::NotFound {
            kind: "action",
            identity: call.identity.clone(),
        })?;
    if action.status.is_terminal() {
        return Err(ApiError::Immutable {
            id: call.identity.clone(),
            status: action.status.as_str().to_owned(),
        });
    }
    let to_wake = if force {
        let parents = db::force_cancel(&mut conn, action.id).await?;
        queue::promote(&mut conn, &parents).await?
    } else {
        db::cancel(&mut conn, action.id).await?
    };
    call.api.wake(&to_wake, &call.caller.request_id);
    let now = db::find(&mut conn, &call.scope(), &action.id.to_string())
        .await?
        .unwrap_or(action);
    Ok(call.answer(&call.accepted(now.id, json!({"action": wire::action(&now, call.version)}))))
}

//! `GET /v1/prometheus/targets`: a project's containers, as Prometheus' HTTP
//! service discovery reads them.

use actix_web::HttpResponse;
use serde_json::json;

use crate::{error::Result, request::Call, resources::clusters::as_map};

/// A bare list, as Prometheus wants it.
pub async fn list(call: Call) -> Result<HttpResponse> {
    call.no_query()?;
    let body = as_map(json!({"project": call.caller.project}));
    let found = call.api.ask("targets", body, &call.caller.request_id).await?;
    Ok(call.ok(&found))
}

//! Services: for admins.

use actix_web::HttpResponse;
use senlin_db::services as db;
use senlin_openapi as wire;
use serde_json::{Value, json};

use crate::{
    error::{ApiError, Result},
    request::Call,
};

/// `GET /v1/services`
pub async fn list(call: Call) -> Result<HttpResponse> {
    if !call.caller.is_admin {
        return Err(ApiError::Forbidden);
    }
    let down_after = f64::from(call.api.settings.service_down_time);
    let found = db::list(&mut call.conn(), down_after).await?;
    let shown: Vec<Value> = found.iter().map(wire::service).collect();
    Ok(call.ok(&json!({"services": shown})))
}

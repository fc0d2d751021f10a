//! Policy types.

use actix_web::HttpResponse;
use serde_json::json;

use super::profile_types::{found, listed, shown};
use crate::{error::Result, request::Call};

/// `GET /v1/policy-types`
pub async fn list(call: Call) -> Result<HttpResponse> {
    call.no_query()?;
    Ok(call.ok(&json!({"policy_types": listed(&call, &call.api.policies)})))
}

/// `GET /v1/policy-types/{type}`
pub async fn show(call: Call) -> Result<HttpResponse> {
    call.no_query()?;
    let kind = found(&call, &call.api.policies, "policy_type")?;
    Ok(call.ok(&json!({"policy_type": shown(&call, kind)})))
}

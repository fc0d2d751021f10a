//! Build information.

use actix_web::HttpResponse;
use serde_json::json;

use crate::{error::Result, request::Call};

/// `GET /v1/build-info`
pub async fn show(call: Call) -> Result<HttpResponse> {
    let revision = env!("CARGO_PKG_VERSION");
    Ok(call.ok(&json!({"build_info": {"api": {"revision": revision}, "engine": {"revision": revision}}})))
}

//! Version documents.

use actix_web::{HttpRequest, HttpResponse};
use senlin_openapi::{MIN, SENLIN_MAX};
use serde_json::{Value, json};

use crate::{error::Result, request::Call};

fn document(base: &str) -> Value {
    json!({
        "id": "1.0", "status": "CURRENT", "updated": "2016-01-18T00:00:00Z",
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.clustering-v1+json"}],
        "links": [{"href": format!("{base}/v1"), "rel": "self"},
            {"href": "https://docs.openstack.org/api-ref/clustering", "rel": "help"}],
        "min_version": MIN.to_string(), "max_version": SENLIN_MAX.to_string(),
    })
}

fn base(request: &HttpRequest) -> String {
    let info = request.connection_info();
    format!("{}://{}", info.scheme(), info.host())
}

/// `GET /`: 300, as Senlin does.
pub async fn list(request: HttpRequest) -> HttpResponse {
    HttpResponse::MultipleChoices().json(json!({"versions": [document(&base(&request))]}))
}

/// `GET /v1`
pub async fn show(request: HttpRequest) -> HttpResponse {
    HttpResponse::Ok().json(json!({"version": document(&base(&request))}))
}

/// `GET /v1/`
pub async fn show_authenticated(call: Call, request: HttpRequest) -> Result<HttpResponse> {
    Ok(call.ok(&json!({"version": document(&base(&request))})))
}

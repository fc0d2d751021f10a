//! The OpenAPI document.

use actix_web::{HttpResponse, web::Data};
use senlin_core::Map;
use serde_json::{Value, json};

use crate::{
    app::Api,
    operations::{OPERATIONS, Operation},
};

/// `GET /v1/openapi.json`
pub async fn serve(api: Data<Api>) -> HttpResponse {
    HttpResponse::Ok().json(document(&api.registry))
}

/// The document of this release; spec schemas come from the structs that parse
/// them.
#[must_use]
pub fn document(registry: &senlin_core::profile_type::Registry) -> Value {
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let Operation {
            method, path, summary, ..
        } = operation;
        let status = operation.status.to_string();
        let mut parameters = Vec::new();
        if path.contains("{id}") {
            parameters.push(
                json!({"name": "id", "in": "path", "required": true, "schema": {"type": "string"},
                "description": "Id, name or the beginning of an id."}),
            );
        }
        parameters.push(
            json!({"name": "OpenStack-API-Version", "in": "header", "schema": {"type": "string"},
            "example": "clustering 1.14"}),
        );
        let open = operation.rule.is_empty();
        let fault = json!({"description": "What is wrong",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Fault"}}}});
        let mut described = json!({"summary": summary, "parameters": parameters,
            "operationId": format!("{method}{}", path.replace(['/', '{', '}', '-', '.'], "_")),
            "security": if open { json!([]) } else { json!([{"token": []}]) },
            "responses": {status: {"description": "As asked"}, "4XX": fault, "503": fault}});
        if matches!(*method, "post" | "patch") {
            let content = json!({"application/json": {"schema": {"type": "object"}}});
            put(&mut described, "requestBody", json!({"content": content}));
        }
        put(paths.entry(*path).or_insert_with(|| json!({})), method, described);
    }
    let fault = serde_json::to_value(<senlin_openapi::Fault as utoipa::PartialSchema>::schema()).unwrap_or_default();
    let detail =
        serde_json::to_value(<senlin_openapi::FaultDetail as utoipa::PartialSchema>::schema()).unwrap_or_default();
    let mut schemas = json!({"Fault": fault, "FaultDetail": detail});
    for kind in registry.iter() {
        let name = format!("{}-{}", kind.name(), kind.version());
        put(&mut schemas, &name, kind.schema().json_schema().clone());
    }
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Senlin clustering", "version": "1.15", "license": {"name": "Apache-2.0"}},
        "paths": paths,
        "components": {"schemas": schemas,
            "securitySchemes": {"token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"}}},
    })
}

fn put(into: &mut Value, key: &str, value: Value) {
    if let Value::Object(map) = into {
        map.insert(key.to_owned(), value);
    }
}

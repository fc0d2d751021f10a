//! The OpenAPI document.

use actix_web::{HttpResponse, web::Data};
use senlin_core::Map;
use serde_json::{Value, json};

use crate::app::Api;

/// `GET /v1/openapi.json`
pub async fn serve(api: Data<Api>) -> HttpResponse {
    HttpResponse::Ok().json(document(&api.registry))
}

/// One operation: method, path, what it does, the success status.
const OPERATIONS: &[(&str, &str, &str, &str)] = &[
    ("get", "/", "List API versions", "300"),
    ("get", "/v1", "Show API version 1", "200"),
    ("get", "/v1/build-info", "Show build information", "200"),
    ("get", "/v1/profile-types", "List profile types", "200"),
    (
        "get",
        "/v1/profile-types/{id}",
        "Show a profile type and its schema",
        "200",
    ),
    (
        "get",
        "/v1/profile-types/{id}/ops",
        "List a profile type's operations (1.4)",
        "200",
    ),
    ("get", "/v1/policy-types", "List policy types", "200"),
    ("get", "/v1/profiles", "List profiles", "200"),
    ("post", "/v1/profiles", "Create a profile", "201"),
    ("post", "/v1/profiles/validate", "Check a profile spec (1.2)", "200"),
    ("get", "/v1/profiles/{id}", "Show a profile", "200"),
    (
        "patch",
        "/v1/profiles/{id}",
        "Change a profile's name or metadata",
        "200",
    ),
    ("delete", "/v1/profiles/{id}", "Delete a profile", "204"),
    ("get", "/v1/clusters", "List clusters", "200"),
    ("post", "/v1/clusters", "Create a cluster", "202"),
    ("get", "/v1/clusters/{id}", "Show a cluster", "200"),
    ("patch", "/v1/clusters/{id}", "Update a cluster", "202"),
    ("delete", "/v1/clusters/{id}", "Delete a cluster", "202"),
    ("post", "/v1/clusters/{id}/actions", "Act on a cluster", "202"),
    (
        "post",
        "/v1/clusters/{id}/ops",
        "Run an operation on members (1.4)",
        "202",
    ),
    (
        "get",
        "/v1/clusters/{id}/attrs/{sub}",
        "Collect one value of every member (1.2)",
        "200",
    ),
    ("get", "/v1/nodes", "List nodes", "200"),
    ("post", "/v1/nodes", "Create a node", "202"),
    ("post", "/v1/nodes/adopt", "Adopt what already runs (1.7)", "200"),
    ("post", "/v1/nodes/adopt-preview", "Preview an adoption (1.7)", "200"),
    ("get", "/v1/nodes/{id}", "Show a node", "200"),
    ("patch", "/v1/nodes/{id}", "Update a node", "202"),
    ("delete", "/v1/nodes/{id}", "Delete a node", "202"),
    ("post", "/v1/nodes/{id}/actions", "Act on a node", "202"),
    ("post", "/v1/nodes/{id}/ops", "Run an operation on a node (1.4)", "202"),
    ("get", "/v1/actions", "List actions", "200"),
    ("get", "/v1/actions/{id}", "Show an action", "200"),
    ("patch", "/v1/actions/{id}", "Cancel an action (1.12)", "202"),
    ("get", "/v1/events", "List events", "200"),
    ("get", "/v1/events/{id}", "Show an event", "200"),
    ("get", "/v1/services", "List services (admins)", "200"),
];

/// The document of this release; spec schemas come from the structs that parse
/// them.
#[must_use]
pub fn document(registry: &senlin_core::profile_type::Registry) -> Value {
    let mut paths = Map::new();
    for (method, path, summary, status) in OPERATIONS {
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
        let open = matches!(*path, "/" | "/v1");
        let fault = json!({"description": "What is wrong",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Fault"}}}});
        let mut operation = json!({"summary": summary, "parameters": parameters,
            "operationId": format!("{method}{}", path.replace(['/', '{', '}', '-', '.'], "_")),
            "security": if open { json!([]) } else { json!([{"token": []}]) },
            "responses": {*status: {"description": "As asked"}, "4XX": fault, "503": fault}});
        if matches!(*method, "post" | "patch") {
            let content = json!({"application/json": {"schema": {"type": "object"}}});
            put(&mut operation, "requestBody", json!({"content": content}));
        }
        put(paths.entry(*path).or_insert_with(|| json!({})), method, operation);
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

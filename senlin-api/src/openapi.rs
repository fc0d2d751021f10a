//! The OpenAPI document, made of the table of operations and the structs that
//! answers, bodies and specs are made of; and a page to read it.

use std::sync::{Arc, LazyLock};

use actix_web::{
    HttpResponse,
    http::header,
    web::{Data, Path},
};
use senlin_core::{Map, profile_type::Registry};
use senlin_policies::engine;
use serde_json::{Value, json};
use utoipa_swagger_ui::Config;

use crate::{
    error::{ApiError, Result},
    operations::{OPERATIONS, Operation},
    state::Api,
};

mod parameters;
mod schemas;

/// `GET /v1/openapi.json`
pub async fn serve(api: Data<Api>) -> HttpResponse {
    HttpResponse::Ok().json(document(&api.registry, &api.policies))
}

/// What the page may load: its own files.
const PAGE_MAY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                        connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// `GET /v1/docs`: where the page is.
pub async fn to_page() -> HttpResponse {
    HttpResponse::PermanentRedirect()
        .insert_header((header::LOCATION, "docs/"))
        .finish()
}

/// `GET /v1/docs/{file}`: the document as a page, by Swagger UI.
///
/// # Errors
/// [`ApiError::UnknownPath`] for a file that it does not have.
pub async fn page(file: Path<String>) -> Result<HttpResponse> {
    // Relative to the page, for whoever is reached under another path.
    static CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| Arc::new(Config::from("../openapi.json")));
    let file = utoipa_swagger_ui::serve(&file, CONFIG.clone()).map_err(|e| ApiError::Internal(e.to_string()))?;
    let file = file.ok_or(ApiError::UnknownPath)?;
    Ok(HttpResponse::Ok()
        .content_type(file.content_type)
        .insert_header((header::CONTENT_SECURITY_POLICY, PAGE_MAY))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(file.bytes.into_owned()))
}

/// What an error status means here, in a sentence.
const FAULTS: [(u16, &str, &str, &str); 8] = [
    (
        400,
        "Names the field and the rule",
        "HTTPBadRequest",
        "'name' is a required property",
    ),
    (
        401,
        "No token, or none that is let in",
        "Unauthorized",
        "The request you have made requires authentication.",
    ),
    (
        403,
        "The rules do not let the caller",
        "Forbidden",
        "You are not authorized to complete this operation.",
    ),
    (
        404,
        "There is nothing of that id, name or short id",
        "ResourceNotFound",
        "The cluster 'c1' could not be found.",
    ),
    (
        406,
        "A microversion that does not exist",
        "InvalidGlobalAPIVersion",
        "The requested microversion '1.99' is not one of 1.0 to 1.15.",
    ),
    (
        409,
        "It is busy, in use, or not in a state for this",
        "ResourceIsLocked",
        "CLUSTER_SCALE_OUT for cluster 'c1' cannot be completed because it is already locked.",
    ),
    (
        429,
        "Too often",
        "TooManyRequests",
        "The receiver is triggered too often; try again later.",
    ),
    (
        503,
        "Try again after Retry-After seconds",
        "ServiceUnavailable",
        "No engine answers; try again later.",
    ),
];

/// The document of this release.
#[must_use]
pub fn document(profiles: &Registry, policies: &engine::Registry) -> Value {
    let examples: Value = serde_json::from_str(include_str!("openapi/examples.json")).unwrap_or_default();
    let mut components = schemas::all();
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let path = paths.entry(operation.template()).or_insert_with(|| json!({}));
        put(path, operation.method, describe(operation, &examples, &components));
    }
    for kind in profiles.iter() {
        put(
            &mut components,
            &kind.meta().full_name(),
            kind.schema().json_schema().clone(),
        );
    }
    for kind in policies.iter() {
        put(
            &mut components,
            &kind.meta().is.full_name(),
            kind.schema().json_schema().clone(),
        );
    }
    let mut faults = Map::new();
    for (code, meaning, kind, message) in FAULTS {
        let title = actix_web::http::StatusCode::from_u16(code)
            .ok()
            .and_then(|s| s.canonical_reason())
            .unwrap_or_default();
        let example = json!({"code": code, "title": title, "explanation": meaning,
            "error": {"code": code, "type": kind, "message": message}});
        faults.insert(
            code.to_string(),
            json!({"description": meaning, "content": {"application/json": {
                "schema": {"$ref": "#/components/schemas/Fault"}, "example": example}}}),
        );
    }
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Senlin clustering", "version": "1.15", "license": {"name": "Apache-2.0",
            "identifier": "Apache-2.0"},
            "description": "Clusters of containers on plain Docker hosts. Microversions 1.0 to 1.14 are OpenStack \
                Senlin's; what 1.15 adds is never seen below it."},
        "servers": [{"url": "/"}],
        "tags": tags(),
        "paths": paths,
        "components": {"schemas": components, "parameters": parameters::all(), "responses": faults,
            "securitySchemes": {"token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token",
                "description": "A Keystone token scoped to a project, or one of the server's token file."},
                "node": {"type": "http", "scheme": "bearer",
                "description": "The key in a container's own environment (SENLIN_SELF_KEY)."}}},
    })
}

fn tags() -> Vec<Value> {
    let mut names: Vec<&str> = OPERATIONS.iter().map(|o| o.tag).collect();
    names.dedup();
    names.into_iter().map(|name| json!({"name": name})).collect()
}

/// A name for generated clients: the rule's, told apart where two share it.
fn id(operation: &Operation) -> String {
    let shared = OPERATIONS.iter().filter(|o| o.rule == operation.rule).count() > 1;
    let base = operation.rule.replace([':', '-'], "_");
    if !shared {
        return base;
    }
    let last = operation
        .path
        .rsplit('/')
        .find(|s| !s.is_empty() && !s.starts_with('{'))
        .unwrap_or("root");
    match operation.rule {
        "" => format!("{}_{last}", operation.tag.replace('-', "_")),
        _ if operation.method == "patch" => base,
        _ => format!("{base}_{last}"),
    }
}

fn describe(operation: &Operation, examples: &Value, schemas: &Value) -> Value {
    let reference = |kind: &str, name: &str| json!({"$ref": format!("#/components/{kind}/{name}")});
    let mut parameters = Vec::new();
    for (segment, name) in [("{id}", "id"), ("{sub}", "sub")] {
        if operation.template().contains(segment) {
            parameters.push(reference("parameters", name));
        }
    }
    parameters.extend(operation.query.iter().map(|name| reference("parameters", name)));
    let open = operation.rule.is_empty();
    let own = operation.tag == "self";
    let versioned = !open || operation.path.contains("webhooks");
    if operation.method == "post" && !open {
        parameters.push(reference("parameters", "once"));
    }
    if versioned {
        parameters.push(reference("parameters", "version"));
    }
    let mut answer = json!({"description": "As asked"});
    if let Some(name) = operation.answer {
        let content = json!({"schema": reference("schemas", name), "example": example(name, examples, schemas)});
        put(&mut answer, "content", json!({"application/json": content}));
    } else if operation.status == 202 {
        // Senlin's answer to a deletion.
        put(
            &mut answer,
            "content",
            json!({"application/json": {"schema": {"description": "null"}, "example": null}}),
        );
    }
    if operation.status == 202 {
        let location = json!({"Location": {"description": "The action that was recorded",
            "schema": {"type": "string", "format": "uri"}}});
        put(&mut answer, "headers", location);
    }
    let mut responses = json!({operation.status.to_string(): answer});
    if operation.path.contains("webhooks") {
        let content = json!({"application/json": {"schema": reference("schemas", "Anything"),
            "example": {"action": null, "alerts": []}}});
        let taken = json!({"description": "Alerts that start nothing, and why", "content": content});
        put(&mut responses, "200", taken);
    }
    for (code, ..) in FAULTS {
        let applies = match code {
            400 => versioned || (own && operation.body.is_some()),
            406 => versioned,
            401 => !open || own,
            403 => versioned,
            404 => operation.path.contains("{id}") || (versioned && operation.method == "post"),
            409 => operation.method != "get",
            429 => operation.path.contains("webhooks") || operation.path.ends_with("self/events"),
            _ => versioned,
        };
        if applies {
            put(
                &mut responses,
                &code.to_string(),
                reference("responses", &code.to_string()),
            );
        }
    }
    let since = match operation.since {
        0 => "Every microversion.".to_owned(),
        minor => format!("Since microversion 1.{minor}."),
    };
    let rule = if open {
        String::new()
    } else {
        format!(" Rule `{}`.", operation.rule)
    };
    let mut described = json!({
        "operationId": id(operation), "summary": operation.summary, "description": format!("{since}{rule}"),
        "tags": [operation.tag], "parameters": parameters, "responses": responses,
        "security": if own { json!([{"node": []}]) } else if open { json!([]) } else { json!([{"token": []}]) },
    });
    if let Some(name) = operation.body {
        let content = json!({"schema": reference("schemas", name), "example": example(name, examples, schemas)});
        let required = !matches!(name, "Force" | "Anything");
        put(
            &mut described,
            "requestBody",
            json!({"required": required, "content": {"application/json": content}}),
        );
    }
    described
}

/// The example of a schema; an answer's is made of its resource's, which may be in `examples` or beside its fields.
fn example(name: &str, examples: &Value, schemas: &Value) -> Value {
    let own = |name: &str| {
        examples
            .get(name)
            .or_else(|| schemas.get(name)?.get("example"))
            .cloned()
    };
    own(name).unwrap_or_else(|| {
        let wrapper = schemas::wrappers().find(|w| w.name == name);
        wrapper.map_or(Value::Null, |w| {
            let one = own(w.inner).unwrap_or_default();
            json!({ w.key: if w.many { json!([one]) } else { one } })
        })
    })
}

fn put(into: &mut Value, key: &str, value: Value) {
    if let Value::Object(map) = into {
        map.insert(key.to_owned(), value);
    }
}

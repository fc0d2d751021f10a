//! The document's schemas.

use senlin_core::Map;
use senlin_openapi::{Wrapper, bodies, views};
use serde_json::{Value, json};

/// Bodies and answers that hold one thing under a key, or a list of them.
pub(super) fn wrappers() -> impl Iterator<Item = &'static Wrapper> {
    bodies::WRAPPERS.iter().chain(views::WRAPPERS)
}

/// What an action would do.
fn plan() -> Value {
    let list = || json!({"type": "array", "items": {"type": "object"}});
    json!({"type": "object", "required": ["possible", "placements", "victims", "reasons", "token"], "properties": {
        "cluster_id": {"type": "string", "format": "uuid"}, "action": {"type": "string"},
        "current_size": {"type": "integer"}, "desired_capacity": {"type": ["integer", "null"]},
        "possible": {"type": "boolean"},
        "refusal": {"type": ["string", "null"], "description": "Why the action would be refused, or a member not placed."},
        "placements": list(), "victims": list(), "batches": {"type": "array"}, "moves": list(),
        "reasons": {"type": "array", "items": {"type": "string"}},
        "token": {"type": ["string", "null"],
            "description": "Given to the action as plan_token, it is refused unless it does just this."}}})
}

fn unaccounted() -> Value {
    let id = || json!({"type": "string", "format": "uuid"});
    let maybe = || json!({"type": ["string", "null"]});
    let time = || json!({"type": "string"});
    json!({"type": "object", "required": ["id", "container", "host_id", "node_id", "generation", "reason"],
        "properties": {
            "id": id(), "container": {"type": "string", "description": "Its full id on its host."},
            "name": {"type": "string"}, "running": {"type": "boolean"}, "host_id": id(), "host_name": {"type": "string"},
            "node_id": id(), "generation": {"type": "integer"}, "project": maybe(), "cluster_id": maybe(),
            "profile_id": maybe(), "reason": {"type": "string"},
            "reason_code": {"type": "string", "enum": ["NODE_UNKNOWN", "GENERATION_UNKNOWN", "ACTION_UNKNOWN"]},
            "first_seen": time(), "last_seen": time(), "remove_asked_at": maybe()}})
}

/// Makes one schema of two wherever utoipa writes a kind of value as two: with
/// what the field says of it, or with null.
fn merge(schema: &mut Value) {
    match schema {
        Value::Array(list) => list.iter_mut().for_each(merge),
        Value::Object(map) => {
            map.values_mut().for_each(merge);
            if let Some(one) = merged(map) {
                *map = one;
            }
        }
        _ => {}
    }
}

fn merged(map: &Map) -> Option<Map> {
    let two = map.get("allOf").or_else(|| map.get("oneOf"))?.as_array()?.as_slice();
    let [Value::Object(kind), Value::Object(other)] = two else {
        return None;
    };
    let null = other.get("type")? == "null";
    let mut one = kind.clone();
    let of = one
        .get_mut("type")
        .filter(|of| of.is_string() && null == map.contains_key("oneOf"))?;
    if null {
        *of = json!([of, "null"]);
    }
    let said = other
        .iter()
        .chain(map)
        .filter(|(key, _)| !matches!(key.as_str(), "type" | "allOf" | "oneOf"));
    one.extend(said.map(|(key, value)| (key.clone(), value.clone())));
    Some(one)
}

/// A choice among maps of one key each, as one map with those keys: generators
/// of clients give that a name and fields, and a choice they do not.
fn of_one_key(choice: &Value) -> Value {
    let variants = choice.get("oneOf").and_then(Value::as_array).into_iter().flatten();
    let keys = variants.filter_map(|v| v.get("properties")?.as_object());
    let nullable = |schema: &Value| match schema.get("type") {
        Some(one) => json!({"type": [one, "null"]}),
        None => json!({"oneOf": [schema, {"type": "null"}]}),
    };
    let properties: Map = keys
        .flatten()
        .map(|(key, schema)| (key.clone(), nullable(schema)))
        .collect();
    json!({"type": "object", "description": choice.get("description"), "minProperties": 1, "maxProperties": 1,
        "additionalProperties": false, "properties": properties})
}

pub(super) fn all() -> Value {
    let mut out = Map::new();
    for (name, schema) in views::schemas().into_iter().chain(bodies::schemas()) {
        let mut schema = serde_json::to_value(schema).unwrap_or_default();
        merge(&mut schema);
        out.insert(name, schema);
    }
    for verbs in ["ClusterAction", "NodeAction", "UnaccountedAction"] {
        if let Some(schema) = out.get_mut(verbs) {
            *schema = of_one_key(schema);
        }
    }
    for Wrapper { name, key, inner, many } in wrappers() {
        let one = json!({"$ref": format!("#/components/schemas/{inner}")});
        let held = if *many {
            json!({"type": "array", "items": one})
        } else {
            one
        };
        let schema = json!({"type": "object", "required": [key], "properties": {*key: held}});
        out.insert((*name).to_owned(), schema);
    }
    let object = |required: &[&str], properties: Value| {
        json!({"type": "object", "required": required,
        "properties": properties})
    };
    let text = || json!({"type": "string"});
    let map = || json!({"type": "object"});
    let operation = json!({"type": "object", "properties": {"params": map(), "filters": map()},
        "description": "Filters: name, profile_id, status, role."});
    let link = object(&["href", "rel"], json!({"href": text(), "rel": text()}));
    let media = object(&["base", "type"], json!({"base": text(), "type": text()}));
    let revision = object(&["revision"], json!({"revision": text()}));
    for (name, schema) in [
        ("Anything", map()),
        (
            "EventsAnswer",
            object(
                &["events"],
                json!({"events": {"type": "array", "items": {"$ref": "#/components/schemas/Event"}},
                "next": {"type": "string", "description": "From 1.15, with `since`: where to read on."}}),
            ),
        ),
        ("PlanAnswer", object(&["plan"], json!({"plan": plan()}))),
        ("UnaccountedContainer", unaccounted()),
        (
            "UnaccountedSettled",
            json!({"type": "object", "properties": {"node": {"$ref": "#/components/schemas/Node"},
                "unaccounted_container": {"$ref": "#/components/schemas/UnaccountedContainer"}}}),
        ),
        (
            "DeliveriesAnswer",
            object(
                &["deliveries"],
                json!({"deliveries": {"type": "array", "items": map()}}),
            ),
        ),
        (
            "TargetsAnswer",
            json!({"type": "array", "items": object(&["targets", "labels"],
                json!({"targets": {"type": "array", "items": text()}, "labels": map()}))}),
        ),
        ("SelfAnswer", object(&["self"], json!({"self": map()}))),
        (
            "MembersAnswer",
            object(&["members"], json!({"members": {"type": "array", "items": map()}})),
        ),
        (
            "ProtectionAnswer",
            object(
                &["protected_until"],
                json!({"protected_until": {"type": ["string", "null"]}}),
            ),
        ),
        (
            "LifecycleAnswer",
            object(&["lifecycle_action_token"], json!({"lifecycle_action_token": text()})),
        ),
        (
            "Accepted",
            object(&["action"], json!({"action": {"type": "string", "format": "uuid"}})),
        ),
        (
            "ClusterOperation",
            json!({"type": "object", "description": "Exactly one key: the operation.",
            "minProperties": 1, "maxProperties": 1, "additionalProperties": operation}),
        ),
        (
            "NodeOperation",
            json!({"type": "object", "description": "Exactly one key: the operation, with its parameters.",
            "minProperties": 1, "maxProperties": 1, "additionalProperties": map()}),
        ),
        (
            "Attribute",
            object(
                &["id", "value"],
                json!({"id": {"type": "string", "format": "uuid"}, "value": {}}),
            ),
        ),
        (
            "Type",
            object(
                &["name", "schema"],
                json!({"name": text(), "schema": map(), "support_status": map()}),
            ),
        ),
        (
            "ListedType",
            object(
                &["name"],
                json!({"name": text(), "version": text(), "support_status": map()}),
            ),
        ),
        (
            "OperationsAnswer",
            object(&["operations"], json!({"operations": map()})),
        ),
        (
            "PreviewAnswer",
            object(&["node_profile"], json!({"node_profile": map()})),
        ),
        (
            "BuildInfoAnswer",
            object(
                &["build_info"],
                json!({"build_info":
            object(&["api", "engine"], json!({"api": revision, "engine": revision}))}),
            ),
        ),
        (
            "Version",
            object(
                &["id", "status", "links", "min_version", "max_version"],
                json!({
            "id": text(), "status": text(), "updated": text(), "min_version": text(), "max_version": text(),
            "links": {"type": "array", "items": link}, "media-types": {"type": "array", "items": media}}),
            ),
        ),
    ] {
        out.insert(name.to_owned(), schema);
    }
    Value::Object(out)
}

//! Senlin's own way to write a schema.

use serde_json::{Value, json};

use super::{alternatives, strip_null, type_of};
use crate::Map;

/// Every item of an object.
pub(super) fn items(schema: &Value) -> Map {
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return Map::new();
    };
    properties
        .iter()
        .map(|(key, schema)| (key.clone(), item(schema, required.contains(&key.as_str()))))
        .collect()
}

fn item(schema: &Value, required: bool) -> Value {
    let stripped = strip_null(schema);
    let default = stripped.get("default").filter(|d| !d.is_null()).cloned();
    let mut out = Map::new();
    out.insert("type".to_owned(), senlin_type(&stripped).into());
    if let Some(text) = stripped.get("description") {
        out.insert("description".to_owned(), text.clone());
    }
    out.insert("required".to_owned(), (required && default.is_none()).into());
    let updatable = stripped.get("x-updatable").cloned().unwrap_or(Value::Bool(false));
    out.insert("updatable".to_owned(), updatable);
    if let Some(default) = default {
        out.insert("default".to_owned(), default);
    }
    if let Some(allowed) = stripped.get("enum") {
        out.insert(
            "constraints".to_owned(),
            json!([{"type": "AllowedValues", "constraint": allowed}]),
        );
    }
    if let Some(inner) = inner(&stripped) {
        out.insert("schema".to_owned(), inner);
    }
    Value::Object(out)
}

fn inner(schema: &Value) -> Option<Value> {
    match type_of(schema) {
        "object" => Some(items(schema)).filter(|m| !m.is_empty()).map(Value::Object),
        "array" => schema.get("items").map(|items| json!({"*": item(items, false)})),
        _ => None,
    }
}

fn senlin_type(schema: &Value) -> &'static str {
    match type_of(schema) {
        "string" => "String",
        "integer" => "Integer",
        "number" => "Number",
        "boolean" => "Boolean",
        "array" => "List",
        "object" => "Map",
        // Of several, the first is the one to learn.
        _ => alternatives(schema)
            .first()
            .map_or("String", |first| senlin_type(first)),
    }
}

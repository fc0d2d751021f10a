//! Spec schemas: one struct, four uses — parse, check with Senlin's messages,
//! Senlin's own schema dialect, OpenAPI.

use serde_json::{Value, json};

use crate::{
    Map,
    seal::{SealError, Sealer},
};

mod check;
mod dialect;
mod secrets;

pub use secrets::{redact, unseal};

/// A spec is not as its type wants it. The text is for the user.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct SpecError(pub String);

/// The schema of a set of properties or parameters, derived from a struct.
#[derive(Debug, Clone)]
pub struct SpecSchema {
    /// JSON Schema (2020-12) with every reference resolved; our extensions
    /// `x-updatable`, `x-secret` and `x-secret-if` mark fields.
    json: Value,
}

impl SpecSchema {
    /// The schema of `T`, references resolved.
    #[must_use]
    pub fn of<T: utoipa::ToSchema>() -> Self {
        let mut parts = Vec::new();
        T::schemas(&mut parts);
        let parts: Vec<(String, Value)> = parts
            .into_iter()
            .map(|(name, schema)| (name, serde_json::to_value(schema).unwrap_or_default()))
            .collect();
        let root = serde_json::to_value(T::schema()).unwrap_or_default();
        Self {
            json: resolve(root, &parts, 0),
        }
    }

    /// The schema of nothing: no items at all.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            json: json!({"type": "object", "properties": {}, "additionalProperties": false}),
        }
    }

    /// The same without one item: an earlier version of a type.
    #[must_use]
    pub fn without(mut self, item: &str) -> Self {
        if let Some(items) = self.json.get_mut("properties").and_then(Value::as_object_mut) {
            items.remove(item);
        }
        self
    }

    /// Checks and normalises: Senlin's messages, lenient coercions, defaults.
    ///
    /// # Errors
    /// Names the item and the rule.
    pub fn check(&self, raw: &Map) -> Result<Map, SpecError> {
        check::object(&self.json, raw, "")
    }

    /// Senlin's dialect, as `GET /profile-types/{type}` shows it.
    #[must_use]
    pub fn to_senlin(&self) -> Value {
        Value::Object(dialect::items(&self.json))
    }

    /// The JSON Schema, for OpenAPI.
    #[must_use]
    pub fn json_schema(&self) -> &Value {
        &self.json
    }

    /// Seals the values marked secret: each becomes `{"$sealed": "…"}`.
    ///
    /// # Errors
    /// When the cipher fails.
    pub fn seal(&self, properties: &Map, sealer: &Sealer) -> Result<Map, SealError> {
        match secrets::seal(&self.json, &Value::Object(properties.clone()), sealer)? {
            Value::Object(map) => Ok(map),
            _ => Ok(Map::new()),
        }
    }
}

/// Replaces references by what they refer to.
fn resolve(value: Value, parts: &[(String, Value)], depth: usize) -> Value {
    if depth > 32 {
        return Value::Null;
    }
    match value {
        Value::Object(mut map) => {
            if let Some(Value::String(reference)) = map.get("$ref") {
                let name = reference.rsplit('/').next().unwrap_or_default().to_owned();
                let target = parts
                    .iter()
                    .find(|(n, _)| *n == name)
                    .map(|(_, v)| v.clone())
                    .unwrap_or_default();
                let mut target = resolve(target, parts, depth + 1);
                // What stands beside a reference (description, extensions) wins.
                map.remove("$ref");
                if let Value::Object(into) = &mut target {
                    into.extend(map);
                }
                return target;
            }
            let mut map: Map = map
                .into_iter()
                .map(|(k, v)| (k, resolve(v, parts, depth + 1)))
                .collect();
            // utoipa's way to put a default beside a reference: one object says the same.
            if let Some(Value::Array(all)) = map.remove("allOf") {
                for part in all {
                    let Value::Object(mut part) = part else { continue };
                    if map.contains_key("type") {
                        part.remove("type");
                    }
                    map.extend(part);
                }
            }
            Value::Object(map)
        }
        Value::Array(list) => Value::Array(list.into_iter().map(|v| resolve(v, parts, depth + 1)).collect()),
        other => other,
    }
}

/// The schema without its "or null" alternative: absence says the same.
fn strip_null(schema: &Value) -> Value {
    let alternatives = ["oneOf", "anyOf"]
        .into_iter()
        .find_map(|key| schema.get(key).and_then(Value::as_array));
    if let Some(list) = alternatives {
        let real: Vec<&Value> = list.iter().filter(|s| s.get("type") != Some(&json!("null"))).collect();
        if let [only] = real.as_slice() {
            let mut only = (*only).clone();
            if let (Value::Object(into), Value::Object(from)) = (&mut only, schema) {
                let beside = from.iter().filter(|(k, _)| *k != "oneOf" && *k != "anyOf");
                into.extend(beside.map(|(k, v)| (k.clone(), v.clone())));
            }
            return only;
        }
    }
    schema.clone()
}

/// The JSON type, without "or null".
fn type_of(schema: &Value) -> &str {
    match schema.get("type") {
        Some(Value::String(one)) => one,
        Some(Value::Array(list)) => list
            .iter()
            .filter_map(Value::as_str)
            .find(|t| *t != "null")
            .unwrap_or(""),
        _ => "",
    }
}

/// What it may be, when that is one of several.
fn alternatives(schema: &Value) -> Vec<&Value> {
    ["oneOf", "anyOf"]
        .into_iter()
        .find_map(|key| schema.get(key).and_then(Value::as_array))
        .map(|list| list.iter().filter(|s| s.get("type") != Some(&json!("null"))).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;

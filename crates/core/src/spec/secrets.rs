//! Secrets inside specs: sealed before they are stored, opened for the engine
//! alone, shown as `***`.

use serde_json::{Value, json};

use super::{alternatives, strip_null, type_of};
use crate::{
    Map, document,
    seal::{SealError, Sealer},
};

/// The key that marks a sealed value.
const SEALED: &str = "$sealed";

pub(super) fn seal(schema: &Value, value: &Value, sealer: &Sealer) -> Result<Value, SealError> {
    let schema = strip_null(schema);
    if schema.get("x-secret") == Some(&Value::Bool(true)) {
        return hide(value, sealer);
    }
    match value {
        Value::Object(map) => seal_map(&schema, map, sealer),
        Value::Array(list) => {
            let items = pick(&schema, "array")
                .and_then(|s| s.get("items"))
                .cloned()
                .unwrap_or_default();
            list.iter()
                .map(|v| seal(&items, v, sealer))
                .collect::<Result<Vec<_>, _>>()
                .map(Value::Array)
        }
        // A map written as JSON text may hold secrets as well.
        Value::String(text) if type_of(&schema) == "object" => match document::parse(text) {
            Some(Value::Object(map)) => seal_map(&schema, &map, sealer),
            _ => Ok(value.clone()),
        },
        other => Ok(other.clone()),
    }
}

/// The alternative of that type, or the schema itself.
fn pick<'a>(schema: &'a Value, kind: &str) -> Option<&'a Value> {
    let choices = alternatives(schema);
    if choices.is_empty() {
        Some(schema)
    } else {
        choices.into_iter().find(|c| type_of(c) == kind)
    }
}

fn seal_map(schema: &Value, map: &Map, sealer: &Sealer) -> Result<Value, SealError> {
    let Some(schema) = pick(schema, "object") else {
        return Ok(Value::Object(map.clone()));
    };
    // `x-secret-if`: the field is secret when its flag is set.
    let flagged = schema.get("x-secret-if").and_then(Value::as_object).and_then(|rule| {
        let flag = rule.get("flag").and_then(Value::as_str)?;
        let on = matches!(map.get(flag), Some(Value::Bool(true)))
            || map
                .get(flag)
                .and_then(Value::as_str)
                .is_some_and(|t| matches!(t.to_lowercase().as_str(), "1" | "t" | "true" | "on" | "y" | "yes"));
        on.then(|| rule.get("field").and_then(Value::as_str)).flatten()
    });
    let none = Value::Null;
    let mut out = Map::new();
    for (key, value) in map {
        let inner = schema
            .get("properties")
            .and_then(|p| p.get(key))
            .or_else(|| schema.get("additionalProperties"))
            .unwrap_or(&none);
        let sealed = if flagged == Some(key.as_str()) {
            hide(value, sealer)?
        } else {
            seal(inner, value, sealer)?
        };
        out.insert(key.clone(), sealed);
    }
    Ok(Value::Object(out))
}

fn hide(value: &Value, sealer: &Sealer) -> Result<Value, SealError> {
    let plain = match value {
        Value::Null => return Ok(Value::Null),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    Ok(json!({ SEALED: sealer.seal(&plain)? }))
}

fn sealed(value: &Value) -> Option<&str> {
    let map = value.as_object().filter(|m| m.len() == 1)?;
    map.get(SEALED)?.as_str()
}

/// Opens every sealed value in a document.
///
/// # Errors
/// When one was sealed with another key.
pub fn unseal(value: &Value, sealer: &Sealer) -> Result<Value, SealError> {
    transform(value, &mut |text| {
        sealer.open(text).map(|s| Value::String(s.expose().to_owned()))
    })
}

/// Replaces every sealed value by `***`.
#[must_use]
pub fn redact(value: &Value) -> Value {
    transform::<std::convert::Infallible>(value, &mut |_| Ok(Value::String("***".to_owned())))
        .unwrap_or_else(|never| match never {})
}

fn transform<E>(value: &Value, open: &mut impl FnMut(&str) -> Result<Value, E>) -> Result<Value, E> {
    if let Some(text) = sealed(value) {
        return open(text);
    }
    Ok(match value {
        Value::Object(map) => {
            let mut out = Map::new();
            for (key, value) in map {
                out.insert(key.clone(), transform(value, open)?);
            }
            Value::Object(out)
        }
        Value::Array(list) => {
            let mut out = Vec::with_capacity(list.len());
            for value in list {
                out.push(transform(value, open)?);
            }
            Value::Array(out)
        }
        other => other.clone(),
    })
}

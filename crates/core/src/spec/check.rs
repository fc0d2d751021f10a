//! Checking what a user wrote against a schema: Senlin's messages, Senlin's
//! leniency ("5" is 5, "yes" is true, a map may be JSON text).

use serde_json::{Number, Value};

use super::{SpecError, alternatives, strip_null, type_of};
use crate::{Map, document};

const TRUE: [&str; 6] = ["1", "t", "true", "on", "y", "yes"];
const FALSE: [&str; 6] = ["0", "f", "false", "off", "n", "no"];

fn refuse<T>(text: String) -> Result<T, SpecError> {
    Err(SpecError(text))
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// How messages show a value.
fn show(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

pub(super) fn object(schema: &Value, raw: &Map, path: &str) -> Result<Map, SpecError> {
    let none = Map::new();
    let known = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
    let free = schema.get("additionalProperties").filter(|a| a.is_object());
    let mut out = Map::new();
    for (key, value) in raw {
        if key == "$sealed" {
            return refuse(format!("Unrecognizable spec item '{key}'"));
        }
        let here = join(path, key);
        match (known.get(key), free) {
            (Some(_), _) if value.is_null() => {}
            (Some(schema), _) => {
                out.insert(key.clone(), convert(schema, value, &here)?);
            }
            (None, Some(schema)) => {
                out.insert(key.clone(), convert(schema, value, &here)?);
            }
            (None, None) if known.is_empty() && schema.get("additionalProperties") != Some(&Value::Bool(false)) => {
                out.insert(key.clone(), value.clone());
            }
            (None, None) => return refuse(format!("Unrecognizable spec item '{here}'")),
        }
    }
    let required = schema.get("required").and_then(Value::as_array);
    for key in required.into_iter().flatten().filter_map(Value::as_str) {
        if !out.contains_key(key) && known.get(key).and_then(|s| s.get("default")).is_none() {
            return refuse(format!("Required spec item '{}' not provided", join(path, key)));
        }
    }
    for (key, schema) in known {
        if let Some(default) = schema.get("default").filter(|d| !d.is_null())
            && !out.contains_key(key)
        {
            out.insert(key.clone(), default.clone());
        }
    }
    Ok(out)
}

fn convert(schema: &Value, value: &Value, path: &str) -> Result<Value, SpecError> {
    let schema = strip_null(schema);
    let choices = alternatives(&schema);
    if !choices.is_empty() {
        return one_of(&choices, value, path);
    }
    match type_of(&schema) {
        "string" => string(&schema, value, path),
        "integer" => integer(&schema, value, path),
        "number" => number(&schema, value, path),
        "boolean" => boolean(value),
        "array" => array(&schema, value, path),
        "object" => match value {
            Value::Object(map) => Ok(Value::Object(object(&schema, map, path)?)),
            Value::String(text) => match document::parse(text) {
                Some(Value::Object(map)) => Ok(Value::Object(object(&schema, &map, path)?)),
                _ => refuse(format!(
                    "Item '{path}' must be a map; '{text}' is neither a map nor JSON text of one"
                )),
            },
            other => refuse(format!("Item '{path}' must be a map, not '{}'", show(other))),
        },
        _ => Ok(value.clone()),
    }
}

/// An alternative of the value's own kind explains a refusal best.
fn one_of(choices: &[&Value], value: &Value, path: &str) -> Result<Value, SpecError> {
    let kind = match value {
        Value::Object(_) => "object",
        Value::Array(_) => "array",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_i64() || n.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) | Value::Null => "string",
    };
    let fits = |c: &&&Value| type_of(c) == kind || (kind == "integer" && type_of(c) == "number");
    if let Some(choice) = choices.iter().find(fits) {
        return convert(choice, value, path);
    }
    let mut last = None;
    for choice in choices {
        match convert(choice, value, path) {
            Ok(value) => return Ok(value),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| SpecError(format!("Item '{path}' cannot be '{}'", show(value)))))
}

fn string(schema: &Value, value: &Value, path: &str) -> Result<Value, SpecError> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(n) => n.to_string(),
        Value::Bool(b) => b.to_string(),
        other => return refuse(format!("Item '{path}' must be a string, not '{}'", show(other))),
    };
    if let Some(allowed) = schema.get("enum").and_then(Value::as_array) {
        let allowed: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
        if !allowed.contains(&text.as_str()) {
            return refuse(format!(
                "'{text}' must be one of the allowed values: {}",
                allowed.join(", ")
            ));
        }
    }
    let length = text.chars().count();
    if let Some(least) = schema.get("minLength").and_then(Value::as_u64)
        && u64::try_from(length).unwrap_or(u64::MAX) < least
    {
        return refuse(format!("Item '{path}' must have at least {least} character(s)"));
    }
    if let Some(most) = schema.get("maxLength").and_then(Value::as_u64)
        && u64::try_from(length).unwrap_or(u64::MAX) > most
    {
        return refuse(format!("Item '{path}' must have at most {most} characters"));
    }
    Ok(Value::String(text))
}

fn integer(schema: &Value, value: &Value, path: &str) -> Result<Value, SpecError> {
    let whole = match value {
        Value::Number(n) => n.as_i64(),
        Value::String(text) => text.trim().parse::<i64>().ok(),
        _ => None,
    };
    let Some(whole) = whole else {
        return refuse(format!(
            "The value '{}' of item '{path}' is not an integer",
            show(value)
        ));
    };
    if let Some(least) = schema.get("minimum").and_then(Value::as_i64)
        && whole < least
    {
        return refuse(format!("Item '{path}' must be at least {least}, not {whole}"));
    }
    if let Some(most) = schema.get("maximum").and_then(Value::as_i64)
        && whole > most
    {
        return refuse(format!("Item '{path}' must be at most {most}, not {whole}"));
    }
    Ok(Value::from(whole))
}

fn number(schema: &Value, value: &Value, path: &str) -> Result<Value, SpecError> {
    let number = match value {
        Value::Number(n) => n.as_f64(),
        Value::String(text) => text.trim().parse::<f64>().ok(),
        _ => None,
    };
    let Some(number) = number.filter(|n| n.is_finite()) else {
        return refuse(format!("The value '{}' of item '{path}' is not a number", show(value)));
    };
    if let Some(least) = schema.get("exclusiveMinimum").and_then(Value::as_f64)
        && number <= least
    {
        return refuse(format!("Item '{path}' must be greater than {least}, not {number}"));
    }
    if let Some(least) = schema.get("minimum").and_then(Value::as_f64)
        && number < least
    {
        return refuse(format!("Item '{path}' must be at least {least}, not {number}"));
    }
    Ok(Number::from_f64(number).map_or(Value::Null, Value::Number))
}

fn boolean(value: &Value) -> Result<Value, SpecError> {
    let text = match value {
        Value::Bool(_) => return Ok(value.clone()),
        other => show(other).trim().to_lowercase(),
    };
    if TRUE.contains(&text.as_str()) {
        return Ok(Value::Bool(true));
    }
    if FALSE.contains(&text.as_str()) {
        return Ok(Value::Bool(false));
    }
    refuse(format!(
        "Unrecognized value '{}', acceptable values are: '0', '1', 'f', 'false', 'n', 'no', 'off', 'on', 't', 'true', \
         'y', 'yes'",
        show(value)
    ))
}

fn array(schema: &Value, value: &Value, path: &str) -> Result<Value, SpecError> {
    let Value::Array(list) = value else {
        return refuse(format!("Item '{path}' must be a list, not '{}'", show(value)));
    };
    if let Some(least) = schema.get("minItems").and_then(Value::as_u64)
        && u64::try_from(list.len()).unwrap_or(u64::MAX) < least
    {
        return refuse(format!("Item '{path}' must have at least {least} item(s)"));
    }
    let items = schema.get("items").cloned().unwrap_or(Value::Null);
    let mut out = Vec::with_capacity(list.len());
    for (at, item) in list.iter().enumerate() {
        out.push(convert(&items, item, &format!("{path}[{at}]"))?);
    }
    Ok(Value::Array(out))
}

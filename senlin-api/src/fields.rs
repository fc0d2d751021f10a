//! Reading fields of a body: what is unknown, missing or of the wrong kind is
//! named, with Senlin's messages.

use std::collections::BTreeSet;

use senlin_core::Map;
use serde_json::Value;

use crate::error::{ApiError, Result};

fn refuse<T>(text: String) -> Result<T> {
    Err(ApiError::BadRequest(text))
}

/// Names that one request may list.
pub const MOST_NAMES: usize = 1000;

/// What Senlin calls the type of a value.
fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    }
}

/// The object under `key` of the body, with no keys but `allowed`.
///
/// # Errors
/// Names what is wrong.
pub fn envelope(body: Option<&Map>, key: &str, allowed: &[&str]) -> Result<Fields> {
    let inner = body
        .and_then(|b| b.get(key))
        .ok_or_else(|| ApiError::BadRequest(format!("Request body missing '{key}' key.")))?;
    let Value::Object(map) = inner else {
        return refuse(format!("'{key}' must be a map."));
    };
    Fields::new(map.clone(), allowed)
}

/// The same for a change, where Senlin says it in other words.
///
/// # Errors
/// Names what is wrong.
pub fn change(body: Option<&Map>, key: &str, allowed: &[&str]) -> Result<Fields> {
    if body.is_none_or(|b| !b.contains_key(key)) {
        return refuse(format!("Malformed request data, missing '{key}' key in request body."));
    }
    envelope(body, key, allowed)
}

/// Fields of a body.
#[derive(Debug, Clone)]
pub struct Fields(Map);

impl Fields {
    /// Fields with no keys but `allowed`.
    ///
    /// # Errors
    /// Names what is unknown.
    pub fn new(map: Map, allowed: &[&str]) -> Result<Self> {
        let unknown: Vec<String> = map
            .keys()
            .filter(|k| !allowed.contains(&k.as_str()))
            .map(|k| format!("'{k}'"))
            .collect();
        if !unknown.is_empty() {
            let verb = if unknown.len() == 1 { "was" } else { "were" };
            return refuse(format!(
                "Additional properties are not allowed ({} {verb} unexpected)",
                unknown.join(", ")
            ));
        }
        Ok(Self(map))
    }

    /// Whether the key is there with a value.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.0.get(key).is_some_and(|v| !v.is_null())
    }

    /// Whether nothing is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.0.values().any(|v| !v.is_null())
    }

    fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key).filter(|v| !v.is_null())
    }

    /// A value that must be there.
    ///
    /// # Errors
    /// When it is not.
    pub fn required(&self, key: &str) -> Result<&Value> {
        self.0
            .get(key)
            .ok_or_else(|| ApiError::BadRequest(format!("'{key}' is a required property")))
    }

    /// A text.
    ///
    /// # Errors
    /// When it is something else.
    pub fn text(&self, key: &str) -> Result<Option<String>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other) => refuse(format!("The value '{other}' of '{key}' is not a string.")),
        }
    }

    /// A name (contract/api, "Names").
    ///
    /// # Errors
    /// When it is too long or has other characters.
    pub fn name(&self, key: &str) -> Result<Option<String>> {
        let Some(name) = self.text(key)? else { return Ok(None) };
        let fine = |c: char| {
            c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '~' | '-') || ('\u{4e00}'..='\u{9fa5}').contains(&c)
        };
        if name.is_empty() || name.chars().count() > 255 {
            return refuse(format!("The value of '{key}' must have 1 to 255 characters."));
        }
        if !name.chars().all(fine) {
            return refuse(format!(
                "The value '{name}' of '{key}' contains illegal character(s): letters, digits and ._~- are allowed."
            ));
        }
        Ok(Some(name))
    }

    /// A name that must be there.
    ///
    /// # Errors
    /// As [`Self::name`].
    pub fn required_name(&self, key: &str) -> Result<String> {
        self.required(key)?;
        self.name(key)?
            .ok_or_else(|| ApiError::BadRequest(format!("'{key}' cannot be null.")))
    }

    /// A map, or JSON text of one.
    ///
    /// # Errors
    /// When it is something else.
    pub fn map(&self, key: &str) -> Result<Option<Map>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(map.clone())),
            Some(Value::String(text)) => match serde_json::from_str(text) {
                Ok(Value::Object(map)) => Ok(Some(map)),
                _ => refuse(format!("The value '{text}' of '{key}' is not a map.")),
            },
            Some(other) => refuse(format!("The value '{other}' of '{key}' is not a map.")),
        }
    }

    /// A whole number, or digits.
    ///
    /// # Errors
    /// When it is something else, or out of range.
    pub fn integer(&self, key: &str, least: i32, most: i32) -> Result<Option<i32>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let shown = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let Ok(number) = shown.trim().parse::<i64>() else {
            return refuse(format!("The value for {key} must be an integer: '{shown}'."));
        };
        let Ok(number) = i32::try_from(number) else {
            return refuse(format!("Value must be <= {most} for field '{key}'."));
        };
        if number < least {
            return refuse(format!("Value must be >= {least} for field '{key}'."));
        }
        if number > most {
            return refuse(format!("Value must be <= {most} for field '{key}'."));
        }
        Ok(Some(number))
    }

    /// A number.
    ///
    /// # Errors
    /// When it is something else.
    pub fn number(&self, key: &str) -> Result<Option<f64>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Number(n)) => Ok(n.as_f64()),
            Some(Value::String(text)) if text.trim().parse::<f64>().is_ok_and(f64::is_finite) => {
                Ok(text.trim().parse().ok())
            }
            Some(other) => refuse(format!("The value {other} of '{key}' is not a number.")),
        }
    }

    /// True or false, in Senlin's many words.
    ///
    /// # Errors
    /// When it is something else.
    pub fn boolean(&self, key: &str) -> Result<Option<bool>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let shown = match value {
            Value::Bool(b) => return Ok(Some(*b)),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        match shown.trim().to_lowercase().as_str() {
            "1" | "t" | "true" | "on" | "y" | "yes" => Ok(Some(true)),
            "0" | "f" | "false" | "off" | "n" | "no" => Ok(Some(false)),
            _ => refuse(format!(
                "Unrecognized value '{shown}', acceptable values are: '0', '1', 'f', 'false', 'n', 'no', 'off', \
                 'on', 't', 'true', 'y', 'yes'"
            )),
        }
    }

    /// A list of names or ids: at least one, at most [`MOST_NAMES`], each once.
    ///
    /// # Errors
    /// When it is something else; a text is not the list of its letters.
    pub fn identities(&self, key: &str) -> Result<Vec<String>> {
        let list = match self.get(key) {
            None => &[][..],
            Some(Value::Array(list)) => list.as_slice(),
            // Senlin reads a text as the list of its letters. Where it refuses that, its words are kept.
            Some(Value::String(text)) if text.chars().collect::<BTreeSet<_>>().len() < text.chars().count() => {
                return refuse(format!("Items for '{key}' must be unique"));
            }
            Some(other) => {
                return refuse(format!("A list is required in field {key}, not a {}", type_name(other)));
            }
        };
        if list.is_empty() {
            return refuse(format!("Value for '{key}' must have at least 1 item(s)."));
        }
        if list.len() > MOST_NAMES {
            return refuse(format!("Value for '{key}' must have at most {MOST_NAMES} item(s)."));
        }
        let mut seen = BTreeSet::new();
        let mut names = Vec::new();
        for item in list {
            let Value::String(name) = item else {
                return refuse(format!(
                    "A string is required in field {key}, not a {}",
                    type_name(item)
                ));
            };
            if !seen.insert(name) {
                return refuse(format!("Items for '{key}' must be unique"));
            }
            names.push(name.clone());
        }
        Ok(names)
    }

    /// Everything, as it came.
    #[must_use]
    pub fn into_map(self) -> Map {
        self.0
    }
}

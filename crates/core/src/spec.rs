//! Spec schemas: one struct, four uses — parse, check with Senlin's messages,
//! Senlin's own schema dialect, OpenAPI.

use serde_json::Value;

use crate::{
    Map,
    seal::{SealError, Sealer},
};

/// A spec is not as its type wants it. The text is for the user.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct SpecError(pub String);

/// The schema of a set of properties or parameters, derived from a struct.
#[derive(Debug, Clone)]
pub struct SpecSchema {
    /// JSON Schema (2020-12) with every reference resolved; our extensions
    /// `x-updatable` and `x-secret` mark fields.
    json: Value,
}

impl SpecSchema {
    /// The schema of `T`, references resolved.
    #[must_use]
    pub fn of<T: utoipa::ToSchema>() -> Self {
        Self { json: Value::Null }
    }
    /// Checks and normalises: Senlin's messages, lenient coercions, defaults.
    ///
    /// # Errors
    /// Names the item and the rule.
    pub fn check(&self, raw: &Map) -> Result<Map, SpecError> {
        Ok(raw.clone())
    }
    /// Senlin's dialect, as `GET /profile-types/{type}` shows it.
    #[must_use]
    pub fn to_senlin(&self) -> Value {
        Value::Null
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
    pub fn seal(&self, properties: &Map, _sealer: &Sealer) -> Result<Map, SealError> {
        Ok(properties.clone())
    }
}

/// Opens every sealed value in a document.
///
/// # Errors
/// When one was sealed with another key.
pub fn unseal(value: &Value, _sealer: &Sealer) -> Result<Value, SealError> {
    Ok(value.clone())
}

/// Replaces every sealed value by `***`.
#[must_use]
pub fn redact(value: &Value) -> Value {
    value.clone()
}

//! The outer form of a spec, the same for profiles and policies.

use senlin_core::profile::Spec;
use serde_json::{Value, json};

use crate::error::{ApiError, Result};

/// A spec with no items but `known`; what its type says of `properties` is yet
/// to be checked.
///
/// # Errors
/// Names the item that is missing, unknown or of the wrong kind.
pub(crate) fn read(spec: &Value, known: &[&str]) -> Result<Spec> {
    let Value::Object(map) = spec else {
        return Err(ApiError::BadRequest("The 'spec' must be a map.".to_owned()));
    };
    for key in ["type", "version"] {
        if !map.contains_key(key) {
            return Err(ApiError::InvalidSpec(format!(
                "The '{key}' key is missing from the provided spec map."
            )));
        }
    }
    if let Some(key) = map.keys().find(|k| !known.contains(&k.as_str())) {
        return Err(ApiError::InvalidSpec(format!("Unrecognizable spec item '{key}'")));
    }
    let mut map = map.clone();
    map.entry("properties").or_insert_with(|| json!({}));
    serde_json::from_value(Value::Object(map)).map_err(|_source| {
        ApiError::InvalidSpec(format!(
            "The spec is {{{}}}, and properties is a map.",
            known.join(", ")
        ))
    })
}

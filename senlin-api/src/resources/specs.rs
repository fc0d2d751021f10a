//! The outer form of a spec, the same for profiles and policies.

use senlin_core::profile::Spec;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    body::{self, BodyError},
    error::{ApiError, Result},
};

/// A spec of that form; what its type says of `properties` is yet to be checked.
///
/// # Errors
/// Names the item that is missing, unknown or of the wrong kind.
pub(crate) fn read<T: DeserializeOwned + Into<Spec>>(spec: Value) -> Result<Spec> {
    let Value::Object(map) = spec else {
        return Err(ApiError::BadRequest("The 'spec' must be a map.".to_owned()));
    };
    let spec: T = body::read(map).map_err(|error| {
        ApiError::InvalidSpec(match error {
            BodyError::Missing(key) => format!("The '{key}' key is missing from the provided spec map."),
            BodyError::Unknown(keys) => format!("Unrecognizable spec item '{}'", keys.join("', '")),
            _ => "The spec is {type, version, properties}, and properties is a map.".to_owned(),
        })
    })?;
    Ok(spec.into())
}

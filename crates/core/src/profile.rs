//! Profiles: what a node is.

use serde::{Deserialize, Serialize};

use crate::{Map, Time, ids::*};

/// A spec as users write it: `{type, version, properties}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Spec {
    /// Such as `container.dockerinc.docker`.
    #[serde(rename = "type")]
    pub type_name: String,
    /// A string or a number; echoed as it was given.
    pub version: serde_json::Value,
    /// A policy's may say what it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What the type's schema describes.
    pub properties: Map,
}

impl Spec {
    /// `type-version`, as types are named everywhere.
    #[must_use]
    pub fn full_type(&self) -> String {
        let version = match &self.version {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        format!("{}-{version}", self.type_name)
    }
}

/// A profile as the database holds it; secrets in `spec` are sealed.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the contract's own words")]
pub struct Profile {
    pub id: ProfileId,
    pub name: String,
    /// `type-version`.
    pub type_name: String,
    pub spec: Spec,
    pub user: String,
    pub project: String,
    pub domain: Option<String>,
    pub metadata: Map,
    pub created_at: Time,
    pub updated_at: Option<Time>,
}

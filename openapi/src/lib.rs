//! Wire types: the contract's representations, and nothing else.
//!
//! Must never: decide anything. `senlin-v1.json` beside this crate is the
//! document; a test of `senlin-api` keeps it current.

use senlin_core::ids::*;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

pub mod bodies;
pub mod show;
pub mod values;
pub mod versions;
pub mod views;

pub use show::{action, binding, cluster, event, node, policy, profile, receiver, service, time};
pub use versions::{MAX, MIN, Microversion, SENLIN_MAX};

/// The answer to a recorded action.
#[must_use]
pub fn accepted(id: ActionId) -> Value {
    json!({"action": id})
}

/// What is wrong with a request, as every error answers it.
#[derive(Debug, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the contract's own words")]
pub struct Fault {
    #[schema(example = 404)]
    pub code: u16,
    #[schema(example = "Not Found")]
    pub title: String,
    pub explanation: String,
    pub error: FaultDetail,
}

/// The part that clients show.
#[derive(Debug, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the contract's own words")]
pub struct FaultDetail {
    #[schema(example = 404)]
    pub code: u16,
    #[schema(example = "The cluster 'c1' could not be found.")]
    pub message: String,
    #[serde(rename = "type")]
    #[schema(example = "ResourceNotFound")]
    pub kind: String,
}

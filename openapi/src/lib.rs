//! Wire types: the contract's representations, and nothing else.
//!
//! Must never: decide anything. `senlin-v1.json` beside this crate is the
//! document; a test of `senlin-api` keeps it current.

use senlin_core::ids::*;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::{
    ToSchema,
    openapi::{RefOr, Schema},
};

pub mod bodies;
pub mod show;
pub mod values;
pub mod versions;
pub mod views;

pub use show::{action, binding, cluster, event, node, policy, profile, receiver, service, time};
pub use versions::{MAX, MIN, Microversion, SENLIN_MAX};

/// A body or answer that holds one thing under a key, or a list of them.
#[derive(Debug)]
pub struct Wrapper {
    /// Its own name in the document.
    pub name: &'static str,
    /// The key.
    pub key: &'static str,
    /// The schema of what it holds.
    pub inner: &'static str,
    /// Whether a list of that.
    pub many: bool,
}

/// A [`Wrapper`] of one thing.
const fn one(name: &'static str, key: &'static str, inner: &'static str) -> Wrapper {
    Wrapper {
        name,
        key,
        inner,
        many: false,
    }
}

/// A [`Wrapper`] of a list.
const fn list(name: &'static str, key: &'static str, inner: &'static str) -> Wrapper {
    Wrapper {
        name,
        key,
        inner,
        many: true,
    }
}

/// A schema's name and itself.
pub type Named = (String, RefOr<Schema>);

/// The schema of a struct and of what it refers to.
fn schemas_of<T: ToSchema>() -> Vec<Named> {
    let mut all = Vec::new();
    T::schemas(&mut all);
    all.push((T::name().into_owned(), T::schema()));
    all
}

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

//! Profile types: what a node is, and how its life cycle goes.
//!
//! Must never: know bollard, a database, or which cluster decided what. A type
//! works on one node and one host through `senlin_core::driver`'s traits.

use std::sync::Arc;

use senlin_core::profile_type::{ProfileType, Registry};

pub mod container;
pub mod host;

/// Every type, in listing order. A new one is one file and one line here.
#[must_use]
pub fn all() -> Registry {
    let types: Vec<Arc<dyn ProfileType>> = vec![
        Arc::new(container::Docker::v1_0()),
        Arc::new(container::Docker::v1_1()),
        Arc::new(host::Engine::new()),
    ];
    Registry::new(types)
}

#[cfg(test)]
mod tests;

//! Decisions: sizes, victims, placement. Facts in, decision and explanation out.
//!
//! Must never: do IO, be async, or read the clock; time and chance are arguments.

use std::sync::Arc;

pub mod engine;
pub mod placement;
pub mod size;
pub mod victims;

mod chance;
mod deletion;
mod scaling;

/// Every policy type, in listing order. A new one is one file and one line here.
#[must_use]
pub fn all() -> engine::Registry {
    engine::Registry::new(vec![
        Arc::new(deletion::Deletion::v1_0()),
        Arc::new(deletion::Deletion::v1_1()),
        Arc::new(scaling::Scaling::new()),
    ])
}

//! Decisions: sizes, victims, placement. Facts in, decision and explanation out.
//!
//! Must never: do IO, be async, or read the clock; time and chance are arguments.

pub mod engine;
pub mod placement;
pub mod rebalance;
pub mod size;
pub mod types;
pub mod victims;

mod chance;
mod shares;

pub use types::all;

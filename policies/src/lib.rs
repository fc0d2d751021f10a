//! Decisions: sizes, victims, placement. Facts in, decision and explanation out.
//!
//! Must never: do IO, be async, or read the clock; time and chance are arguments.

pub mod placement;
pub mod size;
pub mod victims;

mod chance;

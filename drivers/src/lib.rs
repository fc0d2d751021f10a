//! Docker (bollard) and simulated hosts behind `senlin_core::driver`'s traits.
//!
//! Must never: know a database, a broker, or what a cluster is. Networks and
//! volumes get modules of their own here, beside [`docker`].

pub mod docker;
pub mod sim;

mod connector;

pub use connector::{Connector, Settings};

//! What every program needs: settings, secrets from files, logging, metrics,
//! signals.
//!
//! Must never: know what the program is for.

pub mod log;
pub mod ops;
pub mod secrets;
pub mod settings;
pub mod signal;
pub mod start;

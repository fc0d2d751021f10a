//! REST server: authenticates, validates, records actions, wakes workers.
//!
//! Must never: talk to a host or know how (no `senlin-drivers`, no bollard), or
//! run an action. Start at [`router`] (the whole API in one file), then
//! [`request`] (what each call brings), then [`resources`].

pub mod settings;

pub mod operations;
pub mod router;
mod server;
pub mod state;

pub mod auth;
pub mod rbac;

pub mod body;
pub mod error;
mod idempotency;
pub mod lists;
mod rate_limit;
pub mod request;

pub mod resources;

pub mod openapi;

pub use settings::Settings;
pub use state::{Api, Parts};

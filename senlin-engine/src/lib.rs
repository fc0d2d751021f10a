//! Workers: they claim actions, let the decisions be made, and call drivers.
//!
//! Must never: speak HTTP to users (actix-web, wire types), or take a message
//! for the truth. Start at [`queue::dispatcher`] (what is claimed), then
//! [`queue::worker`] (how one action runs), then [`actions`] (what each kind
//! does).

pub mod settings;

pub mod queue;

pub mod actions;
pub mod decisions;

pub mod tasks;

pub mod hosts;
pub mod outbound;

pub mod metrics;
pub mod rpc;

mod engine;
pub mod failure;
mod run;

pub use engine::{Engine, Parts};
pub use settings::Settings;

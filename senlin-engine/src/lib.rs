//! Workers: they claim actions, let the decisions be made, and call drivers.
//!
//! Must never: speak HTTP to users (actix-web, wire types), or take a message
//! for the truth. Start at [`dispatcher`] (what is claimed), then [`worker`]
//! (how one action runs), then [`actions`] (what each kind does).

pub mod settings;

pub mod dispatcher;
pub mod lease;
pub mod sweeper;
pub mod worker;

pub mod context;
pub mod faults;
pub mod fleet;
pub mod specs;

mod decisions;
mod drive;
mod plan;
mod targets;
pub mod web;

pub mod actions;

pub mod answer;
pub mod beat;
mod collector;
pub mod health;
pub mod hooks;
pub mod load;
pub mod metrics;
pub mod rebalance;
mod retention;
pub mod tracking;

mod engine;

pub use engine::{Engine, Parts};
pub use settings::Settings;

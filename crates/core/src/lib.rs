//! Domain types, traits and pure rules that every other crate shares.
//!
//! Must never: do IO, start a runtime, read the clock, or know a database, a
//! broker, HTTP or Docker. Start reading at [`action`] (what is being done),
//! [`cluster`] and [`node`] (to what), [`profile_type`] (how).

pub mod action;
pub mod caller;
pub mod cluster;
pub mod document;
pub mod driver;
pub mod event;
pub mod host;
pub mod ids;
pub mod interface;
pub mod naming;
pub mod node;
pub mod placement;
pub mod policy;
pub mod profile;
pub mod profile_type;
pub mod receiver;
pub mod seal;
pub mod secret;
pub mod service;
pub mod spec;
pub mod steps;
pub mod text;
pub mod types;
mod words;

/// A JSON object, as specs, metadata and inputs are kept.
pub type Map = serde_json::Map<String, serde_json::Value>;
/// An instant; every stored one comes from the database's clock.
pub type Time = chrono::DateTime<chrono::Utc>;

//! All SQL: schema, migrations and queries, one small file of plain functions
//! per subject.
//!
//! Must never: know HTTP, a broker or Docker, or decide anything that a pure
//! function could. Every instant is the database's own `now()`; every write on
//! behalf of an action is fenced by its owner and attempt ([`fence::Fence`]).
//!
//! Functions take a connection, so they compose inside a transaction.

pub mod connect;
pub mod error;
mod functions;
pub mod migrate;
pub mod pool;
mod run;
mod schema;
pub mod sql;
mod statements;
mod stored;

pub mod actions;
pub mod attempts;
pub mod bindings;
pub mod child_actions;
pub mod children;
pub mod clusters;
pub mod deliveries;
pub mod events;
pub mod fence;
pub mod health;
pub mod history;
pub mod hooks;
pub mod hosts;
pub mod idempotency;
pub mod leases;
pub mod loads;
pub mod members;
pub mod node_self;
pub mod nodes;
pub mod page;
pub mod placement;
pub mod policies;
pub mod policy_actions;
pub mod profiles;
pub mod queue;
pub mod quota;
pub mod receivers;
pub mod services;
pub mod settling;
pub mod targets;
pub mod unaccounted;
pub mod whereabouts;

pub use connect::{Servers, Unusable, usable};
pub use error::{DbError, Result};
pub use migrate::{SchemaState, migrate, schema_state};
pub use pool::{Conn, Db, LONGEST_CLAIM};

/// A JSON column that holds an object.
pub(crate) fn object(value: serde_json::Value) -> senlin_core::Map {
    match value {
        serde_json::Value::Object(map) => map,
        _ => senlin_core::Map::new(),
    }
}

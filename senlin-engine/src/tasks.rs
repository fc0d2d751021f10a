//! What engines do unasked, each on a timer of its own.

mod collector;
pub mod health;
pub mod heartbeat;
pub mod hooks;
pub mod load;
pub mod rebalance;
pub(crate) mod retention;
pub mod target_tracking;

//! What engines do unasked, each run by the one [`runner`].

mod collector;
pub mod departed;
pub mod fleet;
pub mod health;
pub mod heartbeat;
pub mod hooks;
pub mod load;
pub mod policy_watch;
pub mod rebalance;
pub mod retention;
pub mod runner;
pub mod target_tracking;

//! The engine on a real PostgreSQL and simulated hosts.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it counted"
)]

mod asked;
mod by_hand;
mod collector;
mod decisions;
mod faults;
mod health;
mod hooks;
mod intent;
mod life;
mod ownership;
mod policies;
mod queue;
mod rest;
mod retention;
mod started;
mod strike;
mod tasks;
mod waiting;
mod world;

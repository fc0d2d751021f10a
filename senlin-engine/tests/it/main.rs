//! The engine on a real PostgreSQL and simulated hosts.

mod faults;
mod life;
mod queue;
mod world;

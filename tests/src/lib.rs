//! What end to end tests and the benchmark share: real programs, real hosts.

pub mod brokers;
pub mod hosts;
pub mod http;
pub mod keystone;
pub mod metrics;
pub mod pair;
mod ports;
pub mod programs;
pub mod registry;
pub mod story;

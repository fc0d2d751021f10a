//! Connections to hosts, and the profiles that say how to reach them.

pub mod connections;
pub mod profile_cache;

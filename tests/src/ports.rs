//! Ports for what tests start.

use std::{
    collections::BTreeSet,
    net::TcpListener,
    sync::{Mutex, PoisonError},
};

use anyhow::Context;
use rand::Rng;

/// Those that this process was given.
static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A port that nobody listens on just now. It is below those that the system
/// gives to connections, so that none takes it before it is used.
///
/// # Errors
/// When none is found.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut tries = (0..1000).map(|_| rand::rng().random_range(10_000..15_000_u16));
    tries
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok() && given.insert(*port))
        .context("no port is free")
}

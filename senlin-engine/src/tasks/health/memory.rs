//! What the health manager keeps in memory.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex},
    time::Instant,
};

use senlin_core::{driver::ContainerSummary, ids::*};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Containers and URLs that one engine asks one by one at the same time.
const PROBES: usize = 64;

/// What the health manager keeps in memory: nothing that may not be lost.
pub(crate) struct Memory {
    /// Bindings that this engine has swept before: the first sweep only looks.
    pub(super) looked: Mutex<BTreeSet<BindingId>>,
    /// Bindings that this engine is sweeping.
    pub(super) sweeping: Mutex<BTreeSet<BindingId>>,
    /// Hosts that this engine listens to, and how it is told to stop.
    pub(super) listening: Mutex<HashMap<NodeId, CancellationToken>>,
    pub(super) lists: tokio::sync::Mutex<HashMap<NodeId, Slot>>,
    pub(super) probes: Arc<Semaphore>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            looked: Mutex::default(),
            sweeping: Mutex::default(),
            listening: Mutex::default(),
            lists: tokio::sync::Mutex::default(),
            probes: Arc::new(Semaphore::new(PROBES)),
        }
    }
}

/// Where the list of one host is kept, and made once for all who wait for it.
pub(super) type Slot = Arc<tokio::sync::Mutex<Option<Listing>>>;

/// A host's containers of ours, by id.
pub(super) type Containers = Arc<HashMap<String, ContainerSummary>>;

/// What a host said of its containers.
pub(super) struct Listing {
    /// Before the host was asked: it may have answered late.
    pub(super) asked: Instant,
    /// None: the host did not answer.
    pub(super) containers: Option<Containers>,
}

//! How the engine gets from a host's node to a connected driver.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use moka::sync::Cache;
use senlin_core::{
    driver::{ContainerDriver, DriverError, HostConnector},
    host::Endpoint,
    ids::*,
    profile_type::{Demand, ProfileError},
};
use senlin_db::{Conn, hosts};

use crate::{failure::Failure, hosts::profile_cache::ProfileCache};

/// How long an endpoint is taken to be the same.
const FRESH: Duration = Duration::from_secs(30);
/// Hosts whose endpoints are remembered at most.
const MAX_CACHED_ENDPOINTS: u64 = 10_000;

/// Endpoints by host, and what connects to them.
pub(crate) struct HostConnections {
    connector: Arc<dyn HostConnector>,
    endpoints: Cache<NodeId, Endpoint>,
    /// Hosts that were tidied up lately.
    collected: Cache<NodeId, ()>,
    /// Hosts whose heartbeat is under way.
    beating: Arc<Mutex<HashSet<NodeId>>>,
}

/// The one heartbeat of a host that is under way; ends when it is dropped.
pub(crate) struct Beating {
    host: NodeId,
    all: Arc<Mutex<HashSet<NodeId>>>,
}

impl Drop for Beating {
    fn drop(&mut self) {
        self.all
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.host);
    }
}

impl HostConnections {
    /// `collect`: how often each host is tidied up.
    pub(crate) fn new(connector: Arc<dyn HostConnector>, collect: Duration) -> Self {
        Self {
            connector,
            endpoints: Cache::builder()
                .max_capacity(MAX_CACHED_ENDPOINTS)
                .time_to_live(FRESH)
                .build(),
            collected: Cache::builder()
                .max_capacity(MAX_CACHED_ENDPOINTS)
                .time_to_live(collect)
                .build(),
            beating: Arc::default(),
        }
    }

    /// Whether it is the host's turn to be tidied up; if so, it is not again for a while.
    pub(crate) fn is_collect_due(&self, host: NodeId) -> bool {
        let due = !self.collected.contains_key(&host);
        if due {
            self.collected.insert(host, ());
        }
        due
    }

    /// Begins a heartbeat, unless the host has not answered the last one yet:
    /// a dark host costs one waiting call, not one per heartbeat.
    pub(crate) fn begin_beat(&self, host: NodeId) -> Option<Beating> {
        let begun = self.beating.lock().unwrap_or_else(PoisonError::into_inner).insert(host);
        begun.then(|| Beating {
            host,
            all: self.beating.clone(),
        })
    }

    /// A driver for the host that `node` is.
    pub(crate) async fn driver(
        &self,
        conn: &mut Conn,
        profiles: &ProfileCache,
        node: NodeId,
    ) -> Result<Arc<dyn ContainerDriver>, Failure> {
        let endpoint = match self.endpoints.get(&node) {
            Some(endpoint) => endpoint,
            None => {
                let endpoint = self.endpoint(conn, profiles, node).await?;
                self.endpoints.insert(node, endpoint.clone());
                endpoint
            }
        };
        self.connect(&endpoint).await
    }

    /// A driver for an endpoint that may not be a host's yet.
    pub(crate) async fn connect(&self, endpoint: &Endpoint) -> Result<Arc<dyn ContainerDriver>, Failure> {
        Ok(self.connector.connect(endpoint).await.map_err(ProfileError::from)?)
    }

    /// Forgets what is known of a host's endpoint.
    pub(crate) fn forget(&self, node: NodeId) {
        self.endpoints.invalidate(&node);
    }

    async fn endpoint(&self, conn: &mut Conn, profiles: &ProfileCache, node: NodeId) -> Result<Endpoint, Failure> {
        let gone = || Failure::Refused(format!("The host '{node}' could not be found."));
        let host = hosts::get(conn, node).await?.ok_or_else(gone)?;
        let loaded = profiles.load(conn, host.profile_id).await?;
        let Demand::Endpoint(pool) = loaded.demand()? else {
            return Err(gone());
        };
        pool.into_iter().find(|e| e.url == host.endpoint).ok_or_else(|| {
            ProfileError::from(DriverError::Endpoint {
                endpoint: host.endpoint,
                reason: "its profile does not list it".to_owned(),
            })
            .into()
        })
    }
}

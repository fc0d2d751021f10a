//! What an engine is made of, and keeps.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use senlin_bus::Bus;
use senlin_core::{driver::HostConnector, ids::*, interface::Interface, profile_type::Registry, seal::Sealer};
use senlin_db::{Db, DbError, hosts};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Settings,
    actions::faults::{Faults, NoFaults},
    hosts::{connections::HostConnections, profile_cache::ProfileCache},
    metrics::Metrics,
    outbound::Outbound,
    queue::{many::Many, running::RunningActions},
    tasks::health::memory::Memory,
};

/// What an engine is made of.
pub struct Parts {
    /// The truth.
    pub db: Db,
    /// The hints.
    pub bus: Arc<dyn Bus>,
    /// Every profile type.
    pub registry: Registry,
    /// How hosts are reached.
    pub connector: Arc<dyn HostConnector>,
    /// Opens the secrets in specs.
    pub sealer: Sealer,
    /// What the operator set.
    pub settings: Settings,
    /// What it counts.
    pub metrics: Metrics,
}

/// One engine. Cheap to clone behind its `Arc`.
pub struct Engine {
    pub(crate) id: ServiceId,
    pub(crate) db: Db,
    /// Connections for leases alone: nothing else delays them.
    pub(crate) leases: Db,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) settings: Settings,
    pub(crate) sealer: Sealer,
    pub(crate) profile_cache: ProfileCache,
    pub(crate) policies: senlin_policies::engine::Registry,
    pub(crate) connections: HostConnections,
    pub(crate) faults: Arc<dyn Faults>,
    pub(crate) installation: String,
    pub(crate) slots: Arc<Semaphore>,
    pub(crate) running: RunningActions,
    pub(crate) tasks: TaskTracker,
    /// Told when nothing new is to be begun.
    pub(crate) stop: CancellationToken,
    /// Told when something may be claimed.
    pub(crate) work: Notify,
    /// Parents to look at, once for many children.
    pub(crate) parents: mpsc::UnboundedSender<ActionId>,
    pub(crate) parents_in: tokio::sync::Mutex<mpsc::UnboundedReceiver<ActionId>>,
    /// What many workers ask or write at the same moment.
    pub(crate) many: Many,
    /// Asks addresses that tenants name.
    pub(crate) web: Outbound,
    /// What the health manager keeps in memory.
    pub(crate) health: Memory,
    /// When it last looked at the partitions of the history.
    turned: Mutex<Option<Instant>>,
    /// What it counts.
    pub metrics: Metrics,
}

impl Engine {
    /// An engine that is not running yet.
    ///
    /// # Errors
    /// When the database does not say whose control plane this is.
    pub async fn new(parts: Parts) -> Result<Arc<Self>, DbError> {
        Self::with_faults(parts, Arc::new(NoFaults)).await
    }

    /// An engine whose steps can be made to fail.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub async fn with_faults(parts: Parts, faults: Arc<dyn Faults>) -> Result<Arc<Self>, DbError> {
        let installation = hosts::installation(&mut parts.db.session()).await?.to_string();
        let web = Outbound::new(&parts.settings.allow_addresses, &parts.settings.blocked)
            .map_err(|reason| DbError::Unavailable(format!("the settings cannot be used: {reason}").into()))?;
        let (parents, parents_in) = mpsc::unbounded_channel();
        let leases = parts.db.apart(1)?;
        Ok(Arc::new(Self {
            id: ServiceId::random(),
            profile_cache: ProfileCache::new(parts.registry, parts.sealer.clone()),
            policies: senlin_policies::all(),
            connections: HostConnections::new(parts.connector, Duration::from_secs(parts.settings.collect)),
            slots: Arc::new(Semaphore::new(parts.settings.slots)),
            db: parts.db,
            leases,
            bus: parts.bus,
            settings: parts.settings,
            sealer: parts.sealer,
            faults,
            installation,
            running: RunningActions::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            work: Notify::new(),
            parents,
            parents_in: tokio::sync::Mutex::new(parents_in),
            many: Many::default(),
            web,
            health: Memory::default(),
            turned: Mutex::default(),
            metrics: parts.metrics,
        }))
    }

    /// What puts the in-container interface into containers, if it is offered.
    pub(crate) fn interface(&self) -> Option<Interface<'_>> {
        self.settings.rules.container_url.as_deref().map(|url| Interface {
            url,
            sealer: &self.sealer,
        })
    }

    /// Whether the last look at the partitions was `every` ago; then this is one.
    pub(crate) fn is_turn_due(&self, every: Duration) -> bool {
        let mut turned = self.turned.lock().unwrap_or_else(PoisonError::into_inner);
        let due = turned.is_none_or(|at| at.elapsed() >= every);
        if due {
            *turned = Some(Instant::now());
        }
        due
    }

    /// There may be something to claim in so many seconds. A hint: the sweeper
    /// finds it too.
    pub(crate) fn look_in(self: &Arc<Self>, seconds: f64) {
        let engine = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs_f64(seconds + 0.01)).await;
            engine.work.notify_one();
        });
    }

    /// This engine's id, as actions name their owner.
    #[must_use]
    pub fn id(&self) -> ServiceId {
        self.id
    }

    /// Actions that this engine works on.
    #[must_use]
    pub fn working_on(&self) -> usize {
        self.running.len()
    }
}

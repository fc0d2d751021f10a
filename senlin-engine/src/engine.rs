//! The engine: its parts, wired and run.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use senlin_bus::Bus;
use senlin_core::{driver::HostConnector, ids::*, interface::Interface, profile_type::Registry, seal::Sealer};
use senlin_db::{Db, DbError, hosts, services};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Settings,
    actions::faults::{Faults, NoFaults},
    hosts::{connections::HostConnections, profile_cache::ProfileCache},
    metrics::{self, Metrics},
    outbound::Outbound,
    queue::{
        dispatcher,
        lease::{self, RunningActions},
        sweeper, worker,
    },
    rpc,
    tasks::{health, heartbeat, hooks, load, rebalance, retention, target_tracking},
};

/// How long each part of a shutdown may take.
const STOP: Duration = Duration::from_secs(5);

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
    /// Told when something may be claimed.
    pub(crate) work: Notify,
    /// Parents to look at, once for many children.
    pub(crate) parents: mpsc::UnboundedSender<ActionId>,
    pub(crate) parents_in: tokio::sync::Mutex<mpsc::UnboundedReceiver<ActionId>>,
    /// Asks addresses that tenants name.
    pub(crate) web: Outbound,
    /// What the health manager keeps in memory.
    pub(crate) health: health::Memory,
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
            work: Notify::new(),
            parents,
            parents_in: tokio::sync::Mutex::new(parents_in),
            web,
            health: health::Memory::default(),
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

    /// Claims and runs what is READY until nothing is, without waiting for
    /// anything: how tests drive an engine step by step.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn drain(self: &Arc<Self>) -> Result<(), DbError> {
        loop {
            sweeper::sweep(self).await?;
            let Ok(slot) = self.slots.clone().acquire_owned().await else {
                return Ok(());
            };
            let any = dispatcher::claim_some(self, slot).await?;
            while self.running.len() > 0 || !self.tasks.is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let mut parents = Vec::new();
            let mut waiting = self.parents_in.lock().await;
            while let Ok(parent) = waiting.try_recv() {
                parents.push(parent);
            }
            drop(waiting);
            dispatcher::promote_now(self, &parents).await;
            if !any && parents.is_empty() {
                return Ok(());
            }
        }
    }

    /// One look at every host, as the heartbeat does it, the collector included.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn beat_all(self: &Arc<Self>) -> Result<(), DbError> {
        let due = hosts::due(&mut self.db.session(), 0.0, 10_000).await?;
        for host in due {
            heartbeat::beat(self.clone(), host, true).await;
        }
        Ok(())
    }

    /// Runs until `shutdown`, then hands back what is unfinished. Never touches
    /// a container on the way out, and waits for nothing without a bound.
    ///
    /// # Errors
    /// None at present; a part that fails is logged and tried again.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) -> anyhow::Result<()> {
        tracing::info!(engine = %self.id, "engine is running");
        let loops = TaskTracker::new();
        loops.spawn(dispatcher::listen(self.clone(), shutdown.clone()));
        loops.spawn(dispatcher::claim(self.clone(), shutdown.clone()));
        loops.spawn(dispatcher::promote(self.clone(), shutdown.clone()));
        loops.spawn(sweeper::run(self.clone(), shutdown.clone()));
        loops.spawn(heartbeat::run(self.clone(), shutdown.clone()));
        loops.spawn(load::run(self.clone(), shutdown.clone()));
        loops.spawn(health::sweep::run(self.clone(), shutdown.clone()));
        loops.spawn(health::watch::run(self.clone(), shutdown.clone()));
        loops.spawn(hooks::run(self.clone(), shutdown.clone()));
        loops.spawn(metrics::fleet::run(self.clone(), shutdown.clone()));
        loops.spawn(rebalance::run(self.clone(), shutdown.clone()));
        loops.spawn(retention::run(self.clone(), shutdown.clone()));
        loops.spawn(target_tracking::run(self.clone(), shutdown.clone()));
        loops.spawn(rpc::serve(self.clone(), shutdown.clone()));
        // Leases are kept until the last action is handed back.
        let last = CancellationToken::new();
        let keepers = TaskTracker::new();
        keepers.spawn(lease::keep(self.clone(), last.clone()));
        keepers.spawn(lease::guard(self.clone(), last.clone()));

        shutdown.cancelled().await;
        let begun = Instant::now();
        loops.close();
        if tokio::time::timeout(STOP, loops.wait()).await.is_err() {
            tracing::warn!("some tasks did not stop in time");
        }
        if !self.is_idle_within(Duration::from_secs(self.settings.grace)).await {
            self.running.abandon_all();
            if !self.is_idle_within(STOP).await {
                tracing::warn!(actions = self.running.len(), "work on actions did not stop in time");
            }
        }
        last.cancel();
        keepers.close();
        keepers.wait().await;
        let handed = async {
            let mut conn = self.leases.session();
            let handed = senlin_db::leases::release_all(&mut conn, self.id).await?;
            services::unregister(&mut conn, self.id).await?;
            Ok::<_, DbError>(handed)
        };
        match tokio::time::timeout(STOP, handed).await {
            Ok(Ok(handed)) => tracing::info!(engine = %self.id, handed, took = ?begun.elapsed(), "engine has stopped"),
            Ok(Err(error)) => {
                tracing::warn!(error = %worker::chain(&error), "nothing could be handed back; the leases run out");
            }
            Err(_) => tracing::warn!("the database does not answer; the leases run out"),
        }
        Ok(())
    }

    /// Whether every action has ended, been handed back or been let go, within `limit`.
    async fn is_idle_within(&self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        while self.running.len() > 0 {
            if Instant::now() >= end {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        true
    }
}

/// The machine's name, for the list of services.
pub(crate) fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "localhost".to_owned(), |s| s.trim().to_owned())
}

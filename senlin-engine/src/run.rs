//! An engine's parts, run until it is told to stop.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use senlin_db::{DbError, services};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Engine, failure,
    queue::{
        dispatcher::{self, Claims},
        lease,
        sweeper::{self, Sweeper},
    },
    rpc,
    tasks::{
        departed::Departed,
        fleet::FleetGauges,
        health::{sweep::HealthSweep, watch::Watches},
        heartbeat::Heartbeat,
        hooks::Questions,
        load::Load,
        policy_watch::Watching,
        rebalance::Rebalance,
        retention::Retention,
        runner::{self, Whole},
        target_tracking::TargetTracker,
    },
};

/// How long each part of a shutdown may take.
const STOP: Duration = Duration::from_secs(5);

impl Engine {
    /// Claims and runs what is READY until nothing is, without waiting for
    /// anything: how tests run an engine step by step.
    pub async fn drain(self: &Arc<Self>) -> Result<(), DbError> {
        loop {
            sweeper::sweep(self).await?;
            let Ok(slot) = self.slots.clone().acquire_owned().await else {
                return Ok(());
            };
            let claims = dispatcher::claim_some(self, slot).await?;
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
            if claims == Claims::None && parents.is_empty() {
                return Ok(());
            }
        }
    }

    /// Runs until `shutdown`, then hands back what is unfinished. Never touches
    /// a container on the way out, and waits for nothing without a bound.
    ///
    /// # Errors
    /// None at present; a part that fails is logged and tried again.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) -> anyhow::Result<()> {
        tracing::info!(engine = %self.id, "engine is running");
        let loops = TaskTracker::new();
        loops.spawn(dispatcher::listen(self.clone()));
        loops.spawn(dispatcher::claim(self.clone()));
        loops.spawn(dispatcher::promote(self.clone()));
        loops.spawn(rpc::serve(self.clone()));
        loops.spawn(runner::run::<Whole<Sweeper>>(self.clone()));
        loops.spawn(runner::run::<Heartbeat>(self.clone()));
        loops.spawn(runner::run::<Load>(self.clone()));
        loops.spawn(runner::run::<HealthSweep>(self.clone()));
        loops.spawn(runner::run::<Whole<Watches>>(self.clone()));
        loops.spawn(runner::run::<Questions>(self.clone()));
        loops.spawn(runner::run::<Whole<FleetGauges>>(self.clone()));
        loops.spawn(runner::run::<Watching<Rebalance>>(self.clone()));
        loops.spawn(runner::run::<Watching<TargetTracker>>(self.clone()));
        loops.spawn(runner::run::<Whole<Departed>>(self.clone()));
        loops.spawn(runner::run::<Whole<Retention>>(self.clone()));
        // Leases are kept until the last action is handed back.
        let last = CancellationToken::new();
        let keepers = TaskTracker::new();
        keepers.spawn(lease::keep(self.clone(), last.clone()));
        keepers.spawn(lease::guard(self.clone(), last.clone()));

        shutdown.cancelled().await;
        self.stop.cancel();
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
                tracing::warn!(error = %failure::chain(&error), "nothing could be handed back; the leases run out");
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

//! An engine step by step: each of its tasks, once, and waited for.

use std::{sync::Arc, time::Duration};

use senlin_core::{Map, ids::NodeId};
use senlin_db::DbError;
use senlin_engine::{
    Engine, decisions,
    failure::Failure,
    queue::lease,
    tasks::{
        health::{self, sweep::HealthSweep, watch},
        heartbeat::Heartbeat,
        hooks::Questions,
        load::Load,
        policy_watch::Watching,
        runner::run_all,
        target_tracking::TargetTracker,
    },
};

pub(crate) trait ByHand {
    /// One look at every host, the collector included.
    async fn beat_all(&self) -> Result<(), DbError>;
    /// Measures every host.
    async fn measure_all(&self) -> Result<(), DbError>;
    /// Sweeps every cluster with a health policy that is due; whether there was one.
    async fn sweep_health(&self) -> Result<usize, DbError>;
    /// Sends every lifecycle question that has not been sent.
    async fn ask_all(&self) -> Result<(), DbError>;
    /// Looks at every target that is due.
    async fn track_all(&self) -> Result<(), DbError>;
    /// Something happened to a node's container.
    async fn examine(&self, node: NodeId) -> Result<(), Failure>;
    /// Compares what a host has with what is known of it.
    async fn compare(&self, host: NodeId) -> Result<(), Failure>;
    /// Looks for what this engine owns and does not work on.
    async fn release_strays(&self) -> Result<(), DbError>;
    /// The plan of an action, as the API asks for it.
    async fn plan(&self, body: &Map) -> Result<serde_json::Value, Failure>;
}

impl ByHand for Arc<Engine> {
    async fn beat_all(&self) -> Result<(), DbError> {
        run_all::<Heartbeat>(self).await.map(|_| ())
    }

    async fn measure_all(&self) -> Result<(), DbError> {
        run_all::<Load>(self).await.map(|_| ())
    }

    async fn sweep_health(&self) -> Result<usize, DbError> {
        run_all::<HealthSweep>(self).await
    }

    async fn ask_all(&self) -> Result<(), DbError> {
        run_all::<Questions>(self).await.map(|_| ())
    }

    async fn track_all(&self) -> Result<(), DbError> {
        run_all::<Watching<TargetTracker>>(self).await.map(|_| ())
    }

    async fn examine(&self, node: NodeId) -> Result<(), Failure> {
        health::examine(self, node, false).await
    }

    async fn compare(&self, host: NodeId) -> Result<(), Failure> {
        watch::compare(self, host).await
    }

    async fn release_strays(&self) -> Result<(), DbError> {
        lease::release_strays(self, Duration::ZERO).await
    }

    async fn plan(&self, body: &Map) -> Result<serde_json::Value, Failure> {
        decisions::plan::plan(self, body).await
    }
}

//! Heartbeats: whether each host answers. One that does is tidied up
//! (`collector`).

use std::{sync::Arc, time::Duration};

use senlin_core::{ids::NodeId, profile_type::ProfileError};
use senlin_db::{DbError, health, hosts, settling};

use super::{
    collector,
    runner::{Scope, Task},
};
use crate::{Engine, Settings, failure::Failure};

/// Hosts asked at once by one engine.
const MAX_CONCURRENT_HEARTBEATS: i64 = 64;

/// Time between two looks for hosts that are due.
const EVERY: Duration = Duration::from_millis(500);

/// Asks hosts whether they are there.
pub struct Heartbeat;

impl Task for Heartbeat {
    /// The host, and whether it is searched for containers without a node
    /// although it is not its turn.
    type Item = (NodeId, bool);
    const NAME: &'static str = "heartbeat";

    fn period(_: &Settings) -> Option<Duration> {
        Some(EVERY)
    }

    async fn due(engine: &Arc<Engine>, scope: Scope) -> Result<Vec<Self::Item>, DbError> {
        let every = scope.every(engine.settings.heartbeat);
        let most = scope.limit(MAX_CONCURRENT_HEARTBEATS);
        let due = hosts::due(&mut engine.db.session(), every, most).await?;
        Ok(due.into_iter().map(|host| (host, scope == Scope::All)).collect())
    }

    async fn run_one(engine: &Arc<Engine>, (host, collect): Self::Item) -> Result<(), Failure> {
        heartbeat(engine, host, collect).await
    }

    fn about((host, _): &Self::Item) -> String {
        format!("host {host}")
    }
}

/// One host: asks, records, tidies up. One that does not answer is no failure.
async fn heartbeat(engine: &Engine, host: NodeId, collect: bool) -> Result<(), Failure> {
    let Some(_beating) = engine.connections.begin_beat(host) else {
        return Ok(());
    };
    let failure = match try_heartbeat(engine, host, collect).await {
        Ok(()) => return Ok(()),
        // That says nothing of the host.
        Err(Failure::Db(error)) => return Err(error.into()),
        Err(failure) => failure,
    };
    engine.metrics.beat_missed();
    engine.connections.forget(host);
    let reason = failure.to_string();
    tracing::debug!(%host, reason, "a host did not answer");
    let mut conn = engine.db.session();
    if hosts::silent(&mut conn, host, &reason).await? {
        health::unknown(&mut conn, host).await?;
    }
    Ok(())
}

async fn try_heartbeat(engine: &Engine, host: NodeId, collect: bool) -> Result<(), Failure> {
    let mut conn = engine.db.session();
    let driver = engine
        .connections
        .driver(&mut conn, &engine.profile_cache, host)
        .await?;
    let info = driver.info().await.map_err(ProfileError::from)?;
    let mut conn = engine.db.session();
    let answered = hosts::answered(&mut conn, host, &info).await?;
    if answered.is_back {
        if settling::host_is_back(&mut engine.db.session(), host).await? {
            engine.work.notify_one();
        }
        collector::known_again(engine, driver.as_ref(), host).await?;
    }
    if answered.has_leftovers {
        collector::leftovers(engine, driver.as_ref(), host).await?;
    }
    if answered.is_back || collect || engine.connections.is_collect_due(host) {
        collector::collect(engine, driver.as_ref(), host).await?;
    }
    Ok(())
}

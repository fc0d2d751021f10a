//! Heartbeats: whether each host answers. One that does is tidied up
//! (`collector`).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use senlin_core::{ids::NodeId, profile_type::ProfileError};
use senlin_db::{health, hosts, settling};
use tokio_util::sync::CancellationToken;

use crate::{Engine, actions::context::Failure, queue::worker, tasks::collector};

/// Hosts asked at once by one engine.
const MAX_CONCURRENT_HEARTBEATS: i64 = 64;

/// How often what departed long ago is forgotten.
const FORGET: Duration = Duration::from_secs(60);

pub(crate) async fn run(engine: Arc<Engine>, shutdown: CancellationToken) {
    let mut timer = tokio::time::interval(Duration::from_millis(500));
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut forgotten = Instant::now();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = timer.tick() => {}
        }
        let due = async {
            hosts::due(
                &mut engine.db.session(),
                engine.settings.heartbeat,
                MAX_CONCURRENT_HEARTBEATS,
            )
            .await
        };
        match due.await {
            Ok(due) => {
                if forgotten.elapsed() >= FORGET && !due.is_empty() {
                    forgotten = Instant::now();
                    engine.tasks.spawn(collector::forget(engine.clone()));
                }
                for host in due {
                    engine.tasks.spawn(beat(engine.clone(), host, false));
                }
            }
            Err(error) => tracing::warn!(error = %worker::chain(&error), "no heartbeats: the database did not answer"),
        }
    }
}

/// One host: asks, records, tidies up. `collect`: although it is not its turn.
pub(crate) async fn beat(engine: Arc<Engine>, host: NodeId, collect: bool) {
    let Some(_beating) = engine.connections.begin_beat(host) else {
        return;
    };
    let Err(failure) = try_beat(&engine, host, collect).await else {
        return;
    };
    if let Failure::Db(error) = &failure {
        // That says nothing of the host.
        tracing::warn!(%host, error = %worker::chain(error), "a heartbeat could not be recorded");
        return;
    }
    engine.metrics.beat_missed();
    engine.connections.forget(host);
    let reason = failure.to_string();
    tracing::debug!(%host, reason, "a host did not answer");
    let recorded = async {
        let mut conn = engine.db.session();
        if hosts::silent(&mut conn, host, &reason).await? {
            health::unknown(&mut conn, host).await?;
        }
        Ok::<(), senlin_db::DbError>(())
    };
    if let Err(error) = recorded.await {
        tracing::warn!(error = %worker::chain(&error), "a missed heartbeat could not be recorded");
    }
}

async fn try_beat(engine: &Engine, host: NodeId, collect: bool) -> Result<(), Failure> {
    let mut conn = engine.db.session();
    let driver = engine
        .connections
        .driver(&mut conn, &engine.profile_cache, host)
        .await?;
    drop(conn);
    let info = driver.info().await.map_err(ProfileError::from)?;
    let mut conn = engine.db.session();
    let answered = hosts::answered(&mut conn, host, &info).await?;
    drop(conn);
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

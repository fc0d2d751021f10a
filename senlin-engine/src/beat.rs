//! Heartbeats: whether each host answers, what must still go from it, and
//! containers of ours that no node knows.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use senlin_core::{
    driver::{ContainerDriver, ContainerSummary, DriverError, LABEL_GENERATION, LABEL_NODE, LABEL_OWNER},
    ids::NodeId,
    profile_type::ProfileError,
};
use senlin_db::{health, hosts, settling};
use tokio_util::sync::CancellationToken;

use crate::{Engine, context::Failure, worker};

/// Hosts asked at once by one engine.
const AT_ONCE: i64 = 64;

pub(crate) async fn run(engine: Arc<Engine>, shutdown: CancellationToken) {
    let mut timer = tokio::time::interval(Duration::from_millis(500));
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut collected = Instant::now();
    let collect_every = Duration::from_secs(engine.settings.collect);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = timer.tick() => {}
        }
        let due = async { hosts::due(&mut *engine.db.get().await?, engine.settings.heartbeat, AT_ONCE).await };
        match due.await {
            Ok(due) => {
                let collect = collected.elapsed() >= collect_every;
                if collect && !due.is_empty() {
                    collected = Instant::now();
                }
                for host in due {
                    engine.tasks.spawn(beat(engine.clone(), host, collect));
                }
            }
            Err(error) => tracing::warn!(error = %worker::chain(&error), "no heartbeats: the database did not answer"),
        }
    }
}

/// One host: asks, records, tidies up.
pub(crate) async fn beat(engine: Arc<Engine>, host: NodeId, collect: bool) {
    if let Err(failure) = try_beat(&engine, host, collect).await {
        engine.metrics.beat_missed();
        engine.fleet.forget(host);
        let reason = failure.to_string();
        tracing::debug!(%host, reason, "a host did not answer");
        let recorded = async {
            let mut conn = engine.db.get().await?;
            if hosts::silent(&mut conn, host, &reason).await? {
                health::unknown(&mut conn, host).await?;
            }
            Ok::<(), senlin_db::DbError>(())
        };
        if let Err(error) = recorded.await {
            tracing::warn!(error = %worker::chain(&error), "a missed heartbeat could not be recorded");
        }
    }
}

async fn try_beat(engine: &Engine, host: NodeId, collect: bool) -> Result<(), Failure> {
    let mut conn = engine.db.get().await?;
    let driver = engine.fleet.driver(&mut conn, &engine.specs, host).await?;
    drop(conn);
    let info = driver.info().await.map_err(ProfileError::from)?;
    let mut conn = engine.db.get().await?;
    let returned = hosts::answered(&mut conn, host, &info).await?;
    let leftovers = hosts::leftovers(&mut conn, host).await?;
    drop(conn);
    for (node, generation) in leftovers {
        clear(engine, driver.as_ref(), host, node, generation).await?;
    }
    if collect || returned {
        strangers(engine, driver.as_ref(), host).await?;
    }
    if returned {
        if settling::host_is_back(&mut *engine.db.get().await?, host).await? {
            engine.work.notify_one();
        }
        known_again(engine, driver.as_ref(), host).await?;
    }
    Ok(())
}

/// The host was silent: what runs on it is known again.
async fn known_again(engine: &Engine, driver: &dyn ContainerDriver, host: NodeId) -> Result<(), Failure> {
    let seen = driver
        .find(&[(LABEL_OWNER, engine.installation.as_str())])
        .await
        .map_err(ProfileError::from)?;
    let running = seen.into_iter().filter(|c| c.state == "running").map(|c| c.id);
    let running: Vec<String> = running.collect();
    health::known_again(&mut *engine.db.get().await?, host, &running).await?;
    Ok(())
}

/// Removes the containers of a node that left this host while it was silent.
async fn clear(
    engine: &Engine,
    driver: &dyn ContainerDriver,
    host: NodeId,
    node: NodeId,
    generation: i32,
) -> Result<(), Failure> {
    let id = node.to_string();
    let labels = [(LABEL_OWNER, engine.installation.as_str()), (LABEL_NODE, id.as_str())];
    for container in driver.find(&labels).await.map_err(ProfileError::from)? {
        if self::generation(&container) <= generation {
            remove(engine, driver, host, &container.id).await?;
        }
    }
    Ok(hosts::cleared(&mut *engine.db.get().await?, host, node, generation).await?)
}

/// Removes containers that carry our label and that no node here accounts for.
/// The look at the host comes first, then the question to the database: what
/// is made in between is not seen at all. Foreign containers are never listed.
async fn strangers(engine: &Engine, driver: &dyn ContainerDriver, host: NodeId) -> Result<(), Failure> {
    let seen = driver
        .find(&[(LABEL_OWNER, engine.installation.as_str())])
        .await
        .map_err(ProfileError::from)?;
    let key = |c: &ContainerSummary| Some((c.labels.get(LABEL_NODE)?.parse::<NodeId>().ok()?, generation(c)));
    let keys: BTreeSet<(NodeId, i32)> = seen.iter().filter_map(key).collect();
    if keys.is_empty() {
        return Ok(());
    }
    let keys: Vec<(NodeId, i32)> = keys.into_iter().collect();
    let strange = hosts::strangers(&mut *engine.db.get().await?, host, &keys).await?;
    for container in seen {
        if key(&container).is_some_and(|k| strange.contains(&k)) {
            remove(engine, driver, host, &container.id).await?;
        }
    }
    Ok(())
}

fn generation(container: &ContainerSummary) -> i32 {
    container
        .labels
        .get(LABEL_GENERATION)
        .and_then(|g| g.parse().ok())
        .unwrap_or(0)
}

async fn remove(engine: &Engine, driver: &dyn ContainerDriver, host: NodeId, container: &str) -> Result<(), Failure> {
    tracing::warn!(%host, container, "removing a container that no node accounts for");
    engine.metrics.collected();
    match driver.remove(container).await {
        Ok(()) | Err(DriverError::NotFound(_)) => Ok(()),
        Err(error) => Err(ProfileError::from(error).into()),
    }
}

//! What is claimed and when: a hint for speed, a timer for safety, the
//! database for truth.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use senlin_core::ids::ActionId;
use senlin_db::queue::{self, Claimed, Limits};
use tokio::sync::OwnedSemaphorePermit;

use crate::{Engine, failure, queue::worker};

/// Most actions claimed by one statement.
const BATCH: usize = 64;

/// The longest rest between two claims.
const REST: Duration = Duration::from_millis(20);

/// Turns hints from the bus into looks at the database.
pub(crate) async fn listen(engine: Arc<Engine>) {
    let mut hints = loop {
        match engine.bus.hints().await {
            Ok(hints) => break hints,
            Err(error) => {
                tracing::warn!(%error, "no hints from the bus; the sweeper goes on");
                tokio::select! {
                    () = engine.stop.cancelled() => return,
                    () = tokio::time::sleep(Duration::from_secs(1)) => {}
                }
            }
        }
    };
    loop {
        tokio::select! {
            () = engine.stop.cancelled() => return,
            hint = hints.next() => match hint {
                Some(_) => engine.work.notify_one(),
                None => return,
            }
        }
    }
}

/// Claims whenever there may be work and a slot is free, until the engine stops.
pub(crate) async fn claim(engine: Arc<Engine>) {
    loop {
        tokio::select! {
            () = engine.stop.cancelled() => return,
            () = engine.work.notified() => {}
        }
        loop {
            // Wait for one slot; `claim_some` then takes what else is free.
            let first = tokio::select! {
                biased;
                () = engine.stop.cancelled() => return,
                slot = engine.slots.clone().acquire_owned() => slot,
            };
            let Ok(first) = first else { return };
            let begun = Instant::now();
            match claim_some(&engine, first).await {
                Ok(Claims::None) => break,
                Ok(Claims::Cluster) => {}
                // As long as that took: what ends meanwhile makes room for more at once.
                Ok(Claims::Nodes) => tokio::time::sleep(begun.elapsed().min(REST)).await,
                Err(error) => {
                    tracing::warn!(error = %failure::chain(&error), "claiming failed; trying again");
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    break;
                }
            }
        }
    }
}

/// What was claimed at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claims {
    None,
    /// An action that needs its cluster: there is one at a time, and more of
    /// them may be next.
    Cluster,
    /// Actions on nodes alone.
    Nodes,
}

/// Claims what the free slots allow and starts it.
pub(crate) async fn claim_some(
    engine: &Arc<Engine>,
    first: OwnedSemaphorePermit,
) -> Result<Claims, senlin_db::DbError> {
    let mut permits: Vec<OwnedSemaphorePermit> = vec![first];
    while permits.len() < BATCH {
        match engine.slots.clone().try_acquire_owned() {
            Ok(permit) => permits.push(permit),
            Err(_) => break,
        }
    }
    let limits = Limits {
        per_project: engine.settings.per_project,
        per_host: engine.settings.per_host,
        lease: engine.settings.lease,
    };
    let mut conn = engine.db.session();
    // The leases run from here on at the earliest.
    let asked = Instant::now();
    let free = i64::try_from(permits.len()).unwrap_or(1);
    let one = queue::claim_cluster(&mut conn, engine.id, free, limits).await?;
    let mut claims = if start(engine, one, &mut permits, asked) {
        Claims::Cluster
    } else {
        Claims::None
    };
    if !permits.is_empty() {
        let asked = Instant::now();
        let most = i64::try_from(permits.len()).unwrap_or(1);
        let more = queue::claim_nodes(&mut conn, engine.id, most, limits).await?;
        if start(engine, more, &mut permits, asked) && claims == Claims::None {
            claims = Claims::Nodes;
        }
    }
    Ok(claims)
}

/// Starts the work on claims, each in a slot of its own. True if there were any.
fn start(
    engine: &Arc<Engine>,
    claimed: impl IntoIterator<Item = Claimed>,
    permits: &mut Vec<OwnedSemaphorePermit>,
    asked: Instant,
) -> bool {
    let mut count = 0;
    for one in claimed {
        let Some(permit) = permits.pop() else { break };
        count += 1;
        let signals = engine.running.insert((one.action.id, one.action.attempt), asked);
        engine.tasks.spawn(worker::run(engine.clone(), one, signals, permit));
    }
    engine.metrics.claimed(count);
    count > 0
}

/// Wakes parents whose last child has ended; many children, one statement.
pub(crate) async fn promote(engine: Arc<Engine>) {
    let mut parents = engine.parents_in.lock().await;
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            () = engine.stop.cancelled() => return,
            n = parents.recv_many(&mut batch, 1024) => if n == 0 { return },
        }
        let distinct: BTreeSet<ActionId> = batch.drain(..).collect();
        promote_now(&engine, &distinct.into_iter().collect::<Vec<_>>()).await;
    }
}

pub(crate) async fn promote_now(engine: &Arc<Engine>, parents: &[ActionId]) {
    match queue::promote(&mut engine.db.session(), parents).await {
        Ok(ready) if !ready.is_empty() => {
            engine.work.notify_one();
            engine.bus.wake(&ready, "");
        }
        Ok(_) => {}
        // The sweeper does the same.
        Err(error) => tracing::warn!(error = %failure::chain(&error), "waking parents failed; the sweeper will"),
    }
}

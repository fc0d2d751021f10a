//! What is claimed and when: a hint for speed, a timer for safety, the
//! database for truth.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use senlin_core::ids::ActionId;
use senlin_db::queue::{self, Limits};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use crate::{Engine, worker};

/// Most actions claimed by one statement.
const BATCH: usize = 64;

/// Turns hints from the bus into looks at the database.
pub(crate) async fn listen(engine: Arc<Engine>, shutdown: CancellationToken) {
    let mut hints = loop {
        match engine.bus.hints().await {
            Ok(hints) => break hints,
            Err(error) => {
                tracing::warn!(%error, "no hints from the bus; the sweeper goes on");
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    () = tokio::time::sleep(Duration::from_secs(1)) => {}
                }
            }
        }
    };
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            hint = hints.next() => match hint {
                Some(_) => engine.work.notify_one(),
                None => return,
            }
        }
    }
}

/// Claims whenever there may be work and a slot is free.
pub(crate) async fn claim(engine: Arc<Engine>, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = engine.work.notified() => {}
        }
        loop {
            if shutdown.is_cancelled() {
                return;
            }
            match claim_some(&engine).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    tracing::warn!(error = %worker::chain(&error), "claiming failed; trying again");
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    break;
                }
            }
        }
    }
}

/// Claims what the free slots allow and starts it. False: nothing was claimed.
pub(crate) async fn claim_some(engine: &Arc<Engine>) -> Result<bool, senlin_db::DbError> {
    // Wait for one slot, then take what else is free.
    let Ok(first) = engine.slots.clone().acquire_owned().await else {
        return Ok(false);
    };
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
    let mut conn = engine.db.get().await?;
    let most = i64::try_from(permits.len()).unwrap_or(1);
    let mut claimed = Vec::new();
    if let Some(one) = queue::claim_cluster(&mut conn, engine.id, most, limits).await? {
        claimed.push(one);
    }
    let left = most - i64::try_from(claimed.len()).unwrap_or(0);
    if left > 0 {
        claimed.extend(queue::claim_nodes(&mut conn, engine.id, left, limits).await?);
    }
    drop(conn);
    engine.metrics.claimed(claimed.len());
    let any = !claimed.is_empty();
    for (one, permit) in claimed.into_iter().zip(permits) {
        engine.tasks.spawn(worker::run(engine.clone(), one, Some(permit)));
    }
    Ok(any)
}

/// Wakes parents whose last child has ended; many children, one statement.
pub(crate) async fn promote(engine: Arc<Engine>, shutdown: CancellationToken) {
    let mut parents = engine.parents_in.lock().await;
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            n = parents.recv_many(&mut batch, 1024) => if n == 0 { return },
        }
        let distinct: BTreeSet<ActionId> = batch.drain(..).collect();
        promote_now(&engine, &distinct.into_iter().collect::<Vec<_>>()).await;
    }
}

pub(crate) async fn promote_now(engine: &Arc<Engine>, parents: &[ActionId]) {
    let promoted = match engine.db.get().await {
        Ok(mut conn) => queue::promote(&mut conn, parents).await,
        Err(error) => Err(error),
    };
    match promoted {
        Ok(ready) if !ready.is_empty() => {
            engine.work.notify_one();
            engine.bus.wake(&ready, "");
        }
        Ok(_) => {}
        // The sweeper does the same.
        Err(error) => tracing::warn!(error = %worker::chain(&error), "waking parents failed; the sweeper will"),
    }
}

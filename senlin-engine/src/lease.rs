//! Keeping what was claimed: one statement renews every lease. When that
//! cannot be done in time, all work stops before another engine may begin it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use senlin_core::ids::ActionId;
use senlin_db::queue;
use tokio_util::sync::CancellationToken;

use crate::{Engine, worker};

/// How a running action is told to stop.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reins {
    /// A user asked for its end.
    pub(crate) cancel: CancellationToken,
    /// It is not ours any more, or the engine stops: touch nothing more.
    pub(crate) abandon: CancellationToken,
}

/// The actions this engine is working on.
#[derive(Debug, Default)]
pub(crate) struct Held(Mutex<HashMap<ActionId, Reins>>);

impl Held {
    fn map(&self) -> std::sync::MutexGuard<'_, HashMap<ActionId, Reins>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn take(&self, id: ActionId) -> Reins {
        let reins = Reins::default();
        self.map().insert(id, reins.clone());
        reins
    }

    pub(crate) fn drop(&self, id: ActionId) {
        self.map().remove(&id);
    }

    pub(crate) fn cancel(&self, id: ActionId) {
        if let Some(reins) = self.map().get(&id) {
            reins.cancel.cancel();
        }
    }

    pub(crate) fn abandon_all(&self) {
        for reins in self.map().values() {
            reins.abandon.cancel();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.map().len()
    }

    fn snapshot(&self) -> Vec<ActionId> {
        self.map().keys().copied().collect()
    }

    fn abandon(&self, id: ActionId) {
        if let Some(reins) = self.map().get(&id) {
            reins.abandon.cancel();
        }
    }
}

/// Renews until `stop`; passes on what users cancelled.
pub(crate) async fn keep(engine: Arc<Engine>, stop: CancellationToken) {
    let lease = Duration::from_secs(u64::try_from(engine.settings.lease).unwrap_or(60));
    let every = Duration::from_secs(engine.settings.renew);
    let mut renewed = Instant::now();
    let mut next = Instant::now() + every;
    let mut timer = tokio::time::interval(Duration::from_secs(1));
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = timer.tick() => {}
        }
        let asked = Instant::now();
        let outcome = if asked >= next {
            renew(&engine).await
        } else {
            cancels(&engine).await.map(|()| false)
        };
        match outcome {
            Ok(true) => {
                renewed = asked;
                next = asked + every;
            }
            Ok(false) => {}
            Err(error) => tracing::warn!(error = %worker::chain(&error), "leases could not be renewed"),
        }
        // A margin of a fifth: stop before anybody else may start.
        if renewed.elapsed() > lease * 4 / 5 && engine.held.len() > 0 {
            tracing::error!("leases are about to expire: all work stops");
            engine.held.abandon_all();
        }
    }
}

async fn renew(engine: &Engine) -> Result<bool, senlin_db::DbError> {
    let before = engine.held.snapshot();
    let mut conn = engine.db.get().await?;
    let ours = queue::renew(&mut conn, engine.id, engine.settings.lease).await?;
    for (id, cancel) in &ours {
        if *cancel {
            engine.held.cancel(*id);
        }
    }
    // What we thought ours and is not: force-cancelled, or taken back.
    for id in before {
        if !ours.iter().any(|(o, _)| *o == id) {
            engine.held.abandon(id);
        }
    }
    Ok(true)
}

async fn cancels(engine: &Engine) -> Result<(), senlin_db::DbError> {
    if engine.held.len() == 0 {
        return Ok(());
    }
    let mut conn = engine.db.get().await?;
    for id in queue::cancelled(&mut conn, engine.id).await? {
        engine.held.cancel(id);
    }
    Ok(())
}

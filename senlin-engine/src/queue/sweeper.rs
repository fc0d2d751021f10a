//! The timer beside the hint: finds READY actions nobody was told of, leases
//! of dead engines, parents nobody woke.

use std::{sync::Arc, time::Duration};

use senlin_db::{queue, services};
use tokio_util::sync::CancellationToken;

use crate::{Engine, queue::worker};

pub(crate) async fn run(engine: Arc<Engine>, shutdown: CancellationToken) {
    let mut timer = tokio::time::interval(Duration::from_secs(engine.settings.sweep));
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = timer.tick() => {}
        }
        if let Err(error) = sweep(&engine).await {
            tracing::warn!(error = %worker::chain(&error), "the sweep failed; trying again");
        }
    }
}

/// One sweep.
pub(crate) async fn sweep(engine: &Arc<Engine>) -> Result<(), senlin_db::DbError> {
    let mut conn = engine.db.session();
    let swept = queue::sweep(&mut conn).await?;
    services::forget_silent(&mut conn, 3600.0).await?;
    for id in &swept.expired {
        tracing::warn!(action = %id, "an engine went silent; its action is taken back");
    }
    engine.metrics.expired(swept.expired.len());
    if swept.ready || !swept.expired.is_empty() || !swept.promoted.is_empty() {
        engine.work.notify_one();
    }
    Ok(())
}

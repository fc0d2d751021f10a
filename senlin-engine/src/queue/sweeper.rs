//! The timer beside the hint: finds READY actions nobody was told of, leases
//! of dead engines, parents nobody woke.

use std::{sync::Arc, time::Duration};

use senlin_db::{DbError, queue, services};

use crate::{Engine, Settings, failure::Failure, tasks::runner::Chore};

/// Seconds after which a service that says nothing is forgotten.
const FORGET: f64 = 3600.0;

/// Looks for what hints did not tell of.
pub struct Sweeper;

impl Chore for Sweeper {
    const NAME: &'static str = "sweeper";

    fn period(settings: &Settings) -> Option<Duration> {
        Some(Duration::from_secs(settings.sweep))
    }

    async fn run(engine: &Arc<Engine>) -> Result<(), Failure> {
        Ok(sweep(engine).await?)
    }
}

/// One sweep.
pub(crate) async fn sweep(engine: &Engine) -> Result<(), DbError> {
    let mut conn = engine.db.session();
    let swept = queue::sweep(&mut conn).await?;
    services::forget_silent(&mut conn, FORGET).await?;
    for id in &swept.expired {
        tracing::warn!(action = %id, "an engine went silent; its action is taken back");
    }
    engine.metrics.expired(swept.expired.len());
    if swept.ready || !swept.expired.is_empty() || !swept.promoted.is_empty() {
        engine.work.notify_one();
    }
    Ok(())
}

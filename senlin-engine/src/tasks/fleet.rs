//! Reads the size and load of every cluster and host for the metrics.

use std::{sync::Arc, time::Duration};

use senlin_db::{DbError, loads, placement};

use super::runner::{Scope, Task};
use crate::{Engine, Settings, failure::Failure};

/// Time between two reads.
const EVERY: Duration = Duration::from_secs(5);

/// Brings the gauges up to date.
pub struct Fleet;

impl Task for Fleet {
    type Item = ();
    const NAME: &'static str = "fleet";
    const ALONE: bool = true;
    const MAY_FAIL: bool = true;

    fn period(_: &Settings) -> Option<Duration> {
        Some(EVERY)
    }

    async fn due(_: &Arc<Engine>, _: Scope) -> Result<Vec<()>, DbError> {
        Ok(vec![()])
    }

    async fn run_one(engine: &Arc<Engine>, (): ()) -> Result<(), Failure> {
        let mut conn = engine.db.session();
        let clusters = loads::clusters(&mut conn, None, placement::MEASURE_AGE).await?;
        let hosts = loads::hosts(&mut conn).await?;
        engine.metrics.fleet.update(clusters, hosts);
        Ok(())
    }
}

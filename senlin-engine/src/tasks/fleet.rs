//! Reads the size and load of every cluster and host for the metrics.

use std::{sync::Arc, time::Duration};

use senlin_db::{loads, placement};

use super::runner::Chore;
use crate::{Engine, Settings, failure::Failure};

/// Time between two reads.
const EVERY: Duration = Duration::from_secs(5);

/// Brings the gauges up to date.
pub struct FleetGauges;

impl Chore for FleetGauges {
    const NAME: &'static str = "fleet";
    const MAY_FAIL: bool = true;

    fn period(_: &Settings) -> Option<Duration> {
        Some(EVERY)
    }

    async fn run(engine: &Arc<Engine>) -> Result<(), Failure> {
        let mut conn = engine.db.session();
        let clusters = loads::clusters(&mut conn, None, placement::MEASURE_AGE).await?;
        let hosts = loads::hosts(&mut conn).await?;
        engine.metrics.fleet.update(clusters, hosts);
        Ok(())
    }
}

//! What went too long ago to matter is forgotten.

use std::{sync::Arc, time::Duration};

use senlin_db::unaccounted;

use super::runner::Chore;
use crate::{Engine, Settings, failure::Failure};

/// Time between two looks.
const EVERY: Duration = Duration::from_secs(60);

/// Forgets what departed.
pub struct Departed;

impl Chore for Departed {
    const NAME: &'static str = "departed";

    fn period(_: &Settings) -> Option<Duration> {
        Some(EVERY)
    }

    async fn run(engine: &Arc<Engine>) -> Result<(), Failure> {
        unaccounted::forget(&mut engine.db.session()).await?;
        Ok(())
    }
}

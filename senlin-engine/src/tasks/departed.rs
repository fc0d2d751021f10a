//! What went too long ago to matter is forgotten.

use std::{sync::Arc, time::Duration};

use senlin_db::{DbError, unaccounted};

use super::runner::{Scope, Task};
use crate::{Engine, Settings, failure::Failure};

/// Time between two looks.
const EVERY: Duration = Duration::from_secs(60);

/// Forgets what departed.
pub struct Departed;

impl Task for Departed {
    type Item = ();
    const NAME: &'static str = "departed";
    const ALONE: bool = true;

    fn period(_: &Settings) -> Option<Duration> {
        Some(EVERY)
    }

    async fn due(_: &Arc<Engine>, _: Scope) -> Result<Vec<()>, DbError> {
        Ok(vec![()])
    }

    async fn run_one(engine: &Arc<Engine>, (): ()) -> Result<(), Failure> {
        unaccounted::forget(&mut engine.db.session()).await?;
        Ok(())
    }
}

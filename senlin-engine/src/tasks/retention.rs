//! History is moved out of the way, and dropped when it is old. One engine
//! looks after it at a time; the others find it done.

use std::{sync::Arc, time::Duration};

use senlin_db::{
    DbError, events,
    history::{self, Partitioned},
};

use super::runner::Chore;
use crate::{
    Engine, Settings,
    failure::{self, Failure},
};

/// Rows that one statement moves.
const BATCH: i64 = 500;

/// Time between two looks at the partitions.
const TURN: Duration = Duration::from_secs(60);

/// Moves actions that have ended to the history; now and then makes partitions
/// ahead, and drops those whose rows are all too old.
pub struct Retention;

impl Chore for Retention {
    const NAME: &'static str = "retention";

    fn period(_: &Settings) -> Option<Duration> {
        Some(Duration::from_secs(10))
    }

    async fn run(engine: &Arc<Engine>) -> Result<(), Failure> {
        let turned = if engine.is_turn_due(TURN) {
            turn_all_over(engine).await
        } else {
            Ok(())
        };
        // What cannot be turned over keeps nothing from being moved.
        move_ended(engine).await?;
        Ok(turned?)
    }
}

/// Moves what has ended, batch by batch.
async fn move_ended(engine: &Engine) -> Result<(), DbError> {
    let settings = &engine.settings;
    while !engine.stop.is_cancelled() {
        let mut conn = engine.db.session();
        let moved = history::move_ended(&mut conn, settings.settle, settings.retention_days, BATCH).await?;
        engine.metrics.moved(moved.unwrap_or(0));
        // Parents follow their children.
        if moved.is_none_or(|n| n == 0) {
            break;
        }
    }
    Ok(())
}

/// Looks at the partitions of every table: one that is in use now is no reason
/// to leave the others.
async fn turn_all_over(engine: &Engine) -> Result<(), DbError> {
    let mut first = Ok(());
    for of in history::TABLES {
        if let Err(error) = turn_over(engine, of).await {
            tracing::warn!(table = of.table, error = %failure::chain(&error), "its partitions stay as they are for now");
            first = first.and(Err(error));
        }
    }
    events::settle_restored(&mut engine.db.session(), BATCH).await?;
    first
}

async fn turn_over(engine: &Engine, of: Partitioned) -> Result<(), DbError> {
    let turned = history::turn_over(&mut engine.db.session(), of, engine.settings.retention_days).await?;
    for name in turned.unwrap_or_default().dropped {
        tracing::info!(partition = name, "history older than its retention is dropped");
        engine.metrics.dropped_partition();
    }
    Ok(())
}

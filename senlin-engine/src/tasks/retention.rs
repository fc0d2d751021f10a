//! History is moved out of the way, and dropped when it is old. One engine
//! looks after it at a time; the others find it done.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use senlin_db::{DbError, events, history};
use tokio_util::sync::CancellationToken;

use crate::{Engine, queue::worker};

/// Seconds between two looks for actions that have ended.
const EVERY: Duration = Duration::from_secs(10);
/// Seconds between two looks at the partitions.
const TURN: Duration = Duration::from_secs(60);
/// Rows that one statement moves.
const BATCH: i64 = 500;

pub(crate) async fn run(engine: Arc<Engine>, shutdown: CancellationToken) {
    let mut timer = tokio::time::interval(EVERY);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut turned: Option<Instant> = None;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = timer.tick() => {}
        }
        if turned.is_none_or(|at| at.elapsed() >= TURN) {
            turned = Some(Instant::now());
            turn_over(&engine).await;
        }
        if let Err(error) = move_ended(&engine, &shutdown).await {
            tracing::warn!(error = %worker::chain(&error), "ended actions could not be moved; trying again");
        }
    }
}

/// Moves what has ended, batch by batch.
async fn move_ended(engine: &Engine, shutdown: &CancellationToken) -> Result<(), DbError> {
    let settings = &engine.settings;
    while !shutdown.is_cancelled() {
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
async fn turn_over(engine: &Engine) {
    for of in history::TABLES {
        let turned = async { history::turn_over(&mut engine.db.session(), of, engine.settings.retention_days).await };
        match turned.await {
            Ok(turned) => {
                for name in turned.unwrap_or_default().dropped {
                    tracing::info!(partition = name, "history older than its retention is dropped");
                    engine.metrics.dropped_partition();
                }
            }
            Err(error) => {
                tracing::warn!(table = of.table, error = %worker::chain(&error), "its partitions stay as they are for now");
            }
        }
    }
    let settled = async { events::settle_restored(&mut engine.db.session(), BATCH).await };
    if let Err(error) = settled.await {
        tracing::warn!(error = %worker::chain(&error), "events of a restored database could not be looked for");
    }
}

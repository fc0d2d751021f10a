//! Keeping what was claimed. An engine renews exactly the claims it works on;
//! what it owns beside those goes back to the queue. When a claim could not be
//! renewed in time its work stops before another engine may begin it, whatever
//! else hangs: that deadline is a timer of its own.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use senlin_db::{DbError, LONGEST_CLAIM, leases, services};
use tokio_util::sync::CancellationToken;

use crate::{Engine, failure};

/// How often cancels are looked for, and how often deadlines.
const LOOK: Duration = Duration::from_secs(1);

/// Stops the work on what could not be renewed. Waits for nothing but the clock.
pub(crate) async fn guard(engine: Arc<Engine>, stop: CancellationToken) {
    // A margin of a fifth: stop before anybody else may begin.
    let limit = lease(&engine) * 4 / 5;
    let mut timer = tokio::time::interval(LOOK / 2);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = timer.tick() => {}
        }
        let expired = engine.running.abandon_expired(limit);
        if expired > 0 {
            tracing::error!(expired, "leases are about to expire: work on them stops");
        }
    }
}

/// Renews until `stop`; passes on what users cancelled. It has a connection of
/// its own, so that a busy pool keeps no lease from being renewed.
pub(crate) async fn keep(engine: Arc<Engine>, stop: CancellationToken) {
    let every = Duration::from_secs(engine.settings.renew);
    // At once: that is also how the engine announces itself.
    let mut next = Instant::now();
    let mut timer = tokio::time::interval(LOOK);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = timer.tick() => {}
        }
        let asked = Instant::now();
        let work = async {
            if asked < next {
                return cancels(&engine).await.map(|()| false);
            }
            renew(&engine, asked).await?;
            Ok(true)
        };
        let outcome = tokio::select! {
            () = stop.cancelled() => return,
            outcome = work => outcome,
        };
        match outcome {
            Ok(true) => next = asked + every,
            Ok(false) => {}
            Err(error) => tracing::warn!(error = %failure::chain(&error), "leases could not be renewed"),
        }
    }
}

fn lease(engine: &Engine) -> Duration {
    Duration::from_secs(u64::try_from(engine.settings.lease).unwrap_or(60))
}

/// Says that the engine is there; renews what is held; hands back what is owned and not held.
pub(crate) async fn renew(engine: &Engine, asked: Instant) -> Result<(), DbError> {
    // What was told to stop is not kept: its lease runs out if it does not.
    let before = engine.running.claims(|e| !e.signals.abandon.is_cancelled());
    let mut conn = engine.leases.session();
    services::register(&mut conn, engine.id, &hostname(), "senlin-engine", "senlin-engine").await?;
    let ours = leases::renew(&mut conn, engine.id, &before, engine.settings.lease).await?;
    for held in &ours {
        if held.renewed {
            engine.running.renewed(held.claim, asked);
        }
        if held.cancel {
            engine.running.cancel(held.claim);
        }
    }
    // What we thought ours and is not: ended by force, or taken back.
    for claim in before {
        if !ours.iter().any(|held| held.claim == claim) {
            engine.running.abandon(claim);
        }
    }
    release_strays(engine, LONGEST_CLAIM).await
}

/// Hands back what is owned and not held, if it was claimed `grace` ago: the
/// answer to a younger claim may still be on its way.
pub async fn release_strays(engine: &Engine, grace: Duration) -> Result<(), DbError> {
    let held = engine.running.claims(|_| true);
    let mut conn = engine.leases.session();
    let lost = leases::release_others(&mut conn, engine.id, &held, engine.settings.lease, grace.as_secs_f64()).await?;
    for action in &lost {
        tracing::warn!(%action, "nobody worked on an action of this engine: it is handed back");
    }
    if !lost.is_empty() {
        engine.work.notify_one();
    }
    Ok(())
}

async fn cancels(engine: &Engine) -> Result<(), DbError> {
    let held = engine.running.claims(|_| true);
    if held.is_empty() {
        return Ok(());
    }
    for claim in leases::cancelled(&mut engine.leases.session(), engine.id, &held).await? {
        engine.running.cancel(claim);
    }
    Ok(())
}

/// The machine's name, for the list of services.
fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "localhost".to_owned(), |s| s.trim().to_owned())
}

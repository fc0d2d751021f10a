//! How one claimed action runs: phases until it waits or ends, and what its
//! failure comes to.

use std::{sync::Arc, time::Duration};

use senlin_core::{
    Map,
    action::{Action, ActionKind, ActionStatus},
    node::{Condition, NodeStatus},
};
use senlin_db::{
    children,
    fence::{self, End, Fence, NodeChange},
    leases, nodes,
    queue::Claimed,
    settling::{self, Wait},
};
use tokio::{sync::OwnedSemaphorePermit, task::JoinError, time::Instant};
use tracing::Instrument;

use crate::{
    Engine,
    actions::{
        self,
        cluster::phase::ENDING,
        context::{Ctx, Outcome},
        node::UNKNOWN,
        retries::{Again, FAILING, again, end_children},
    },
    failure::{Failure, chain, host_unknown, words},
    queue::running::StopSignals,
};

/// Runs a claimed action to its end, its wait, or its retry. Everything that
/// it wrote is fenced; a panic in a handler counts as a failure of the engine.
///
/// `signals`: what [`crate::queue::running::RunningActions::insert`] returned for the claim.
pub(crate) async fn run(engine: Arc<Engine>, claimed: Claimed, signals: StopSignals, permit: OwnedSemaphorePermit) {
    let action = claimed.action.clone();
    let claim = (action.id, action.attempt);
    let span = tracing::info_span!("action", id = %action.id, kind = action.kind.as_str(),
        attempt = action.attempt, request_id = %action.request_id);
    let begun = Instant::now();
    let work = tokio::spawn(run_inner(engine.clone(), claimed, signals).instrument(span.clone()));
    let outcome = work.await;
    engine.running.remove(claim);
    drop(permit);
    engine.metrics.ran(action.kind, begun.elapsed());
    conclude(&engine, &action, outcome).instrument(span).await;
}

/// What comes after the work: others are woken, or the claim goes back.
async fn conclude(engine: &Engine, action: &Action, outcome: Result<Result<Outcome, Failure>, JoinError>) {
    match outcome {
        Ok(Ok(Outcome::Recorded { parents, spawned })) => {
            for parent in parents {
                // Fails only when the engine is going down; the sweeper finds it.
                let _ = engine.parents.send(parent);
            }
            if spawned {
                engine.bus.wake(&[action.id], &action.request_id);
            }
            // A slot, a lock or a child is free to be claimed.
            engine.work.notify_one();
        }
        Ok(Ok(Outcome::Next(phase))) => {
            tracing::error!(phase, "a handler ended between phases");
            release(engine, action, "Its handler ended between phases.").await;
        }
        Ok(Err(failure)) if failure.is_lease_lost() => {
            tracing::warn!("the action is not ours any more; nothing more is written");
        }
        Ok(Err(failure)) => {
            tracing::warn!(error = %chain(&failure), "the outcome could not be recorded");
            release(engine, action, "Its outcome could not be recorded.").await;
        }
        Err(panic) => {
            tracing::error!(error = %panic, "a handler panicked");
            release(
                engine,
                action,
                "Its handler failed unexpectedly; the engine's log has the details.",
            )
            .await;
        }
    }
}

/// Hands a claim back that nobody works on any more. If that fails too, the
/// keeper of leases does it.
async fn release(engine: &Engine, action: &Action, reason: &str) {
    let claim = (action.id, action.attempt);
    let handed = leases::release(&mut engine.db.session(), engine.id, claim, reason).await;
    match handed {
        Ok(_) => engine.work.notify_one(),
        Err(error) => tracing::warn!(error = %chain(&error), "the claim could not be handed back; trying again"),
    }
}

async fn run_inner(engine: Arc<Engine>, claimed: Claimed, signals: StopSignals) -> Result<Outcome, Failure> {
    let Claimed { action, remaining } = claimed;
    let fence = Fence::of(&action)?;
    if action.cancel {
        signals.cancel.cancel();
    }
    let deadline = Instant::now() + Duration::from_secs_f64(remaining.clamp(0.0, 1e9));
    let mut ctx = Ctx {
        engine,
        action,
        fence,
        signals,
        deadline,
    };
    // As many tries that were counted, and as many engines lost on top of them.
    let poisoned = ctx.action.retries > 2 * ctx.engine.settings.max_retries;
    let result = if poisoned {
        Err(Failure::Refused(format!(
            "Given up after {} tries. The last one: {}",
            ctx.action.retries,
            last_reason(&ctx.action.data).unwrap_or("the engine that worked on it went silent.")
        )))
    } else {
        phases(&mut ctx).await
    };
    match result {
        Err(failure) => settle(&ctx, failure, poisoned).await,
        done => done,
    }
}

fn last_reason(data: &Map) -> Option<&str> {
    data.get("last_failure").and_then(serde_json::Value::as_str)
}

/// Runs phase after phase.
async fn phases(ctx: &mut Ctx) -> Result<Outcome, Failure> {
    loop {
        match actions::run(ctx).await? {
            Outcome::Next(phase) => ctx.action.phase = phase,
            recorded => return Ok(recorded),
        }
    }
}

/// What a failure comes to: another try, or the action's end.
async fn settle(ctx: &Ctx, failure: Failure, poisoned: bool) -> Result<Outcome, Failure> {
    if failure.is_lease_lost() {
        return Err(failure);
    }
    let ending = ctx.ending();
    if let Some(again) = again(ctx, &failure).filter(|_| !poisoned) {
        return retry(ctx, &failure, &again).await;
    }
    // Its children must end first: it goes on waiting for them, then comes back.
    if ctx.action.kind.is_cluster() && !ctx.action.phase.starts_with(ENDING) {
        let ends = children::ends(&mut ctx.conn(), ctx.action.id, &ctx.action.phase).await?;
        if ends.iter().any(|c| !c.status.is_terminal()) {
            return end_children(ctx, &failure).await;
        }
    }
    let (status, reason) = ending.unwrap_or_else(|| (ActionStatus::Failed, words(&failure)));
    if status == ActionStatus::Failed && !matches!(failure, Failure::Refused(_) | Failure::NotYet(_)) {
        tracing::warn!(error = %chain(&failure), "action failed");
    }
    let end = End {
        status,
        reason,
        outputs: Map::new(),
    };
    record_end(ctx, &end, &failure).await
}

/// Hands the action back, to be tried again.
async fn retry(ctx: &Ctx, failure: &Failure, again: &Again) -> Result<Outcome, Failure> {
    let reason = words(failure);
    let mut data = Map::new();
    data.insert("last_failure".to_owned(), reason.clone().into());
    if !ctx.action.data.contains_key(FAILING) {
        data.insert(FAILING.to_owned(), ctx.elapsed().into());
    }
    let mut conn = ctx.conn();
    match *again {
        Again::Counted(delay) => {
            tracing::info!(delay, reason, "trying again later");
            fence::merge_data(&mut conn, ctx.fence, &data, &Map::new()).await?;
            let told = format!("Trying again: {reason}");
            ctx.end("hand back", fence::retry(&mut conn, ctx.fence, delay, &told))
                .await?;
        }
        Again::Patient(delay) => {
            tracing::debug!(delay, reason, "waiting for what is outside");
            let told = format!("Waiting: {reason}");
            let wait = Wait {
                phase: None,
                delay,
                reason: &told,
                data: &data,
                physical_id: None,
            };
            ctx.end("hand back", settling::wait(&mut conn, ctx.fence, &wait))
                .await?;
            ctx.engine.look_in(delay);
        }
    }
    Ok(Outcome::ended(Vec::new()))
}

/// Ends a failed action: its node is in ERROR, or unknown where its host does
/// not answer; its cluster as it truly is.
async fn record_end(ctx: &Ctx, end: &End, failure: &Failure) -> Result<Outcome, Failure> {
    let mut conn = ctx.conn();
    let kind = ctx.action.kind;
    let parents = if kind.is_cluster() {
        let id = ctx.cluster_id()?;
        ctx.end(
            "record the end",
            fence::finish_cluster(&mut conn, ctx.fence, end, id, kind.as_str(), &[]),
        )
        .await?
    } else {
        // One that was told to end before it changed anything leaves the node as it is.
        let untouched = match ctx.ending() {
            Some(_) => nodes::get(&mut conn, ctx.action.target.into())
                .await?
                .is_some_and(|n| !n.status.is_passing()),
            None => false,
        };
        // Of a node that was never made nothing is left to be known.
        let (status, reason, condition) = if host_unknown(failure) && kind != ActionKind::NodeCreate {
            let reason = format!("{UNKNOWN}{}", end.reason);
            (NodeStatus::Warning, reason, Some(Condition::Unknown))
        } else {
            (NodeStatus::Error, end.reason.clone(), None)
        };
        let change = NodeChange {
            status: (!untouched).then_some(status),
            reason,
            condition: condition.filter(|_| !untouched),
            leave_unbegun: kind == ActionKind::NodeCreate && ctx.is_members_own(),
            ..NodeChange::default()
        };
        ctx.end("record the end", ctx.finish(end.clone(), change)).await?
    };
    Ok(Outcome::ended(parents))
}

//! Whether what failed is tried again, and how what it began is ended.

use senlin_core::{Map, action::ActionKind, placement::HostSnapshot};
use senlin_db::{child_actions, children, fence};

use super::{
    cluster::phase::ENDING,
    context::{Ctx, Outcome},
};
use crate::failure::{Failure, words};

/// How a failed action is tried again.
pub(crate) enum Again {
    /// It counts, and the next try is after so many seconds: 1, 2, 4 …
    Counted(f64),
    /// It does not count: something outside is waited for, and time is the only bound.
    Patient(f64),
}

/// What an action's data says since when it has failed, in seconds since it began.
pub(crate) const FAILING: &str = "failing_since";

/// Seconds for which nothing but failures came of the action's phase.
fn failing_for(ctx: &Ctx) -> f64 {
    let since = ctx.action.data.get(FAILING).and_then(serde_json::Value::as_f64);
    since.map_or(0.0, |since| ctx.elapsed() - since)
}

/// Whether, and how, an action that failed so is tried again. What may become
/// true by waiting is waited for while the action's time lasts: a deletion and
/// the database for as long as it takes, a host that fails for as long as a
/// silent one is waited for.
pub(crate) fn again(ctx: &Ctx, failure: &Failure) -> Option<Again> {
    if ctx.ending().is_some() || !failure.is_transient() {
        return None;
    }
    let failing = failing_for(ctx);
    let patient = Again::Patient((failing / 4.0).clamp(1.0, 15.0));
    if matches!(failure, Failure::NotYet(_)) {
        return Some(patient);
    }
    if ctx.action.retries < ctx.engine.settings.max_retries {
        let exponent = u32::try_from(ctx.action.retries.clamp(0, 4)).unwrap_or(0);
        return Some(Again::Counted(f64::from(2_u32.pow(exponent))));
    }
    let waits = matches!(failure, Failure::Db(_))
        || ctx.action.kind == ActionKind::NodeDelete
        || failing < HostSnapshot::PATIENCE;
    waits.then_some(patient)
}

/// The action goes on once its children have ended, which they are told to.
pub(crate) async fn end_children(ctx: &Ctx, failure: &Failure) -> Result<Outcome, Failure> {
    let phase = ctx.action.phase.as_str();
    let phase = phase.strip_prefix(ENDING).unwrap_or(phase);
    let mut conn = ctx.conn();
    let why = Map::from_iter([("last_failure".to_owned(), words(failure).into())]);
    fence::merge_data(&mut conn, ctx.fence, &why, &Map::new()).await?;
    children::cancel(&mut conn, ctx.action.id).await?;
    child_actions::park(
        &mut conn,
        ctx.fence,
        &format!("{ENDING}{phase}"),
        "Ending its children.",
    )
    .await?;
    Ok(Outcome::waiting())
}

//! Hands an action back to the queue and tells why, as long as it is ours:
//! whoever has lost the claim changes nothing and tells nothing.

use senlin_core::event::Level;

use crate::{
    Conn, Result,
    events::Record,
    fence::{FENCED, Fence, Fenced, ours},
    queue::end,
    run::Run,
    sql::Sql,
};

/// How an action goes back to the queue.
pub(crate) struct Requeue<'a> {
    /// What went wrong is counted.
    pub(crate) counts: bool,
    /// Where it goes on; none: where it was.
    pub(crate) phase: Option<&'a str>,
    /// Seconds.
    pub(crate) delay: f64,
    pub(crate) reason: &'a str,
    pub(crate) level: Level,
    /// As the event says it.
    pub(crate) told: &'static str,
}

/// Hands it back; it keeps its locks.
///
/// # Errors
/// [`crate::DbError::LeaseLost`].
pub(crate) async fn requeue_action(conn: &mut Conn, fence: Fence, back: &Requeue<'_>) -> Result<()> {
    let told = Record {
        from: "back",
        level: ":level",
        status: ":told",
        ..Record::ACTION
    };
    let touched = Sql::new(
        "WITH back AS (
            UPDATE actions a SET status = 'READY', owner = NULL, lease_expires_at = NULL,
                retries = CASE WHEN :counts THEN retries + 1 ELSE 0 END, phase = coalesce(:phase, phase),
                status_reason = :reason, updated_at = now(),
                data = CASE WHEN :counts THEN a.data - 'waits_for' ELSE a.data - '{failing_since,waits_for}'::text[] END,
                run_after = ",
    )
    .push(&end::due(":delay"))
    .push(" WHERE")
    .push(FENCED)
    .push("RETURNING a.*)")
    .push(&told.of_actions())
    .fence(fence)
    .set("counts", back.counts)
    .set("phase", back.phase)
    .set("reason", back.reason)
    .set("delay", back.delay)
    .set("level", back.level.as_str())
    .set("told", back.told)
    .run(conn)
    .await?;
    ours(touched)
}

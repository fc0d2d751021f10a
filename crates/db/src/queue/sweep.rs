//! The sweep: what a lost message, a lost engine or a lost moment left behind.

use senlin_core::ids::*;

use super::{IdRow, end, promote};
use crate::{
    Conn, Result, hooks, leases,
    run::Run,
    sql::{Sql, row},
};

/// What the sweep found and set right.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Swept {
    /// Leases that had run out: READY again.
    pub expired: Vec<ActionId>,
    /// Parents whose children are all done, or whose time is up: READY again.
    pub promoted: Vec<ActionId>,
    /// Actions that are READY and may run now.
    pub ready: bool,
}

row! { ReadyRow { ready: bool = diesel::sql_types::Bool } }

/// Finds what a lost message, a lost engine or a lost moment left behind. What
/// another statement is at work on is left to it, or to the next sweep.
///
/// # Errors
/// When the database does not answer.
pub async fn sweep(conn: &mut Conn) -> Result<Swept> {
    let expired = take_back(conn).await?;
    hooks::time_out(conn).await?;
    let parents = end_hopeless(conn).await?;
    let mut promoted = promote(conn, &parents).await?;
    promoted.extend(wake_parents(conn).await?);
    let ready: Option<ReadyRow> =
        Sql::new("SELECT EXISTS (SELECT 1 FROM actions WHERE status = 'READY' AND run_after <= now()) AS ready")
            .fetch_optional(conn)
            .await?;
    Ok(Swept {
        expired,
        promoted,
        ready: ready.is_some_and(|r| r.ready),
    })
}

/// Leases that have run out: the action is READY again, with its locks.
async fn take_back(conn: &mut Conn) -> Result<Vec<ActionId>> {
    let rows: Vec<IdRow> = Sql::new(
        "WITH stray AS (
            SELECT id FROM actions WHERE status = 'RUNNING' AND lease_expires_at < now()
            ORDER BY id FOR UPDATE SKIP LOCKED),",
    )
    .push(&leases::back())
    .bind("The engine that worked on it went silent.")
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|r| r.id.into()).collect())
}

/// Actions that can never be claimed, for what they would lock is gone. They
/// end here; a deletion has got what it wanted, anything else has failed.
/// Returns who waited for them.
async fn end_hopeless(conn: &mut Conn) -> Result<Vec<ActionId>> {
    let rows: Vec<IdRow> = Sql::new(
        "WITH hopeless AS MATERIALIZED (
            SELECT a.id, n.id IS NULL AND c.id IS NULL AS gone FROM actions a
            LEFT JOIN nodes n ON n.id = a.target LEFT JOIN clusters c ON c.id = a.target
            LEFT JOIN clusters k ON k.id = a.cluster_id
            WHERE a.status = 'READY' AND (n.id IS NULL AND c.id IS NULL OR k.id IS NULL AND a.lock_scope <> 'NODE')),
        locked AS (
            SELECT a.id, h.gone FROM actions a JOIN hopeless h ON h.id = a.id WHERE a.status = 'READY'
            ORDER BY a.id FOR UPDATE OF a SKIP LOCKED),
        ended AS (
            UPDATE actions a SET
                status = CASE WHEN gone AND action IN ('CLUSTER_DELETE', 'NODE_DELETE') THEN 'SUCCEEDED'
                    ELSE 'FAILED' END,
                status_reason = CASE WHEN NOT gone THEN 'The cluster could not be found.'
                    WHEN action IN ('CLUSTER_DELETE', 'NODE_DELETE') THEN 'It was deleted already.'
                    ELSE 'The target could not be found.' END,
                ended_at = now(), updated_at = now()
            FROM locked WHERE a.id = locked.id RETURNING a.*)",
    )
    .push(&end::released())
    .push("SELECT DISTINCT dependent AS id FROM edges")
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|r| r.id.into()).collect())
}

/// Parents that nobody woke: their children have ended, or they are to end
/// them. As [`promote`], judged by the attempt that was seen.
async fn wake_parents(conn: &mut Conn) -> Result<Vec<ActionId>> {
    let rows: Vec<IdRow> = Sql::new(
        "WITH seen AS MATERIALIZED (
            SELECT id, attempt FROM actions a WHERE status = 'WAITING' AND (
                NOT EXISTS (SELECT 1 FROM action_dependencies d WHERE d.dependent = a.id)
                OR (phase NOT LIKE 'ending:%'
                    AND (control IS NOT NULL OR started_at + make_interval(secs => timeout) < now())))),
        free AS (
            SELECT a.id FROM actions a JOIN seen s ON s.id = a.id AND s.attempt = a.attempt
            WHERE a.status = 'WAITING' ORDER BY a.id FOR UPDATE OF a SKIP LOCKED)
        UPDATE actions a SET status = 'READY', updated_at = now() FROM free WHERE a.id = free.id RETURNING a.id",
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|r| r.id.into()).collect())
}

//! Makes parents READY that nobody woke: their children have ended, or they are
//! to end them. As `promote_parents`, judged by the attempt that was seen; what
//! others have locked is left to them.

use senlin_core::ids::ActionId;

use crate::{
    Conn, Result,
    queue::{IdRow, ids},
    run::Run,
    sql::Sql,
};

/// Returns those that it made READY.
pub(crate) async fn wake_parents(conn: &mut Conn) -> Result<Vec<ActionId>> {
    let woken: Vec<IdRow> = Sql::new(
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
    Ok(ids(woken))
}

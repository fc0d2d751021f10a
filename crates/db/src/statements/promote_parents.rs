//! Makes parents READY that wait for nothing any more, judged by the attempt
//! that was seen: one that was claimed meanwhile and waits anew waits for
//! children that this snapshot does not show.

use senlin_core::ids::ActionId;

use crate::{
    Conn, Result,
    queue::{IdRow, ids},
    run::Run,
    sql::Sql,
};

/// Returns those that it made READY.
pub(crate) async fn promote_parents(conn: &mut Conn, parents: &[ActionId]) -> Result<Vec<ActionId>> {
    let promoted: Vec<IdRow> = Sql::new(
        "WITH seen AS MATERIALIZED (
            SELECT id, attempt FROM actions a WHERE id = ANY (:parents) AND status = 'WAITING'
                AND NOT EXISTS (SELECT 1 FROM action_dependencies d WHERE d.dependent = a.id)),
        free AS (
            SELECT a.id FROM actions a JOIN seen s ON s.id = a.id AND s.attempt = a.attempt
            WHERE a.status = 'WAITING' ORDER BY a.id FOR UPDATE OF a)
        UPDATE actions a SET status = 'READY', updated_at = now() FROM free WHERE a.id = free.id RETURNING a.id",
    )
    .set("parents", parents)
    .fetch_all(conn)
    .await?;
    Ok(ids(promoted))
}

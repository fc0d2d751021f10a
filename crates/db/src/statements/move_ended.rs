//! Moves actions that have ended to `ended_actions`: at every moment, and for
//! everybody, an action is in one of the two tables.

use diesel::sql_types::BigInt;

use crate::{
    Conn, Result,
    history::columns,
    run::Run,
    sql::{Sql, row},
};

row! { MovedRow { moved: i64 = BigInt } }

/// Moves up to `most` that ended more than `settle` seconds ago; those recorded
/// more than `days` days ago are dropped on the way. Returns how many have left.
pub(crate) async fn move_ended(conn: &mut Conn, settle: f64, days: i32, most: i64) -> Result<i64> {
    let row: Option<MovedRow> = Sql::new(concat!(
        "WITH due AS MATERIALIZED (
            SELECT a.id FROM actions a
            WHERE a.ended_at < now() - make_interval(secs => :settle)
                -- Placement counts it against its host.
                AND NOT (a.status = 'FAILED' AND a.action = 'NODE_CREATE' AND a.host_id IS NOT NULL
                    AND a.ended_at > now() - interval '10 minutes')
                AND NOT EXISTS (SELECT 1 FROM actions p WHERE p.id = a.parent_id
                    AND p.status NOT IN ('SUCCEEDED', 'FAILED', 'CANCELLED'))
                AND NOT EXISTS (SELECT 1 FROM actions c WHERE c.parent_id = a.id)
            ORDER BY a.ended_at LIMIT :most FOR UPDATE SKIP LOCKED),
        gone AS (DELETE FROM actions a USING due WHERE a.id = due.id RETURNING a.*),
        kept AS (INSERT INTO ended_actions (",
        columns!(),
        ") SELECT ",
        columns!(),
        " FROM gone WHERE created_at >= now() - make_interval(days => :days))
        SELECT count(*) AS moved FROM gone"
    ))
    .set("settle", settle)
    .set("most", most)
    .set("days", days)
    .fetch_optional(conn)
    .await?;
    Ok(row.map_or(0, |r| r.moved))
}

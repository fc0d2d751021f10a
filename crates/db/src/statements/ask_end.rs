//! Asks actions and all their descendants to end. What never began ends in the
//! same statement, so that nobody claims it between the request and its end.

use diesel::sql_types::{Bool, Uuid as SqlUuid};
use uuid::Uuid;

use crate::{
    Conn, Result,
    queue::end,
    run::Run,
    sql::{Sql, row},
};

row! {
    /// Whom to wake.
    AskedRow {
        id: Uuid = SqlUuid,
        // Of one that ended; otherwise it was asked itself.
        parent: bool = Bool,
    }
}

/// Asks for the end of the actions that meet a condition, and of their
/// descendants. The parents of those that ended are to be promoted after the
/// commit.
pub(crate) async fn ask_end(conn: &mut Conn, condition: Sql) -> Result<Vec<AskedRow>> {
    Sql::new("WITH RECURSIVE tree AS (SELECT id FROM actions WHERE ")
        .append(condition)
        .push(end::DESCENDANTS)
        // One that waits for its moment (a back-off, a pause) is due at once; one that never began holds no lock,
        // and needs none to end.
        .push(
            ",
        asked AS MATERIALIZED (
            SELECT a.id, a.status = 'READY' AND a.attempt = 0 AS idle FROM actions a
            WHERE a.id IN (SELECT id FROM tree) AND a.status NOT IN ('SUCCEEDED', 'FAILED', 'CANCELLED')
            ORDER BY a.id FOR UPDATE),
        woken AS (
            UPDATE actions a SET control = 'CANCEL',
                run_after = CASE a.status WHEN 'READY' THEN least(a.run_after, now()) ELSE a.run_after END
            FROM asked WHERE a.id = asked.id AND NOT asked.idle RETURNING a.id),
        ended AS (
            UPDATE actions a SET status = 'CANCELLED', status_reason = 'The action was cancelled before it began.',
                control = 'CANCEL', ended_at = now(), updated_at = now()
            FROM asked WHERE a.id = asked.id AND asked.idle RETURNING a.*)",
        )
        .push(&end::released())
        // What it was to make was not made.
        .push(
            ",
        unmade_nodes AS (
            SELECT n.id, e.status_reason, e.parent_id IS NULL AS uncounted FROM nodes n JOIN ended e ON e.target = n.id
            WHERE e.action = 'NODE_CREATE' AND n.status = 'INIT' ORDER BY n.id FOR NO KEY UPDATE OF n),
        node AS (
            -- One that nobody counted as asked for is no member.
            UPDATE nodes n SET status = 'ERROR', status_reason = u.status_reason,
                cluster_id = CASE WHEN u.uncounted THEN NULL ELSE n.cluster_id END,
                index = CASE WHEN u.uncounted THEN -1 ELSE n.index END
            FROM unmade_nodes u WHERE n.id = u.id),
        unmade_clusters AS (
            SELECT c.id, e.status_reason FROM clusters c JOIN ended e ON e.target = c.id
            WHERE e.action = 'CLUSTER_CREATE' AND c.status = 'INIT' ORDER BY c.id FOR NO KEY UPDATE OF c),
        cluster AS (
            UPDATE clusters c SET status = CASE WHEN c.min_size > 0 THEN 'ERROR' ELSE 'WARNING' END,
                status_reason = u.status_reason
            FROM unmade_clusters u WHERE c.id = u.id)
        SELECT id, false AS parent FROM woken UNION ALL SELECT DISTINCT dependent, true FROM edges",
        )
        .fetch_all(conn)
        .await
}

//! Ends an action and its descendants at once, whoever works on them: statuses,
//! locks, dependencies, events, and what the targets are left in. The attempts
//! are raised, so that every later write of those who worked is fenced off.

use senlin_core::ids::ActionId;

use crate::{
    Conn, Result,
    queue::{IdRow, end, ids},
    run::Run,
    sql::Sql,
};

/// Returns the parents that are not among them.
pub(crate) async fn cancel_tree(conn: &mut Conn, root: ActionId) -> Result<Vec<ActionId>> {
    let parents: Vec<IdRow> = Sql::new("WITH RECURSIVE tree AS (SELECT id FROM actions WHERE id = :root")
        .push(end::DESCENDANTS)
        .push(
            ",
        ended AS (
            UPDATE actions a SET status = 'CANCELLED', status_reason = 'The action was cancelled by force.',
                control = 'CANCEL', owner = NULL, lease_expires_at = NULL, attempt = attempt + 1,
                ended_at = now(), updated_at = now()
            WHERE a.id IN (SELECT id FROM tree) AND a.status NOT IN ('SUCCEEDED', 'FAILED', 'CANCELLED')
            RETURNING a.*)",
        )
        .push(&end::released())
        .push(
            ",
        broken_nodes AS (
            SELECT n.id, e.status_reason FROM nodes n JOIN ended e ON e.target = n.id
            WHERE n.status NOT IN ('ACTIVE', 'WARNING', 'ERROR') ORDER BY n.id FOR NO KEY UPDATE OF n),
        node AS (
            UPDATE nodes n SET status = 'ERROR', status_reason = b.status_reason FROM broken_nodes b WHERE n.id = b.id),
        broken_clusters AS (
            SELECT c.id, e.status_reason FROM clusters c JOIN ended e ON e.target = c.id
            WHERE c.status NOT IN ('ACTIVE', 'WARNING', 'ERROR') ORDER BY c.id FOR NO KEY UPDATE OF c),
        cluster AS (
            UPDATE clusters c SET status = 'WARNING', status_reason = b.status_reason
            FROM broken_clusters b WHERE c.id = b.id)
        SELECT DISTINCT dependent AS id FROM edges WHERE dependent NOT IN (SELECT id FROM ended)",
        )
        .set("root", root)
        .fetch_all(conn)
        .await?;
    Ok(ids(parents))
}

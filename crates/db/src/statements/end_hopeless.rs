//! Ends actions that can never be claimed, for what they would lock is gone,
//! with all that an end has: events, dependencies, locks. A deletion has got
//! what it wanted, anything else has failed.

use senlin_core::ids::ActionId;

use crate::{
    Conn, Result,
    queue::{IdRow, end, ids},
    run::Run,
    sql::Sql,
};

/// Returns who waited for them.
pub(crate) async fn end_hopeless(conn: &mut Conn) -> Result<Vec<ActionId>> {
    let parents: Vec<IdRow> = Sql::new(
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
    Ok(ids(parents))
}

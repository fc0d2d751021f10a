//! Hosts as the health manager sees them: who listens to which, and what
//! becomes of the members on one that goes silent, or answers again.

use diesel::sql_types::Uuid as SqlUuid;
use senlin_core::ids::*;
use uuid::Uuid;

use super::settle;
use crate::{
    Conn, Result,
    run::Run,
    sql::{Sql, row},
};

row! { IdRow { id: Uuid = SqlUuid } }

/// Watches over hosts: renews what `owner` watches and takes on more, so that
/// every host has a watcher and each engine about its share; an engine that has
/// said nothing for `lease` seconds has none. Returns what `owner` watches now.
///
/// # Errors
/// When the database does not answer.
pub async fn watch(conn: &mut Conn, owner: ServiceId, lease: f64) -> Result<Vec<NodeId>> {
    let rows: Vec<IdRow> = Sql::new(
        "WITH alive AS (UPDATE services SET updated_at = now() WHERE id = ?),
        share AS (
            SELECT ceil(count(*)::float8 / greatest(1, (SELECT count(*) FROM services s WHERE s.id = ?
                OR (s.\"binary\" = 'senlin-engine' AND s.updated_at > now() - make_interval(secs => ?)))))::bigint AS n
            FROM hosts),
        kept AS (
            SELECT node_id FROM hosts WHERE watcher = ? AND watch_until > now() ORDER BY node_id
            LIMIT (SELECT n FROM share)),
        free AS (
            SELECT node_id FROM hosts WHERE watch_until <= now() OR watcher IS NULL ORDER BY node_id
            LIMIT (SELECT greatest(0, n - (SELECT count(*) FROM kept)) FROM share) FOR UPDATE SKIP LOCKED)
        UPDATE hosts h SET watcher = ?, watch_until = now() + make_interval(secs => ?)
        WHERE node_id IN (SELECT node_id FROM kept UNION SELECT node_id FROM free)
        RETURNING node_id AS id",
    )
    .bind(owner)
    .bind(owner)
    .bind(lease)
    .bind(owner)
    .bind(owner)
    .bind(lease)
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|r| r.id.into()).collect())
}

/// A host was silent and answers again. Of the members said to be unknown,
/// those whose container was seen running are ACTIVE, whatever the list missed
/// is left to a check.
///
/// # Errors
/// When the database does not answer.
pub async fn known_again(conn: &mut Conn, host: NodeId, running: &[String]) -> Result<Vec<ClusterId>> {
    let rows: Vec<IdRow> = Sql::new(
        "WITH seen AS (
            UPDATE nodes n SET status = 'ACTIVE', status_reason = 'The host answers again, and the container runs.'
            WHERE n.host_id = ? AND n.status = 'WARNING' AND n.condition = 'UNKNOWN'
                AND n.physical_id = ANY (?) AND NOT EXISTS (SELECT 1 FROM node_locks l WHERE l.node_id = n.id)
            RETURNING cluster_id)
        SELECT DISTINCT cluster_id AS id FROM seen WHERE cluster_id IS NOT NULL",
    )
    .bind(host)
    .bind(running.to_vec())
    .fetch_all(conn)
    .await?;
    let clusters: Vec<ClusterId> = rows.into_iter().map(|r| r.id.into()).collect();
    for cluster in &clusters {
        settle(conn, *cluster).await?;
    }
    Ok(clusters)
}

/// A host is silent: its containers are unknown, which is not failed.
///
/// # Errors
/// When the database does not answer.
pub async fn unknown(conn: &mut Conn, host: NodeId) -> Result<()> {
    let rows: Vec<IdRow> = Sql::new(
        "WITH seen AS (
            UPDATE nodes n SET status = 'WARNING', status_reason = 'Unknown: its host does not answer.',
                condition = 'UNKNOWN'
            WHERE n.host_id = ? AND n.status = 'ACTIVE'
                AND NOT EXISTS (SELECT 1 FROM node_locks l WHERE l.node_id = n.id)
            RETURNING cluster_id)
        SELECT DISTINCT cluster_id AS id FROM seen WHERE cluster_id IS NOT NULL",
    )
    .bind(host)
    .fetch_all(conn)
    .await?;
    for row in rows {
        settle(conn, row.id.into()).await?;
    }
    Ok(())
}

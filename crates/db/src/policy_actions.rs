//! Actions that nobody asked for: a policy decided on them.

use senlin_core::{Map, action::ActionKind, ids::*};

use crate::{Conn, Result, sql::Sql};

/// Records an action on a cluster in a policy's name, unless something is open
/// on it already. Holds the cluster's row: two engines cannot both record one.
///
/// # Errors
/// When the database does not answer.
pub async fn cluster(conn: &mut Conn, cluster: ClusterId, kind: ActionKind, inputs: &Map) -> Result<Option<ActionId>> {
    conn.transaction(async |conn| {
        // Held first and looked at in a statement of its own, which sees what
        // another engine recorded while this one waited.
        let held = Sql::new("SELECT id FROM clusters WHERE id = ? FOR NO KEY UPDATE")
            .bind(cluster)
            .execute(conn)
            .await?;
        let open = Sql::new(
            "SELECT id FROM actions WHERE target = ?
                AND status IN ('INIT', 'WAITING', 'READY', 'RUNNING', 'SUSPENDED', 'WAITING_LIFECYCLE_COMPLETION')
            LIMIT 1",
        )
        .bind(cluster)
        .execute(conn)
        .await?;
        if held == 0 || open > 0 {
            return Ok(None);
        }
        let id = ActionId::random();
        Sql::new(
            "INSERT INTO actions (id, name, action, target, target_name, cluster_id, cause, lock_scope, status,
                status_reason, inputs, timeout, user_id, project, request_id)
            SELECT ?, lower(?) || '_' || left(c.id::text, 8), ?, c.id, c.name, c.id, 'Policy', 'CLUSTER', 'READY', '',
                ?, c.timeout, c.user_id, c.project, '' FROM clusters c WHERE c.id = ?",
        )
        .bind(id)
        .bind(kind.as_str())
        .bind(kind.as_str())
        .bind(inputs)
        .bind(cluster)
        .execute(conn)
        .await?;
        Ok(Some(id))
    })
    .await
}

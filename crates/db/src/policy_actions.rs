//! Actions that nobody asked for: a policy decided on them.

use diesel::sql_types::{Integer, Text};
use senlin_core::{
    Map,
    action::{ActionKind, Cause, LockScope, NewAction},
    ids::*,
};

use crate::{
    Conn, Result, child_actions,
    run::Run,
    sql::{Sql, row},
};

row! { OwnerRow { timeout: i32 = Integer, user_id: String = Text, project: String = Text } }

/// Records an action on a cluster in a policy's name, unless something is open
/// on it already. Holds the cluster's row: two engines cannot both record one.
///
/// # Errors
/// When the database does not answer.
pub async fn cluster(conn: &mut Conn, cluster: ClusterId, kind: ActionKind, inputs: &Map) -> Result<Option<ActionId>> {
    conn.transaction(async |conn| {
        // Held first and looked at in a statement of its own, which sees what
        // another engine recorded while this one waited.
        let held: Option<OwnerRow> =
            Sql::new("SELECT timeout, user_id, project FROM clusters WHERE id = ? FOR NO KEY UPDATE")
                .bind(cluster)
                .fetch_optional(conn)
                .await?;
        let open = Sql::new(
            "SELECT id FROM actions WHERE target = ?
                AND status IN ('INIT', 'WAITING', 'READY', 'RUNNING', 'SUSPENDED', 'WAITING_LIFECYCLE_COMPLETION')
            LIMIT 1",
        )
        .bind(cluster)
        .run(conn)
        .await?;
        let Some(owner) = held.filter(|_| open == 0) else {
            return Ok(None);
        };
        let action = NewAction {
            cluster_id: Some(cluster),
            lock_scope: LockScope::Cluster,
            inputs: inputs.clone(),
            timeout: owner.timeout,
            ..NewAction::unasked(kind, cluster.0, Cause::Policy, owner.user_id, owner.project)
        };
        child_actions::insert_actions(conn, std::slice::from_ref(&action), "").await?;
        Ok(Some(action.id))
    })
    .await
}

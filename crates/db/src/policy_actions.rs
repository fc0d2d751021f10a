//! Actions that nobody asked for: a policy decided on them.

use diesel::{dsl::sql, prelude::*, sql_types::Bool};
use senlin_core::{
    Map,
    action::{ActionKind, Cause, LockScope, NewAction},
    ids::*,
};

use crate::{
    Conn, Result, child_actions,
    run::Run,
    schema::{actions, clusters},
};

/// What is true of an action that has not ended; in these words an index has them.
const OPEN: &str = "status IN ('INIT', 'WAITING', 'READY', 'RUNNING', 'SUSPENDED', 'WAITING_LIFECYCLE_COMPLETION')";

/// Records an action on a cluster in a policy's name, unless something is open
/// on it already. Holds the cluster's row: two engines cannot both record one.
pub async fn cluster(conn: &mut Conn, cluster: ClusterId, kind: ActionKind, inputs: &Map) -> Result<Option<ActionId>> {
    conn.transaction(async |conn| {
        // Held first and looked at in a statement of its own, which sees what
        // another engine recorded while this one waited.
        let owner = clusters::table
            .find(cluster.0)
            .select((clusters::timeout, clusters::user_id, clusters::project));
        let held: Option<(i32, String, String)> = owner.for_no_key_update().fetch_optional(conn).await?;
        let open = actions::table
            .filter(actions::target.eq(cluster.0))
            .filter(sql::<Bool>(OPEN))
            .select(actions::id)
            .limit(1)
            .run(conn)
            .await?;
        let Some((timeout, user, project)) = held.filter(|_| open == 0) else {
            return Ok(None);
        };
        let action = NewAction {
            cluster_id: Some(cluster),
            lock_scope: LockScope::Cluster,
            inputs: inputs.clone(),
            timeout,
            ..NewAction::unasked(kind, cluster.0, Cause::Policy, user, project)
        };
        child_actions::insert_actions(conn, std::slice::from_ref(&action), "").await?;
        Ok(Some(action.id))
    })
    .await
}

//! Takes the attempts on a host that no action works on any more, each once
//! in five minutes: of two callers one gets it.

use diesel::sql_types::{Nullable, Text, Uuid as SqlUuid};
use senlin_core::ids::NodeId;
use uuid::Uuid;

use crate::{
    Conn, Result,
    run::Run,
    sql::{Sql, row},
};

const STATEMENT: &str = "
UPDATE node_attempts t SET checked_at = now() FROM nodes n
WHERE t.host_id = :host AND n.id = t.node_id
    AND (t.checked_at IS NULL OR t.checked_at < now() - interval '5 minutes')
    AND NOT EXISTS (SELECT 1 FROM node_locks l WHERE l.node_id = n.id)
    AND NOT EXISTS (SELECT 1 FROM actions a WHERE a.target = n.id
        AND a.status IN ('INIT', 'WAITING', 'READY', 'RUNNING', 'SUSPENDED', 'WAITING_LIFECYCLE_COMPLETION'))
RETURNING n.id, n.cluster_id, n.user_id, n.project";

row! {
    /// A node whose attempt is open.
    OpenRow {
        id: Uuid = SqlUuid,
        cluster_id: Option<Uuid> = Nullable<SqlUuid>,
        user_id: String = Text,
        project: String = Text,
    }
}

pub(crate) async fn take_attempts(conn: &mut Conn, host: NodeId) -> Result<Vec<OpenRow>> {
    Sql::new(STATEMENT).set("host", host).fetch_all(conn).await
}

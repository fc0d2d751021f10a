//! What may have changed of hosts since they were looked at, but for their
//! ports. Others wait while it runs, so it is little, and reads each host by its id.

use diesel::sql_types::{BigInt, Bool, Uuid as SqlUuid};
use senlin_core::ids::{ClusterId, NodeId};
use uuid::Uuid;

use crate::{
    Conn, Result,
    run::Run,
    sql::{Sql, row},
};

row! { NowRow {
    id: Uuid = SqlUuid,
    cpu_millis: i64 = BigInt,
    memory: i64 = BigInt,
    takes: bool = Bool,
    siblings: i64 = BigInt,
}}

pub(crate) async fn look_again(
    conn: &mut Conn,
    hosts: &[NodeId],
    sibling_cluster: Option<ClusterId>,
) -> Result<Vec<NowRow>> {
    Sql::new(
        "SELECT u.host_id AS id, u.cpu_millis, u.memory, coalesce(s.n, 0) AS siblings,
            coalesce(h.state = 'UP' AND h.last_seen > now() - interval '30 seconds', false)
                AND n.status IN ('ACTIVE', 'WARNING') AS takes
        FROM host_use u JOIN hosts h ON h.node_id = u.host_id
        CROSS JOIN LATERAL (SELECT status FROM nodes WHERE id = h.node_id LIMIT 1) n
        LEFT JOIN (SELECT host_id, count(*) AS n FROM nodes WHERE cluster_id = :sibling_cluster GROUP BY host_id) s
            ON s.host_id = u.host_id
        WHERE u.host_id = ANY (:hosts)",
    )
    .set("sibling_cluster", sibling_cluster)
    .set("hosts", hosts)
    .fetch_all(conn)
    .await
}

//! Makes a node the next member of a cluster: the index that it gets is used
//! up, and by nobody else. Nothing happens to one that is its member already.

use senlin_core::ids::*;

use crate::{Conn, Result, run::Run, sql::Sql};

const STATEMENT: &str = "
WITH next AS (
    UPDATE clusters SET next_index = next_index + 1 WHERE id = :cluster
        AND EXISTS (SELECT 1 FROM nodes WHERE id = :node AND cluster_id IS DISTINCT FROM :cluster)
    RETURNING id, next_index - 1 AS index)
UPDATE nodes n SET cluster_id = next.id, index = next.index, updated_at = now()
FROM next WHERE n.id = :node";

pub(crate) async fn join_cluster(conn: &mut Conn, node: NodeId, cluster: ClusterId) -> Result<()> {
    Sql::new(STATEMENT)
        .set("node", node)
        .set("cluster", cluster)
        .run(conn)
        .await?;
    Ok(())
}

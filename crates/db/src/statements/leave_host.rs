//! Takes a node off its host, with the attempt that was made there: its next
//! container has a generation that none before it had.

use senlin_core::ids::NodeId;

use crate::{Conn, Result, run::Run, sql::Sql};

pub(crate) async fn leave_host(conn: &mut Conn, node: NodeId) -> Result<()> {
    Sql::new(
        "WITH attempt AS (DELETE FROM node_attempts WHERE node_id = :node)
        UPDATE nodes SET host_id = NULL, physical_id = NULL, generation = greatest(generation, generations) + 1
        WHERE id = :node",
    )
    .set("node", node)
    .run(conn)
    .await?;
    Ok(())
}

//! Ends a node's attempt: the node is what is left of it, and its attempt and
//! its ports are gone, all at once. One that lost its container is in ERROR if
//! it was ACTIVE.

use senlin_core::{ids::*, profile_type::Made};

use crate::{Conn, Result, run::Run, sql::Sql};

const STATEMENT: &str = "
WITH attempt AS (DELETE FROM node_attempts WHERE node_id = :node),
ports AS (DELETE FROM host_ports WHERE node_id = :node)
UPDATE nodes SET profile_id = :profile, generation = coalesce(:generation, generation),
    physical_id = :physical_id, generations = greatest(generation, generations),
    status = CASE WHEN :physical_id::text IS NULL AND status = 'ACTIVE' THEN 'ERROR' ELSE status END
WHERE id = :node";

pub(crate) async fn settle_attempt(
    conn: &mut Conn,
    node: NodeId,
    profile: ProfileId,
    container: Option<&Made>,
) -> Result<()> {
    Sql::new(STATEMENT)
        .set("node", node)
        .set("profile", profile)
        .set("generation", container.map(|c| c.generation))
        .set("physical_id", container.map(|c| c.physical_id.as_str()))
        .run(conn)
        .await?;
    Ok(())
}

//! Uses up a node's next generation and records the attempt that is of it:
//! either both are there or none is. An attempt of another action is replaced.

use diesel::sql_types::Integer;
use senlin_core::ids::*;

use crate::{
    Conn, Result,
    run::Run,
    sql::{Sql, row},
};

const STATEMENT: &str = "
WITH node AS (
    UPDATE nodes SET generations = greatest(generation, generations) + 1 WHERE id = :node
    RETURNING id, generations)
INSERT INTO node_attempts (node_id, action_id, generation, host_id, profile_id)
SELECT id, :action, generations, :host, :profile FROM node
ON CONFLICT (node_id) DO UPDATE SET action_id = excluded.action_id, generation = excluded.generation,
    host_id = excluded.host_id, profile_id = excluded.profile_id, begun_at = now(), checked_at = NULL
RETURNING generation";

row! { GenerationRow { generation: i32 = Integer } }

/// The generation; none when there is no such node.
pub(crate) async fn begin_attempt(
    conn: &mut Conn,
    node: NodeId,
    action: ActionId,
    host: NodeId,
    profile: ProfileId,
) -> Result<Option<i32>> {
    let row: Option<GenerationRow> = Sql::new(STATEMENT)
        .set("node", node)
        .set("action", action)
        .set("host", host)
        .set("profile", profile)
        .fetch_optional(conn)
        .await?;
    Ok(row.map(|r| r.generation))
}

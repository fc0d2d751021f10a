//! What a project may have, counted in the transaction that adds to it.
//!
//! Requests of one project take turns (an advisory lock), so that no two of
//! them see the same last free place.

use diesel::sql_types::BigInt;
use senlin_core::ids::*;

use crate::{
    Conn, Result,
    run::Run,
    sql::{Sql, row},
};

/// What a request adds to the nodes of a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Growth {
    /// So many nodes.
    By(i32),
    /// Those that bring this cluster to so many.
    To(ClusterId, i32),
}

/// There is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full {
    /// Nodes that the project has, or has been promised.
    pub have: i64,
    /// Nodes that are asked for beyond those.
    pub more: i64,
}

/// Waits for this project's turn, which lasts until the transaction ends.
///
/// # Errors
/// When the database does not answer.
pub(crate) async fn turn(conn: &mut Conn, project: &str) -> Result<()> {
    Sql::new("SELECT pg_advisory_xact_lock(7307, hashtext(?))")
        .bind(project)
        .run(conn)
        .await?;
    Ok(())
}

row! { NodesRow { have: i64 = BigInt, own: i64 = BigInt } }

/// Says when a project would have more than `most` nodes. A cluster counts
/// with the greatest of its members, of what is desired, and of what an action
/// that has not ended will bring it to.
///
/// What it says holds for the transaction whose `turn` it is; outside of one
/// it is what a request would be told now.
///
/// # Errors
/// When the database does not answer.
pub async fn nodes(conn: &mut Conn, project: &str, growth: Growth, most: i64) -> Result<Option<Full>> {
    let cluster = match growth {
        Growth::By(more) if more <= 0 => return Ok(None),
        Growth::By(_) => None,
        Growth::To(cluster, _) => Some(cluster),
    };
    let row: Option<NodesRow> = Sql::new(
        "WITH members AS (SELECT cluster_id, count(*) AS n FROM nodes WHERE project = ? GROUP BY cluster_id),
        sizes AS (
            SELECT c.id, greatest(c.desired_capacity, m.n, p.size) AS size FROM clusters c
            LEFT JOIN members m ON m.cluster_id = c.id
            LEFT JOIN promised_sizes p ON p.cluster_id = c.id AND EXISTS (SELECT 1 FROM actions a
                WHERE a.id = p.action_id AND a.status NOT IN ('SUCCEEDED', 'FAILED', 'CANCELLED'))
            WHERE c.project = ?)
        SELECT (coalesce((SELECT sum(size) FROM sizes), 0)
            + coalesce((SELECT n FROM members WHERE cluster_id IS NULL), 0))::bigint AS have,
            coalesce((SELECT size FROM sizes WHERE id = ?), 0)::bigint AS own",
    )
    .bind(project)
    .bind(project)
    .bind(cluster)
    .fetch_optional(conn)
    .await?;
    let NodesRow { have, own } = row.unwrap_or(NodesRow { have: 0, own: 0 });
    let more = match growth {
        Growth::By(more) => i64::from(more),
        Growth::To(_, size) => i64::from(size) - own,
    };
    Ok((more > 0 && have.saturating_add(more) > most).then_some(Full { have, more }))
}

/// Notes the size that an action brings a cluster to.
///
/// # Errors
/// When the database does not answer.
pub(crate) async fn promise(conn: &mut Conn, cluster: ClusterId, action: ActionId, size: i32) -> Result<()> {
    Sql::new(
        "INSERT INTO promised_sizes (cluster_id, action_id, size) VALUES (?, ?, ?)
        ON CONFLICT (cluster_id) DO UPDATE SET action_id = excluded.action_id, size = excluded.size",
    )
    .bind(cluster)
    .bind(action)
    .bind(size.max(0))
    .run(conn)
    .await?;
    Ok(())
}

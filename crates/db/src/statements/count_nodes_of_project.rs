//! Counts a project's nodes and what its clusters are about to grow to, all at
//! one moment: a node that joins a cluster meanwhile is not counted twice.

use diesel::sql_types::BigInt;
use senlin_core::ids::ClusterId;

use crate::{
    Conn, Result,
    run::Run,
    sql::{Sql, row},
};

row! {
    #[derive(Default)]
    Count {
        have: i64 = BigInt,
        own: i64 = BigInt,
    }
}

/// The project's nodes, promised ones among them, and those of one cluster.
pub(crate) async fn count_nodes_of_project(
    conn: &mut Conn,
    project: &str,
    cluster: Option<ClusterId>,
) -> Result<Count> {
    let counted: Option<Count> = Sql::new(
        "WITH members AS (SELECT cluster_id, count(*) AS n FROM nodes WHERE project = :project GROUP BY cluster_id),
        sizes AS (
            SELECT c.id, greatest(c.desired_capacity, m.n, p.size) AS size FROM clusters c
            LEFT JOIN members m ON m.cluster_id = c.id
            LEFT JOIN promised_sizes p ON p.cluster_id = c.id AND EXISTS (SELECT 1 FROM actions a
                WHERE a.id = p.action_id AND a.status NOT IN ('SUCCEEDED', 'FAILED', 'CANCELLED'))
            WHERE c.project = :project)
        SELECT (coalesce((SELECT sum(size) FROM sizes), 0)
            + coalesce((SELECT n FROM members WHERE cluster_id IS NULL), 0))::bigint AS have,
            coalesce((SELECT size FROM sizes WHERE id = :cluster), 0)::bigint AS own",
    )
    .set("project", project)
    .set("cluster", cluster)
    .fetch_optional(conn)
    .await?;
    Ok(counted.unwrap_or_default())
}

//! What many containers use becomes their nodes' measures at once. A node that
//! is on its way out is not waited for, and gets none.

use serde_json::{Value, json};

use crate::{
    Conn, Result,
    loads::{HostLoad, NodeLoad},
    run::Run,
    sql::Sql,
};

/// Records the measures of containers on the host of that measure.
pub(crate) async fn record_node_loads(conn: &mut Conn, host: &HostLoad, nodes: &[NodeLoad]) -> Result<()> {
    let rows = nodes
        .iter()
        .map(|n| json!({"id": n.node, "cpu": n.cpu_millis, "memory": n.memory}));
    Sql::new(
        "WITH uses AS MATERIALIZED (
            SELECT n.id, 100 * r.cpu / greatest(1, CASE WHEN n.cpu_millis > 0 THEN n.cpu_millis ELSE :cpu_millis END) AS cpu,
                100 * r.memory / greatest(1, CASE WHEN n.memory > 0 THEN n.memory ELSE :memory END) AS memory
            FROM (
                -- While it is updated, a node has two containers.
                SELECT id, max(cpu) AS cpu, max(memory) AS memory
                FROM jsonb_to_recordset(:rows) AS t(id uuid, cpu double precision, memory double precision)
                GROUP BY id) r
            JOIN nodes n ON n.id = r.id),
        again AS (
            UPDATE node_loads l SET measured_at = now(), cpu = u.cpu, memory = u.memory
            FROM uses u WHERE l.node_id = u.id RETURNING l.node_id),
        -- A node that goes meanwhile is not to be referred to.
        there AS MATERIALIZED (
            SELECT n.id FROM nodes n WHERE n.id IN (SELECT id FROM uses EXCEPT SELECT node_id FROM again)
            ORDER BY n.id FOR KEY SHARE SKIP LOCKED)
        INSERT INTO node_loads (node_id, measured_at, cpu, memory)
        SELECT u.id, now(), u.cpu, u.memory FROM there JOIN uses u USING (id)
        ON CONFLICT (node_id) DO NOTHING",
    )
    .set("cpu_millis", host.cpu_millis)
    .set("memory", host.memory_bytes)
    .set("rows", Value::Array(rows.collect()))
    .run(conn)
    .await?;
    Ok(())
}

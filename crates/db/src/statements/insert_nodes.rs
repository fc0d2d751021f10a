//! Records nodes, in INIT: all of them, with their places, or none. Hosts that
//! take them are locked by its end, in order of id.

use senlin_core::node::NodeStatus;
use serde_json::{Value, json};

use crate::{Conn, Result, child_actions::NewNode, placement::Place, run::Run, sql::Sql};

const STATEMENT: &str = "
INSERT INTO nodes (id, name, cluster_id, profile_id, user_id, project, domain, index, role, metadata,
    status, status_reason, host_id, cpu_millis, memory, placed_at)
SELECT id, name, cluster_id, profile_id, user_id, project, domain, index, role, metadata, :status, 'Initializing',
    host_id, coalesce(cpu_millis, 0), coalesce(memory, 0),
    CASE WHEN host_id IS NOT NULL THEN clock_timestamp() END
FROM jsonb_to_recordset(:nodes) AS r(id uuid, name text, cluster_id uuid, profile_id uuid, user_id text,
    project text, domain text, index integer, role text, metadata jsonb, host_id uuid, cpu_millis bigint,
    memory bigint)";

pub(crate) async fn insert_nodes(conn: &mut Conn, nodes: &[(&NewNode, Option<&Place>)]) -> Result<()> {
    let rows = nodes.iter().map(|(node, place)| row_of(node, *place));
    Sql::new(STATEMENT)
        .set("status", NodeStatus::Init.as_str())
        .set("nodes", Value::Array(rows.collect()))
        .run(conn)
        .await?;
    Ok(())
}

fn row_of(node: &NewNode, place: Option<&Place>) -> Value {
    json!({
        "id": node.id, "name": node.name, "cluster_id": node.cluster_id, "profile_id": node.profile_id,
        "user_id": node.user, "project": node.project, "domain": node.domain, "index": node.index,
        "role": node.role, "metadata": node.metadata, "host_id": place.map(|p| p.host),
        "cpu_millis": place.map(|p| p.cpu_millis), "memory": place.map(|p| p.memory),
    })
}

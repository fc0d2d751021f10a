//! Containers that a metrics system may ask.

use diesel::prelude::*;
use senlin_core::{ids::*, node::NodeStatus};
use uuid::Uuid;

use crate::{
    Conn, Result,
    run::Run,
    schema::{clusters, nodes},
};

/// A metrics system is not told of more.
const MAX_TARGETS: i64 = 10_000;

/// A node whose container runs, and what is known of it.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "columns of the same names")]
pub struct Target {
    pub id: NodeId,
    pub name: String,
    pub index: i32,
    pub role: Option<String>,
    pub host_id: NodeId,
    pub host_name: String,
    pub cluster: Option<(ClusterId, String)>,
}

#[derive(Queryable)]
struct TargetRow {
    node: (Uuid, String, i32, Option<String>),
    host: (Uuid, String),
    cluster: Option<(Uuid, String)>,
}

impl From<TargetRow> for Target {
    fn from(row: TargetRow) -> Self {
        let (id, name, index, role) = row.node;
        let (host_id, host_name) = row.host;
        Self {
            id: id.into(),
            name,
            index,
            role,
            host_id: host_id.into(),
            host_name,
            cluster: row.cluster.map(|(id, name)| (id.into(), name)),
        }
    }
}

/// A project's containers that are ACTIVE.
pub async fn of(conn: &mut Conn, project: &str) -> Result<Vec<Target>> {
    let hosts = diesel::alias!(nodes as hosts);
    let rows: Vec<TargetRow> = nodes::table
        .inner_join(hosts.on(hosts.field(nodes::id).nullable().eq(nodes::host_id)))
        .left_join(clusters::table.on(clusters::id.nullable().eq(nodes::cluster_id)))
        .filter(nodes::project.eq(project))
        .filter(nodes::status.eq(NodeStatus::Active.as_str()))
        .order(nodes::id)
        .limit(MAX_TARGETS)
        .select((
            (nodes::id, nodes::name, nodes::index, nodes::role),
            hosts.fields((nodes::id, nodes::name)),
            (clusters::id, clusters::name).nullable(),
        ))
        .fetch_all(conn)
        .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

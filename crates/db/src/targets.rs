//! Containers that a metrics system may ask.

use diesel::sql_types::{Integer, Nullable, Text, Uuid as SqlUuid};
use senlin_core::ids::*;
use uuid::Uuid;

use crate::{
    Conn, Result,
    run::Run,
    sql::{Sql, row},
};

row! { TargetRow {
    id: Uuid = SqlUuid,
    name: String = Text,
    index: i32 = Integer,
    role: Option<String> = Nullable<Text>,
    host_id: Uuid = SqlUuid,
    host_name: String = Text,
    cluster_id: Option<Uuid> = Nullable<SqlUuid>,
    cluster_name: Option<String> = Nullable<Text>,
}}

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

/// A project's containers that are ACTIVE.
///
/// # Errors
/// When the database does not answer.
pub async fn of(conn: &mut Conn, project: &str) -> Result<Vec<Target>> {
    let rows: Vec<TargetRow> = Sql::new(
        "SELECT n.id, n.name, n.index, n.role, n.host_id, h.name AS host_name, n.cluster_id, c.name AS cluster_name
        FROM nodes n JOIN nodes h ON h.id = n.host_id LEFT JOIN clusters c ON c.id = n.cluster_id
        WHERE n.project = ? AND n.status = 'ACTIVE' ORDER BY n.id LIMIT 10000",
    )
    .bind(project)
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| Target {
            id: r.id.into(),
            name: r.name,
            index: r.index,
            role: r.role,
            host_id: r.host_id.into(),
            host_name: r.host_name,
            cluster: r.cluster_id.map(Into::into).zip(r.cluster_name),
        })
        .collect())
}

//! Where containers are, for what must hold there.

use diesel::sql_types::{Jsonb, Nullable, Text, Uuid as SqlUuid};
use senlin_core::{host::HostInfo, ids::*, placement::Whereabouts};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    Conn, Result, placement,
    run::Run,
    sql::{Sql, row},
};

row! { WhereRow {
    name: String = Text,
    host: Uuid = SqlUuid,
    host_name: String = Text,
    cluster_id: Option<Uuid> = Nullable<SqlUuid>,
    info: Value = Jsonb,
    labels: Option<Value> = Nullable<Jsonb>,
    zone: Option<String> = Nullable<Text>,
}}

/// The hosts that these nodes are on: each once, with one of its nodes. One
/// that has no place is on none.
///
/// # Errors
/// When the database does not answer.
pub async fn of(conn: &mut Conn, nodes: &[NodeId]) -> Result<Vec<Whereabouts>> {
    let rows: Vec<WhereRow> = Sql::new(
        "SELECT DISTINCT ON (n.host_id) n.name, s.id AS host, s.name AS host_name, s.cluster_id, h.info,
            p.spec #> '{properties,labels}' AS labels, p.spec #>> '{properties,zone}' AS zone
        FROM nodes n JOIN nodes s ON s.id = n.host_id JOIN hosts h ON h.node_id = s.id
            JOIN profiles p ON p.id = s.profile_id
        WHERE n.id = ANY (?) ORDER BY n.host_id, n.index, n.id",
    )
    .bind(nodes)
    .fetch_all(conn)
    .await?;
    let whereabouts = rows.into_iter().map(|row| Whereabouts {
        name: row.name,
        host: row.host.into(),
        host_name: row.host_name,
        cluster_id: row.cluster_id.map(Into::into),
        labels: placement::labels(
            serde_json::from_value::<HostInfo>(row.info).unwrap_or_default().labels,
            row.labels,
            row.zone,
        ),
    });
    Ok(whereabouts.collect())
}

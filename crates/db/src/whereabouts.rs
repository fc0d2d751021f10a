//! Where containers are, for what must hold there.

use diesel::prelude::*;
use senlin_core::{host::HostInfo, ids::*, placement::Whereabouts};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    Conn, Result, placement,
    run::Run,
    schema::{hosts, nodes, profiles},
};

#[derive(Queryable)]
struct WhereRow {
    name: String,
    host: (Uuid, String, Option<Uuid>),
    info: Value,
    labels: Option<Value>,
    zone: Option<String>,
}

/// The hosts that these nodes are on: each once, with one of its nodes. One
/// that has no place is on none.
pub async fn of(conn: &mut Conn, nodes: &[NodeId]) -> Result<Vec<Whereabouts>> {
    let machines = diesel::alias!(nodes as machines);
    let rows: Vec<WhereRow> = nodes::table
        .inner_join(machines.on(machines.field(nodes::id).nullable().eq(nodes::host_id)))
        .inner_join(hosts::table.on(hosts::node_id.eq(machines.field(nodes::id))))
        .inner_join(profiles::table.on(profiles::id.eq(machines.field(nodes::profile_id))))
        .filter(nodes::id.eq_any(nodes.iter().map(|id| id.0)))
        .distinct_on(nodes::host_id)
        .order((nodes::host_id, nodes::index, nodes::id))
        .select((
            nodes::name,
            machines.fields((nodes::id, nodes::name, nodes::cluster_id)),
            hosts::info,
            profiles::spec
                .retrieve_by_path_as_object(vec!["properties", "labels"])
                .nullable(),
            profiles::spec
                .retrieve_by_path_as_text(vec!["properties", "zone"])
                .nullable(),
        ))
        .fetch_all(conn)
        .await?;
    let whereabouts = rows.into_iter().map(|row| {
        let (host, host_name, cluster_id) = row.host;
        let info = serde_json::from_value::<HostInfo>(row.info).unwrap_or_default();
        Whereabouts {
            name: row.name,
            host: host.into(),
            host_name,
            cluster_id: cluster_id.map(Into::into),
            labels: placement::labels(info.labels, row.labels, row.zone),
        }
    });
    Ok(whereabouts.collect())
}

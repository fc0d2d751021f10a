//! Hosts as a placement decision sees them.

use std::collections::{BTreeMap, BTreeSet};

use diesel::sql_types::{Array, BigInt, Bool, Double, Jsonb, Nullable, Text, Uuid as SqlUuid};
use senlin_core::{
    host::{HostInfo, HostState},
    ids::*,
    placement::{HostSnapshot, Requirements},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::MEASURE_AGE;
use crate::{
    Conn, Result,
    sql::{Sql, row},
};

row! { SnapshotRow {
    id: Uuid = SqlUuid,
    name: String = Text,
    cluster_id: Option<Uuid> = Nullable<SqlUuid>,
    up: bool = Bool,
    seen_lately: bool = Bool,
    closed: bool = Bool,
    info: Value = Jsonb,
    zone: Option<String> = Nullable<Text>,
    labels: Option<Value> = Nullable<Jsonb>,
    cpu_used: i64 = BigInt,
    memory_used: i64 = BigInt,
    containers: i64 = BigInt,
    siblings: i64 = BigInt,
    ports: Vec<i64> = Array<BigInt>,
    protocols: Vec<String> = Array<Text>,
    cpu_load: Option<f64> = Nullable<Double>,
    memory_load: Option<f64> = Nullable<Double>,
    cpu_since: i64 = BigInt,
    memory_since: i64 = BigInt,
    failures: i64 = BigInt,
}}

/// The hosts that the requirements let in by identity (`host_node`,
/// `host_cluster`), as they are now; takes no lock. `sibling_cluster` is the
/// container's own cluster.
///
/// # Errors
/// When the database does not answer.
pub async fn look(
    conn: &mut Conn,
    needs: &Requirements,
    sibling_cluster: Option<ClusterId>,
) -> Result<Vec<HostSnapshot>> {
    read(conn, Whom::LetIn(needs), &needs.ports, sibling_cluster).await
}

/// Which hosts.
pub(super) enum Whom<'a> {
    LetIn(&'a Requirements),
    These(&'a [NodeId]),
}

/// The hosts that requirements let in by identity.
pub(super) const LET_IN: &str = " WHERE (?::uuid IS NULL OR h.node_id = ?) AND (?::uuid IS NULL OR n.cluster_id = ?)";

/// Hosts as they are now. Of their ports only those are told of that matter.
pub(super) async fn read(
    conn: &mut Conn,
    whom: Whom<'_>,
    ports: &[(u16, String)],
    sibling_cluster: Option<ClusterId>,
) -> Result<Vec<HostSnapshot>> {
    let ports: BTreeSet<u16> = ports.iter().map(|(port, _)| *port).collect();
    let sql = Sql::new(
        "SELECT n.id, n.name, n.cluster_id, n.status <> 'ACTIVE' AND n.status <> 'WARNING' AS closed, h.info,
            hp.spec #>> '{properties,zone}' AS zone, hp.spec #> '{properties,labels}' AS labels,
            coalesce(h.state = 'UP' AND h.last_seen > now() - interval '30 seconds', false) AS up,
            coalesce(h.last_seen > now() - make_interval(secs => ?), false) AS seen_lately,
            u.cpu_millis AS cpu_used, u.memory AS memory_used, u.containers, coalesce(s.n, 0) AS siblings,
            p.ports, p.protocols, l.cpu AS cpu_load, l.memory AS memory_load, since.cpu_since, since.memory_since,
            (SELECT count(*) FROM actions f WHERE f.host_id = n.id AND f.status = 'FAILED' AND f.action = 'NODE_CREATE'
                AND f.ended_at > now() - interval '10 minutes') AS failures
        FROM hosts h
        -- One probe per host, however many nodes there are.
        CROSS JOIN LATERAL (
            SELECT id, name, cluster_id, status, profile_id FROM nodes WHERE id = h.node_id LIMIT 1) n
        JOIN profiles hp ON hp.id = n.profile_id
        JOIN host_use u ON u.host_id = n.id
        LEFT JOIN host_loads l ON l.host_id = n.id AND l.measured_at > now() - make_interval(secs => ?)
        LEFT JOIN (SELECT host_id, count(*) AS n FROM nodes WHERE cluster_id = ? GROUP BY host_id) s
            ON s.host_id = n.id
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(greatest(c.cpu_millis, ?)), 0)::bigint AS cpu_since,
                coalesce(sum(greatest(c.memory, ?)), 0)::bigint AS memory_since
            FROM nodes c WHERE c.host_id = n.id AND c.placed_at > l.measured_at) since
        CROSS JOIN LATERAL (
            SELECT coalesce(array_agg(t.port::bigint ORDER BY t.port, t.protocol), '{}') AS ports,
                coalesce(array_agg(t.protocol ORDER BY t.port, t.protocol), '{}') AS protocols
            FROM host_ports t
            WHERE t.host_id = n.id AND t.port = ANY (ARRAY(SELECT jsonb_array_elements_text(?)::integer))) p",
    )
    .bind(HostSnapshot::PATIENCE)
    .bind(MEASURE_AGE)
    .bind(sibling_cluster)
    .bind(HostSnapshot::LEAST_CPU)
    .bind(HostSnapshot::LEAST_MEMORY)
    .bind(json!(ports));
    let sql = match whom {
        Whom::LetIn(needs) => sql
            .push(LET_IN)
            .bind(needs.host_node)
            .bind(needs.host_node)
            .bind(needs.host_cluster)
            .bind(needs.host_cluster),
        Whom::These(ids) => sql.push(" WHERE h.node_id = ANY (?)").bind(ids),
    };
    let rows: Vec<SnapshotRow> = sql.push(" ORDER BY n.id").load(conn).await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// A host's labels. What the profile says of it goes before what its engine says.
pub(crate) fn labels(
    mut labels: BTreeMap<String, String>,
    own: Option<Value>,
    zone: Option<String>,
) -> BTreeMap<String, String> {
    let own = own.and_then(|l| serde_json::from_value::<BTreeMap<_, _>>(l).ok());
    labels.extend(own.unwrap_or_default());
    labels.extend(zone.map(|zone| ("zone".to_owned(), zone)));
    labels
}

impl From<SnapshotRow> for HostSnapshot {
    fn from(row: SnapshotRow) -> Self {
        let mut info: HostInfo = serde_json::from_value(row.info).unwrap_or_default();
        let labels = labels(std::mem::take(&mut info.labels), row.labels, row.zone);
        Self {
            id: row.id.into(),
            name: row.name,
            cluster_id: row.cluster_id.map(Into::into),
            state: if row.up { HostState::Up } else { HostState::Unknown },
            seen_lately: row.seen_lately,
            closed: row.closed,
            cpu_millis: info.cpus.saturating_mul(1000),
            memory: info.memory,
            cpu_used: row.cpu_used,
            memory_used: row.memory_used,
            containers: row.containers,
            siblings: row.siblings,
            ports: row
                .ports
                .into_iter()
                .filter_map(|port| u16::try_from(port).ok())
                .zip(row.protocols)
                .collect(),
            labels,
            cpu_load: row.cpu_load,
            memory_load: row.memory_load,
            cpu_since: row.cpu_since,
            memory_since: row.memory_since,
            failures: row.failures,
        }
    }
}

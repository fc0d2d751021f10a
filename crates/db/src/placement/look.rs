//! Hosts as a placement decision sees them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

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
    run::Run,
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
    // Of their ports only those are told of that matter.
    let ports: BTreeSet<u16> = needs.ports.iter().map(|(port, _)| *port).collect();
    let rows: Vec<SnapshotRow> = Sql::new(
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
    .bind(json!(ports))
    .push(LET_IN)
    .bind(needs.host_node)
    .bind(needs.host_node)
    .bind(needs.host_cluster)
    .bind(needs.host_cluster)
    .push(" ORDER BY n.id")
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// The hosts that requirements let in by identity.
pub(super) const LET_IN: &str = " WHERE (?::uuid IS NULL OR h.node_id = ?) AND (?::uuid IS NULL OR n.cluster_id = ?)";

row! { NowRow {
    id: Uuid = SqlUuid,
    cpu_millis: i64 = BigInt,
    memory: i64 = BigInt,
    takes: bool = Bool,
    siblings: i64 = BigInt,
}}
row! { PortRow { host_id: Uuid = SqlUuid, port: i64 = BigInt, protocol: String = Text } }

/// What of a host may have changed since it was looked at.
pub(super) struct Now {
    pub(super) host: NodeId,
    pub(super) cpu_millis: i64,
    pub(super) memory: i64,
    /// It is up, and takes containers.
    pub(super) takes: bool,
    pub(super) siblings: i64,
    pub(super) ports: Vec<(u16, String)>,
}

/// That of these hosts, for a caller that has locked them: others wait for it,
/// so it is little.
pub(super) async fn now(
    conn: &mut Conn,
    hosts: &[NodeId],
    ports: &BTreeSet<i64>,
    sibling_cluster: Option<ClusterId>,
) -> Result<Vec<Now>> {
    let rows: Vec<NowRow> = Sql::new(
        "SELECT u.host_id AS id, u.cpu_millis, u.memory, coalesce(s.n, 0) AS siblings,
            coalesce(h.state = 'UP' AND h.last_seen > now() - interval '30 seconds', false)
                AND n.status IN ('ACTIVE', 'WARNING') AS takes
        FROM host_use u JOIN hosts h ON h.node_id = u.host_id
        CROSS JOIN LATERAL (SELECT status FROM nodes WHERE id = h.node_id LIMIT 1) n
        LEFT JOIN (SELECT host_id, count(*) AS n FROM nodes WHERE cluster_id = ? GROUP BY host_id) s
            ON s.host_id = u.host_id
        WHERE u.host_id = ANY (?)",
    )
    .bind(sibling_cluster)
    .bind(hosts)
    .fetch_all(conn)
    .await?;
    let mut taken: HashMap<Uuid, Vec<(u16, String)>> = HashMap::new();
    if !ports.is_empty() {
        let rows: Vec<PortRow> = Sql::new(
            "SELECT host_id, port::bigint AS port, protocol FROM host_ports
            WHERE host_id = ANY (?) AND port = ANY (?)",
        )
        .bind(hosts)
        .bind(ports.iter().copied().collect::<Vec<i64>>())
        .fetch_all(conn)
        .await?;
        for row in rows {
            let port = u16::try_from(row.port).unwrap_or_default();
            taken.entry(row.host_id).or_default().push((port, row.protocol));
        }
    }
    let now = |row: NowRow| Now {
        host: row.id.into(),
        cpu_millis: row.cpu_millis,
        memory: row.memory,
        takes: row.takes,
        siblings: row.siblings,
        ports: taken.remove(&row.id).unwrap_or_default(),
    };
    Ok(rows.into_iter().map(now).collect())
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

//! The hosts that requirements let in by identity, with all that a placement
//! decision asks of them, as they are at one instant; takes no lock.

use std::collections::BTreeSet;

use diesel::sql_types::{Array, BigInt, Bool, Double, Jsonb, Nullable, Text, Uuid as SqlUuid};
use senlin_core::{
    ids::ClusterId,
    placement::{HostSnapshot, Requirements},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    Conn, Result,
    placement::MEASURE_AGE,
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

pub(crate) async fn look_at_hosts(
    conn: &mut Conn,
    needs: &Requirements,
    sibling_cluster: Option<ClusterId>,
) -> Result<Vec<SnapshotRow>> {
    // Of their ports only those are told of that matter.
    let ports: BTreeSet<u16> = needs.ports.iter().map(|(port, _)| *port).collect();
    Sql::new(
        "SELECT n.id, n.name, n.cluster_id, n.status <> 'ACTIVE' AND n.status <> 'WARNING' AS closed, h.info,
            hp.spec #>> '{properties,zone}' AS zone, hp.spec #> '{properties,labels}' AS labels,
            coalesce(h.state = 'UP' AND h.last_seen > now() - interval '30 seconds', false) AS up,
            coalesce(h.last_seen > now() - make_interval(secs => :patience), false) AS seen_lately,
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
        LEFT JOIN host_loads l ON l.host_id = n.id AND l.measured_at > now() - make_interval(secs => :measure_age)
        LEFT JOIN (SELECT host_id, count(*) AS n FROM nodes WHERE cluster_id = :sibling_cluster GROUP BY host_id) s
            ON s.host_id = n.id
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(greatest(c.cpu_millis, :least_cpu)), 0)::bigint AS cpu_since,
                coalesce(sum(greatest(c.memory, :least_memory)), 0)::bigint AS memory_since
            FROM nodes c WHERE c.host_id = n.id AND c.placed_at > l.measured_at) since
        CROSS JOIN LATERAL (
            SELECT coalesce(array_agg(t.port::bigint ORDER BY t.port, t.protocol), '{}') AS ports,
                coalesce(array_agg(t.protocol ORDER BY t.port, t.protocol), '{}') AS protocols
            FROM host_ports t
            WHERE t.host_id = n.id AND t.port = ANY (ARRAY(SELECT jsonb_array_elements_text(:ports)::integer))) p
        WHERE (:host_node::uuid IS NULL OR h.node_id = :host_node)
            AND (:host_cluster::uuid IS NULL OR n.cluster_id = :host_cluster)
        ORDER BY n.id",
    )
    .set("patience", HostSnapshot::PATIENCE)
    .set("measure_age", MEASURE_AGE)
    .set("sibling_cluster", sibling_cluster)
    .set("least_cpu", HostSnapshot::MIN_CPU)
    .set("least_memory", HostSnapshot::MIN_MEMORY)
    .set("ports", json!(ports))
    .set("host_node", needs.host_node)
    .set("host_cluster", needs.host_cluster)
    .fetch_all(conn)
    .await
}

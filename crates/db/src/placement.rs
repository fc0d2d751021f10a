//! Who is where: hosts as a placement decision sees them, and its outcome.
//!
//! Planning transactions take turns (an advisory lock), so that what was free
//! when it was decided is still free when it is recorded.

use std::collections::BTreeMap;

use diesel::sql_types::{Array, BigInt, Bool, Double, Jsonb, Nullable, Text, Uuid as SqlUuid};
use diesel_async::AsyncConnection;
use senlin_core::{
    host::{HostInfo, HostState},
    ids::*,
    placement::{HostSnapshot, Requirements},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    Conn, Result,
    fence::{self, Fence},
    sql::{Sql, row},
};

/// A place on a host, with what is kept free for the container there.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// The host.
    pub host: NodeId,
    /// Thousandths of a processor.
    pub cpu_millis: i64,
    /// Bytes.
    pub memory: i64,
    /// Host ports and protocols.
    pub ports: Vec<(u16, String)>,
}

impl Place {
    /// The place that these requirements take on `host`.
    #[must_use]
    pub fn on(host: NodeId, needs: &Requirements) -> Self {
        Self {
            host,
            cpu_millis: needs.cpu_millis,
            memory: needs.memory,
            ports: needs.ports.clone(),
        }
    }
}

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

/// Seconds after which a measure says nothing any more.
pub const MEASURE_AGE: f64 = 60.0;

/// The hosts that the requirements let in by identity (`host_node`,
/// `host_cluster`), as they are now. Holds the planning lock until the
/// transaction ends. `sibling_cluster` is the container's own cluster.
///
/// # Errors
/// When the database does not answer.
pub async fn snapshot(
    conn: &mut Conn,
    needs: &Requirements,
    sibling_cluster: Option<ClusterId>,
) -> Result<Vec<HostSnapshot>> {
    Sql::new("SELECT pg_advisory_xact_lock(7305)").execute(conn).await?;
    look(conn, needs, sibling_cluster).await
}

/// As [`snapshot`], for one who only wants to know: takes no lock.
///
/// # Errors
/// When the database does not answer.
pub async fn look(
    conn: &mut Conn,
    needs: &Requirements,
    sibling_cluster: Option<ClusterId>,
) -> Result<Vec<HostSnapshot>> {
    let rows: Vec<SnapshotRow> = Sql::new(
        "SELECT n.id, n.name, n.cluster_id, n.status <> 'ACTIVE' AND n.status <> 'WARNING' AS closed, h.info,
            hp.spec #>> '{properties,zone}' AS zone, hp.spec #> '{properties,labels}' AS labels,
            coalesce(h.state = 'UP' AND h.last_seen > now() - interval '30 seconds', false) AS up,
            coalesce(h.last_seen > now() - make_interval(secs => ?), false) AS seen_lately,
            u.cpu_used, u.memory_used, u.containers, u.siblings, p.ports, p.protocols,
            l.cpu AS cpu_load, l.memory AS memory_load, u.cpu_since, u.memory_since,
            (SELECT count(*) FROM actions f WHERE f.host_id = n.id AND f.status = 'FAILED' AND f.action = 'NODE_CREATE'
                AND f.ended_at > now() - interval '10 minutes') AS failures
        FROM hosts h JOIN nodes n ON n.id = h.node_id JOIN profiles hp ON hp.id = n.profile_id
        LEFT JOIN host_loads l ON l.host_id = n.id AND l.measured_at > now() - make_interval(secs => ?)
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(c.cpu_millis), 0)::bigint AS cpu_used, coalesce(sum(c.memory), 0)::bigint AS memory_used,
                count(*) AS containers, count(*) FILTER (WHERE c.cluster_id = ?) AS siblings,
                coalesce(sum(greatest(c.cpu_millis, ?)) FILTER (WHERE c.placed_at > l.measured_at), 0)::bigint
                    AS cpu_since,
                coalesce(sum(greatest(c.memory, ?)) FILTER (WHERE c.placed_at > l.measured_at), 0)::bigint
                    AS memory_since
            FROM nodes c WHERE c.host_id = n.id) u
        CROSS JOIN LATERAL (
            SELECT coalesce(array_agg(t.port::bigint ORDER BY t.port, t.protocol), '{}') AS ports,
                coalesce(array_agg(t.protocol ORDER BY t.port, t.protocol), '{}') AS protocols
            FROM host_ports t WHERE t.host_id = n.id) p
        WHERE (?::uuid IS NULL OR n.id = ?) AND (?::uuid IS NULL OR n.cluster_id = ?)
        ORDER BY n.id",
    )
    .bind(HostSnapshot::PATIENCE)
    .bind(MEASURE_AGE)
    .bind(sibling_cluster)
    .bind(HostSnapshot::LEAST_CPU)
    .bind(HostSnapshot::LEAST_MEMORY)
    .bind(needs.host_node)
    .bind(needs.host_node)
    .bind(needs.host_cluster)
    .bind(needs.host_cluster)
    .load(conn)
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

impl From<SnapshotRow> for HostSnapshot {
    fn from(row: SnapshotRow) -> Self {
        let info: HostInfo = serde_json::from_value(row.info).unwrap_or_default();
        // What the profile says of the host goes before what its engine says.
        let mut labels: BTreeMap<String, String> = info.labels;
        let own = row
            .labels
            .and_then(|l| serde_json::from_value::<BTreeMap<_, _>>(l).ok());
        labels.extend(own.unwrap_or_default());
        labels.extend(row.zone.map(|zone| ("zone".to_owned(), zone)));
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

/// Records places of nodes that have none yet.
///
/// # Errors
/// When a port was taken meanwhile (unique), or the database does not answer.
pub async fn record(conn: &mut Conn, places: &[(NodeId, Place)]) -> Result<()> {
    if places.is_empty() {
        return Ok(());
    }
    let rows: Vec<Value> = places
        .iter()
        .map(|(node, p)| json!({"id": node, "host_id": p.host, "cpu_millis": p.cpu_millis, "memory": p.memory}))
        .collect();
    Sql::new(
        "UPDATE nodes n SET host_id = r.host_id, cpu_millis = r.cpu_millis, memory = r.memory,
            placed_at = CASE WHEN n.host_id IS DISTINCT FROM r.host_id THEN clock_timestamp() ELSE n.placed_at END
        FROM jsonb_to_recordset(?) AS r(id uuid, host_id uuid, cpu_millis bigint, memory bigint)
        WHERE n.id = r.id",
    )
    .bind(Value::Array(rows))
    .execute(conn)
    .await?;
    let ports: Vec<Value> = places
        .iter()
        .flat_map(|(node, place)| {
            place.ports.iter().map(move |(port, protocol)| {
                json!({"host_id": place.host, "port": port, "protocol": protocol, "node_id": node})
            })
        })
        .collect();
    if !ports.is_empty() {
        Sql::new(
            "INSERT INTO host_ports (host_id, port, protocol, node_id)
            SELECT host_id, port, protocol, node_id
            FROM jsonb_to_recordset(?) AS r(host_id uuid, port integer, protocol text, node_id uuid)",
        )
        .bind(Value::Array(ports))
        .execute(conn)
        .await?;
    }
    Ok(())
}

/// Finds and records a place for one node, in one fenced transaction. `decide`
/// must be pure; its refusal leaves everything as it was.
///
/// # Errors
/// [`crate::DbError::LeaseLost`].
pub async fn place<E: Send>(
    conn: &mut Conn,
    fence: Fence,
    node: NodeId,
    cluster: Option<ClusterId>,
    needs: &Requirements,
    decide: impl FnOnce(Vec<HostSnapshot>) -> std::result::Result<NodeId, E> + Send,
) -> Result<std::result::Result<NodeId, E>> {
    conn.transaction(async |conn| {
        fence::hold(conn, fence).await?;
        let hosts = snapshot(conn, needs, cluster).await?;
        let host = match decide(hosts) {
            Ok(host) => host,
            Err(refusal) => return Ok(Err(refusal)),
        };
        record(conn, &[(node, Place::on(host, needs))]).await?;
        Sql::new("UPDATE actions SET host_id = ? WHERE id = ?")
            .bind(host)
            .bind(fence.action)
            .execute(conn)
            .await?;
        Ok(Ok(host))
    })
    .await
}

/// Gives a node's place up, in one fenced transaction. What may still run
/// there is noted, to be removed when the host answers again.
///
/// # Errors
/// [`crate::DbError::LeaseLost`].
pub async fn give_up(conn: &mut Conn, fence: Fence, node: NodeId) -> Result<()> {
    conn.transaction(async |conn| {
        fence::hold(conn, fence).await?;
        note_leftover(conn, node).await?;
        Sql::new("DELETE FROM host_ports WHERE node_id = ?")
            .bind(node)
            .execute(conn)
            .await?;
        Sql::new("UPDATE nodes SET host_id = NULL, physical_id = NULL, generation = generation + 1 WHERE id = ?")
            .bind(node)
            .execute(conn)
            .await?;
        Ok(())
    })
    .await
}

/// Frees a node's place, in one fenced transaction: nothing of it is left there.
///
/// # Errors
/// [`crate::DbError::LeaseLost`].
pub async fn free(conn: &mut Conn, fence: Fence, node: NodeId) -> Result<()> {
    conn.transaction(async |conn| {
        fence::hold(conn, fence).await?;
        Sql::new("DELETE FROM host_ports WHERE node_id = ?")
            .bind(node)
            .execute(conn)
            .await?;
        Sql::new("UPDATE nodes SET host_id = NULL, physical_id = NULL WHERE id = ?")
            .bind(node)
            .execute(conn)
            .await?;
        Ok(())
    })
    .await
}

/// Records what an updated node takes on the host it is on.
///
/// # Errors
/// [`crate::DbError::LeaseLost`].
pub async fn resize(conn: &mut Conn, fence: Fence, node: NodeId, host: NodeId, needs: &Requirements) -> Result<()> {
    conn.transaction(async |conn| {
        fence::hold(conn, fence).await?;
        Sql::new("DELETE FROM host_ports WHERE node_id = ?")
            .bind(node)
            .execute(conn)
            .await?;
        record(conn, &[(node, Place::on(host, needs))]).await
    })
    .await
}

/// Notes that the node's containers so far must go from its host.
///
/// # Errors
/// When the database does not answer.
pub async fn note_leftover(conn: &mut Conn, node: NodeId) -> Result<()> {
    Sql::new(
        "INSERT INTO leftovers (node_id, host_id, generation)
        SELECT id, host_id, generation FROM nodes WHERE id = ? AND host_id IS NOT NULL
        ON CONFLICT (node_id, host_id) DO UPDATE SET generation = excluded.generation",
    )
    .bind(node)
    .execute(conn)
    .await?;
    Ok(())
}

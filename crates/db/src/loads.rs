//! Measures: how loaded hosts and containers are.

use std::collections::HashMap;

use diesel::sql_types::{BigInt, Double, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use senlin_core::{Time, ids::*};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    Conn, DbError, Result,
    run::Run,
    sql::{Sql, row},
};

row! { DueRow { node_id: Uuid = SqlUuid } }

/// Takes on the measures that are due: each is made by one engine.
///
/// # Errors
/// When the database does not answer.
pub async fn due(conn: &mut Conn, every: f64, most: i64) -> Result<Vec<NodeId>> {
    let rows: Vec<DueRow> = Sql::new(
        "UPDATE hosts SET measure_at = now() + make_interval(secs => ?)
        WHERE node_id IN (SELECT node_id FROM hosts WHERE measure_at <= now() AND state = 'UP' ORDER BY measure_at
            LIMIT ? FOR UPDATE SKIP LOCKED)
        RETURNING node_id",
    )
    .bind(every)
    .bind(most)
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|r| r.node_id.into()).collect())
}

row! { LastRow {
    measured_at: Option<Time> = Nullable<Timestamptz>,
    cpu: Option<f64> = Nullable<Double>,
    memory: Option<f64> = Nullable<Double>,
    sample: Option<Value> = Nullable<Jsonb>,
    now: Time = Timestamptz,
}}

/// A host's measure before this one.
#[derive(Debug, Clone)]
pub struct Last {
    /// When, by the database's clock.
    pub measured_at: Time,
    /// Percent of its processors, smoothed.
    pub cpu: Option<f64>,
    /// Percent of its memory, smoothed.
    pub memory: Option<f64>,
    /// The counters that were read.
    pub sample: Value,
}

/// Now, by the database's clock, and a host's last measure.
///
/// # Errors
/// When the database does not answer.
pub async fn last(conn: &mut Conn, host: NodeId) -> Result<(Time, Option<Last>)> {
    let row: Option<LastRow> = Sql::new(
        "SELECT l.measured_at, l.cpu, l.memory, l.sample, t.now FROM (SELECT clock_timestamp() AS now) t
            LEFT JOIN host_loads l ON l.host_id = ?",
    )
    .bind(host)
    .fetch_optional(conn)
    .await?;
    let row = row.ok_or(DbError::Corrupt {
        column: "host_loads.measured_at",
        value: "nothing".to_owned(),
    })?;
    let last = row.measured_at.zip(row.sample).map(|(measured_at, sample)| Last {
        measured_at,
        cpu: row.cpu,
        memory: row.memory,
        sample,
    });
    Ok((row.now, last))
}

/// A host's measure.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "columns of the same names")]
pub struct HostLoad {
    /// When the counters were read, by the database's clock.
    pub measured_at: Time,
    pub cpu: Option<f64>,
    pub memory: Option<f64>,
    pub source: String,
    pub sample: Value,
    /// What the host has, for containers without limits of their own.
    pub cpu_millis: i64,
    /// As above, in bytes.
    pub memory_bytes: i64,
}

/// What a container uses.
#[derive(Debug, Clone)]
pub struct NodeLoad {
    /// Its node.
    pub node: NodeId,
    /// Thousandths of a processor.
    pub cpu_millis: f64,
    /// Bytes.
    pub memory: f64,
}

/// Records a host's measure and those of its containers.
///
/// # Errors
/// When the database does not answer.
pub async fn record(conn: &mut Conn, host: NodeId, load: &HostLoad, nodes: &[NodeLoad]) -> Result<()> {
    Sql::new(
        "INSERT INTO host_loads (host_id, measured_at, cpu, memory, source, sample)
        -- A host that goes meanwhile is not to be referred to.
        SELECT h.node_id, ?, ?, ?, ?, ? FROM hosts h JOIN nodes n ON n.id = h.node_id
        WHERE h.node_id = ? FOR KEY SHARE OF n SKIP LOCKED
        ON CONFLICT (host_id) DO UPDATE SET measured_at = excluded.measured_at, cpu = excluded.cpu,
            memory = excluded.memory, source = excluded.source, sample = excluded.sample",
    )
    .bind(load.measured_at)
    .bind(load.cpu)
    .bind(load.memory)
    .bind(load.source.as_str())
    .bind(load.sample.clone())
    .bind(host)
    .run(conn)
    .await?;
    if nodes.is_empty() {
        return Ok(());
    }
    let rows: Vec<Value> = nodes
        .iter()
        .map(|n| json!({"id": n.node, "cpu": n.cpu_millis, "memory": n.memory}))
        .collect();
    Sql::new(
        "WITH uses AS MATERIALIZED (
            SELECT n.id, 100 * r.cpu / greatest(1, CASE WHEN n.cpu_millis > 0 THEN n.cpu_millis ELSE ? END) AS cpu,
                100 * r.memory / greatest(1, CASE WHEN n.memory > 0 THEN n.memory ELSE ? END) AS memory
            FROM (
                -- While it is updated, a node has two containers.
                SELECT id, max(cpu) AS cpu, max(memory) AS memory
                FROM jsonb_to_recordset(?) AS t(id uuid, cpu double precision, memory double precision)
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
    .bind(load.cpu_millis)
    .bind(load.memory_bytes)
    .bind(Value::Array(rows))
    .run(conn)
    .await?;
    Ok(())
}

row! { ClusterRow {
    id: Uuid = SqlUuid,
    name: String = Text,
    project: String = Text,
    members: i64 = BigInt,
    active: i64 = BigInt,
    desired: i64 = BigInt,
    measured: i64 = BigInt,
    cpu: Option<f64> = Nullable<Double>,
    memory: Option<f64> = Nullable<Double>,
}}

/// A cluster's size and mean load.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "columns of the same names")]
pub struct ClusterLoad {
    pub id: ClusterId,
    pub name: String,
    pub project: String,
    pub members: i64,
    pub active: i64,
    pub desired: i64,
    /// Members whose load is known.
    pub measured: i64,
    /// Mean percent of what each may use; none when nothing is known.
    pub cpu: Option<f64>,
    pub memory: Option<f64>,
}

/// Size and mean load of one cluster, or of every one, from measures of the
/// last `age` seconds.
///
/// # Errors
/// When the database does not answer.
pub async fn clusters(conn: &mut Conn, only: Option<ClusterId>, age: f64) -> Result<Vec<ClusterLoad>> {
    let rows: Vec<ClusterRow> = Sql::new(
        "SELECT c.id, c.name, c.project, count(n.id) AS members,
            count(n.id) FILTER (WHERE n.status = 'ACTIVE') AS active, c.desired_capacity::bigint AS desired,
            count(l.node_id) AS measured, avg(l.cpu) AS cpu, avg(l.memory) AS memory
        FROM clusters c LEFT JOIN nodes n ON n.cluster_id = c.id
        LEFT JOIN node_loads l ON l.node_id = n.id AND l.measured_at > now() - make_interval(secs => ?)
            AND n.status = 'ACTIVE'
        WHERE (?::uuid IS NULL OR c.id = ?) GROUP BY c.id ORDER BY c.id LIMIT 10000",
    )
    .bind(age)
    .bind(only)
    .bind(only)
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| ClusterLoad {
            id: r.id.into(),
            name: r.name,
            project: r.project,
            members: r.members,
            active: r.active,
            desired: r.desired,
            measured: r.measured,
            cpu: r.cpu,
            memory: r.memory,
        })
        .collect())
}

row! { NewestRow { at: Option<Time> = Nullable<Timestamptz> } }

/// When the newest member of a cluster came to be on its host.
///
/// # Errors
/// When the database does not answer.
pub async fn newest(conn: &mut Conn, cluster: ClusterId) -> Result<Option<Time>> {
    let row: Option<NewestRow> =
        Sql::new("SELECT max(greatest(created_at, placed_at, init_at)) AS at FROM nodes WHERE cluster_id = ?")
            .bind(cluster)
            .fetch_optional(conn)
            .await?;
    Ok(row.and_then(|r| r.at))
}

row! { ShareRow { id: Uuid = SqlUuid, share: f64 = Double } }

/// What each member uses of its host's processors, in percent.
///
/// # Errors
/// When the database does not answer.
pub async fn members(conn: &mut Conn, cluster: ClusterId, age: f64) -> Result<HashMap<NodeId, f64>> {
    let rows: Vec<ShareRow> = Sql::new(
        "SELECT n.id, l.cpu * CASE WHEN n.cpu_millis > 0 THEN
                n.cpu_millis / (1000 * greatest(1, coalesce((h.info->>'cpus')::float8, 1))) ELSE 1 END AS share
        FROM nodes n JOIN node_loads l ON l.node_id = n.id JOIN hosts h ON h.node_id = n.host_id
        WHERE n.cluster_id = ? AND l.measured_at > now() - make_interval(secs => ?)",
    )
    .bind(cluster)
    .bind(age)
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|r| (r.id.into(), r.share)).collect())
}

row! { HostRow {
    id: Uuid = SqlUuid,
    name: String = Text,
    cpu: Option<f64> = Nullable<Double>,
    memory: Option<f64> = Nullable<Double>,
    source: String = Text,
    age: f64 = Double,
}}

/// A host's measure, for metrics.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "columns of the same names")]
pub struct Measured {
    pub id: NodeId,
    pub name: String,
    pub cpu: Option<f64>,
    pub memory: Option<f64>,
    pub source: String,
    /// Seconds.
    pub age: f64,
}

/// Every host's last measure.
///
/// # Errors
/// When the database does not answer.
pub async fn hosts(conn: &mut Conn) -> Result<Vec<Measured>> {
    let rows: Vec<HostRow> = Sql::new(
        "SELECT n.id, n.name, l.cpu, l.memory, l.source,
            extract(epoch FROM now() - l.measured_at)::float8 AS age
        FROM host_loads l JOIN nodes n ON n.id = l.host_id ORDER BY n.id LIMIT 10000",
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| Measured {
            id: r.id.into(),
            name: r.name,
            cpu: r.cpu,
            memory: r.memory,
            source: r.source,
            age: r.age,
        })
        .collect())
}

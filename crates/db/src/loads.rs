//! Measures: how loaded hosts and containers are.

use std::collections::HashMap;

use diesel::{
    dsl::{IntervalDsl, avg, case_when, count, max, now, sql},
    prelude::*,
    sql_types::Double,
};
use senlin_core::{Time, ids::*};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    Conn, DbError, Result,
    functions::{ago, from_now, greatest},
    run::Run,
    schema::{clusters, host_loads, hosts, node_loads, nodes},
    statements::{
        read_host_load::read_host_load, record_host_load::record_host_load, record_node_loads::record_node_loads,
    },
};

/// Takes on the measures that are due: each is made by one engine.
pub async fn due(conn: &mut Conn, every: f64, most: i64) -> Result<Vec<NodeId>> {
    let queue = diesel::alias!(hosts as queue);
    let due = queue
        .filter(queue.field(hosts::measure_at).le(now))
        .filter(queue.field(hosts::state).eq("UP"))
        .order(queue.field(hosts::measure_at))
        .limit(most)
        .select(queue.field(hosts::node_id))
        .for_update()
        .skip_locked();
    let taken = diesel::update(hosts::table.filter(hosts::node_id.eq_any(due)))
        .set(hosts::measure_at.eq(from_now(every.seconds())))
        .returning(hosts::node_id);
    let ids: Vec<Uuid> = taken.fetch_all(conn).await?;
    Ok(ids.into_iter().map(Into::into).collect())
}

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
pub async fn last(conn: &mut Conn, host: NodeId) -> Result<(Time, Option<Last>)> {
    let row = read_host_load(conn, host).await?;
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
pub async fn record(conn: &mut Conn, host: NodeId, load: &HostLoad, nodes: &[NodeLoad]) -> Result<()> {
    record_host_load(conn, host, load).await?;
    if nodes.is_empty() {
        return Ok(());
    }
    record_node_loads(conn, load, nodes).await
}

/// A cluster's size and mean load.
#[derive(Debug, Clone, Queryable)]
#[expect(missing_docs, reason = "columns of the same names")]
pub struct ClusterLoad {
    #[diesel(deserialize_as = Uuid)]
    pub id: ClusterId,
    pub name: String,
    pub project: String,
    pub members: i64,
    pub active: i64,
    #[diesel(deserialize_as = i32)]
    pub desired: i64,
    /// Members whose load is known.
    pub measured: i64,
    /// Mean percent of what each may use; none when nothing is known.
    pub cpu: Option<f64>,
    pub memory: Option<f64>,
}

/// Size and mean load of one cluster, or of every one, from measures of the
/// last `age` seconds.
pub async fn clusters(conn: &mut Conn, only: Option<ClusterId>, age: f64) -> Result<Vec<ClusterLoad>> {
    let measure = node_loads::table.on(node_loads::node_id
        .eq(nodes::id)
        .and(node_loads::measured_at.gt(ago(age.seconds())))
        .and(nodes::status.eq("ACTIVE")));
    let members = count(nodes::id.nullable());
    let query = clusters::table
        .left_join(nodes::table)
        .left_join(measure)
        .group_by(clusters::id)
        .order(clusters::id)
        .limit(10_000)
        .select((
            clusters::id,
            clusters::name,
            clusters::project,
            members,
            members.aggregate_filter(nodes::status.eq("ACTIVE")),
            clusters::desired_capacity,
            count(node_loads::node_id.nullable()),
            avg(node_loads::cpu.nullable()),
            avg(node_loads::memory.nullable()),
        ));
    let mut query = query.into_boxed();
    if let Some(cluster) = only {
        query = query.filter(clusters::id.eq(cluster.0));
    }
    query.fetch_all(conn).await
}

/// When the newest member of a cluster came to be on its host.
pub async fn newest(conn: &mut Conn, cluster: ClusterId) -> Result<Option<Time>> {
    let came = greatest(nodes::init_at.nullable(), greatest(nodes::created_at, nodes::placed_at));
    let query = nodes::table.filter(nodes::cluster_id.eq(cluster.0)).select(max(came));
    let row: Option<Option<Time>> = query.fetch_optional(conn).await?;
    Ok(row.flatten())
}

/// What each member uses of its host's processors, in percent.
pub async fn members(conn: &mut Conn, cluster: ClusterId, age: f64) -> Result<HashMap<NodeId, f64>> {
    // A member without a limit is measured by its whole host.
    let limit = "nodes.cpu_millis / (1000 * greatest(1, coalesce((hosts.info->>'cpus')::float8, 1)))";
    let of_host = case_when(nodes::cpu_millis.gt(0), sql::<Double>(limit)).otherwise(1.0);
    let query = nodes::table
        .inner_join(node_loads::table)
        .inner_join(hosts::table.on(nodes::host_id.eq(hosts::node_id.nullable())))
        .filter(nodes::cluster_id.eq(cluster.0))
        .filter(node_loads::measured_at.gt(ago(age.seconds())))
        .select((nodes::id, node_loads::cpu * of_host));
    let shares: Vec<(Uuid, f64)> = query.fetch_all(conn).await?;
    Ok(shares.into_iter().map(|(id, share)| (id.into(), share)).collect())
}

/// A host's measure, for metrics.
#[derive(Debug, Clone, Queryable)]
#[expect(missing_docs, reason = "columns of the same names")]
pub struct Measured {
    #[diesel(deserialize_as = Uuid)]
    pub id: NodeId,
    pub name: String,
    pub cpu: Option<f64>,
    pub memory: Option<f64>,
    pub source: String,
    /// Seconds.
    pub age: f64,
}

/// Every host's last measure.
pub async fn hosts(conn: &mut Conn) -> Result<Vec<Measured>> {
    let age = sql::<Double>("extract(epoch FROM now() - host_loads.measured_at)::float8");
    host_loads::table
        .inner_join(nodes::table)
        .order(nodes::id)
        .limit(10_000)
        .select((
            nodes::id,
            nodes::name,
            host_loads::cpu,
            host_loads::memory,
            host_loads::source,
            age,
        ))
        .fetch_all(conn)
        .await
}

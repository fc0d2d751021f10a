//! What the health manager sees of members, and the recoveries it begins.

use diesel::{
    dsl::{auto_type, count, exists, not, sql},
    expression::SqlLiteral,
    prelude::*,
    sql_types::{Double, Nullable, Uuid as SqlUuid},
};
use senlin_core::{
    cluster::{MemberCounts, evaluate},
    ids::*,
    node::{Condition, NodeStatus},
};
use uuid::Uuid;

use crate::{
    Conn, Result, fence,
    functions::coalesce,
    run::Run,
    schema::{self, actions, cluster_locks, clusters, node_locks, nodes, profiles},
    statements::observe_member::observe_member,
    stored::{MaybeId, Word},
};

mod hosts;
mod recoveries;

pub use hosts::{known_again, unknown, watch};
pub use recoveries::{Begun, RecoveryRequest, hold_back, recover};

/// A member as its health is judged.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = nodes, check_for_backend(diesel::pg::Pg))]
pub struct Member {
    /// The node.
    #[diesel(deserialize_as = Uuid)]
    pub id: NodeId,
    /// Its name.
    pub name: String,
    /// Its cluster.
    #[diesel(deserialize_as = MaybeId)]
    pub cluster_id: Option<ClusterId>,
    /// What it is said to be.
    #[diesel(deserialize_as = Word<NodeStatus>)]
    pub status: NodeStatus,
    /// Why.
    pub status_reason: String,
    /// Its host.
    #[diesel(deserialize_as = MaybeId)]
    pub host_id: Option<NodeId>,
    /// Its container.
    pub physical_id: Option<String>,
    /// Its profile.
    #[diesel(deserialize_as = Uuid)]
    pub profile_id: ProfileId,
    /// Its generation.
    pub generation: i32,
    /// Something is being done to it, or to its cluster.
    #[diesel(select_expression = is_busy())]
    pub busy: bool,
    /// Seconds since it was made or last changed.
    #[diesel(select_expression = age(), select_expression_type = SqlLiteral<Double>)]
    pub age: f64,
    /// Seconds since its host last answered.
    #[diesel(select_expression = silence(), select_expression_type = SqlLiteral<Nullable<Double>>)]
    pub silence: Option<f64>,
    /// Its profile allows only this host.
    #[diesel(select_expression = profiles::host_node_id.is_not_null())]
    pub pinned: bool,
    /// It is a host itself; then `silence` is its own.
    #[diesel(select_expression = schema::hosts::node_id.nullable().is_not_distinct_from(nodes::id.nullable()))]
    pub is_host: bool,
    /// It was stopped or paused on purpose.
    pub at_rest: bool,
}

/// What an action is until it ends.
const OPEN: [&str; 6] = [
    "INIT",
    "WAITING",
    "READY",
    "RUNNING",
    "SUSPENDED",
    "WAITING_LIFECYCLE_COMPLETION",
];

#[auto_type]
fn open() -> _ {
    let open: [&'static str; 6] = OPEN;
    actions::table.filter(actions::status.eq_any(open)).select(actions::id)
}

#[auto_type]
fn is_busy() -> _ {
    let of_node = open().filter(actions::target.eq(nodes::id));
    let of_cluster = open().filter(actions::target.nullable().eq(nodes::cluster_id));
    exists(node_locks::table.filter(node_locks::node_id.eq(nodes::id)))
        .or(exists(of_node))
        .or(exists(of_cluster))
}

fn age() -> SqlLiteral<Double> {
    sql("extract(epoch FROM now() - coalesce(nodes.updated_at, nodes.created_at, nodes.init_at))::float8")
}

fn silence() -> SqlLiteral<Nullable<Double>> {
    sql("extract(epoch FROM now() - hosts.last_seen)::float8")
}

/// Nodes, each with its host or, if it is one, with itself as that.
#[auto_type]
fn members() -> _ {
    let host: coalesce<SqlUuid, nodes::host_id, nodes::id> = coalesce(nodes::host_id, nodes::id);
    nodes::table
        .inner_join(profiles::table)
        .left_join(schema::hosts::table.on(schema::hosts::node_id.eq(host)))
}

/// The members of these clusters.
pub async fn members_of(conn: &mut Conn, clusters: &[ClusterId]) -> Result<Vec<Member>> {
    members()
        .filter(nodes::cluster_id.eq_any(clusters.iter().map(|c| c.0)))
        .order((nodes::cluster_id, nodes::index, nodes::id))
        .select(Member::as_select())
        .fetch_all(conn)
        .await
}

/// The nodes whose containers are on this host.
pub async fn on_host(conn: &mut Conn, host: NodeId) -> Result<Vec<Member>> {
    members()
        .filter(nodes::host_id.eq(host.0))
        .order(nodes::id)
        .select(Member::as_select())
        .fetch_all(conn)
        .await
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = clusters, check_for_backend(diesel::pg::Pg))]
struct StandingRow {
    #[diesel(deserialize_as = Uuid)]
    id: ClusterId,
    status: String,
    desired_capacity: i32,
    min_size: i32,
    max_size: i32,
    #[diesel(select_expression = is_free())]
    free: bool,
    #[diesel(select_expression = count(nodes::id.nullable()))]
    total: i64,
    #[diesel(select_expression = active())]
    active: i64,
}

/// How a cluster stands.
#[derive(Debug, Clone)]
pub struct Standing {
    /// The cluster.
    pub cluster: ClusterId,
    /// The size asked for.
    pub desired: i32,
    /// It says something else of itself than its members do, and nothing is
    /// being done to it: see [`settle`].
    pub is_stale: bool,
}

/// What a cluster is between two actions.
const SETTLED: [&str; 3] = ["ACTIVE", "WARNING", "ERROR"];

/// Nothing is being done to the cluster: its members say what it is.
#[auto_type]
fn is_free() -> _ {
    let settled: [&'static str; 3] = SETTLED;
    let held = cluster_locks::table
        .filter(cluster_locks::cluster_id.eq(clusters::id))
        .filter(cluster_locks::exclusive);
    clusters::status.eq_any(settled).and(not(exists(held)))
}

#[auto_type]
fn active() -> _ {
    count(nodes::id.nullable()).aggregate_filter(nodes::status.nullable().is_not_distinct_from("ACTIVE"))
}

/// How these clusters stand.
pub async fn standings(conn: &mut Conn, clusters: &[ClusterId]) -> Result<Vec<Standing>> {
    let rows: Vec<StandingRow> = clusters::table
        .left_join(nodes::table)
        .filter(clusters::id.eq_any(clusters.iter().map(|c| c.0)))
        .group_by(clusters::id)
        .select(StandingRow::as_select())
        .fetch_all(conn)
        .await?;
    let count = |n: i64| i32::try_from(n).unwrap_or(i32::MAX);
    let standing = |row: StandingRow| {
        let member_counts = MemberCounts {
            active: count(row.active),
            total: count(row.total),
            desired: row.desired_capacity,
            min: row.min_size,
            max: row.max_size,
        };
        Standing {
            cluster: row.id,
            desired: row.desired_capacity,
            is_stale: row.free && evaluate("", member_counts).0.as_str() != row.status,
        }
    };
    Ok(rows.into_iter().map(standing).collect())
}

/// One node.
pub async fn node(conn: &mut Conn, node: NodeId) -> Result<Option<Member>> {
    members()
        .filter(nodes::id.eq(node.0))
        .select(Member::as_select())
        .fetch_optional(conn)
        .await
}

/// What was seen of a member becomes its status, unless something is being
/// done to it or it has another container by now. True when that is news; then
/// the cluster's status follows.
pub async fn observe(
    conn: &mut Conn,
    seen: &Member,
    status: NodeStatus,
    condition: Condition,
    reason: &str,
) -> Result<bool> {
    conn.transaction(async |conn| {
        let is_news = observe_member(conn, seen, status, condition, reason).await?;
        if is_news && let Some(cluster) = seen.cluster_id {
            settle(conn, cluster).await?;
        }
        Ok(is_news)
    })
    .await
}

/// A cluster that nothing is being done to gets the status that is true now.
pub async fn settle(conn: &mut Conn, cluster: ClusterId) -> Result<()> {
    conn.transaction(async |conn| {
        let query = clusters::table.find(cluster.0).select(is_free());
        let free: Option<bool> = query.for_no_key_update().fetch_optional(conn).await?;
        if free == Some(true) {
            fence::reevaluate(conn, cluster, "HEALTH_CHECK").await?;
        }
        Ok(())
    })
    .await
}

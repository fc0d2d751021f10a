//! What the health manager sees of members, and the recoveries it begins.

use diesel::sql_types::{Bool, Double, Integer, Nullable, Text, Uuid as SqlUuid};
use senlin_core::{
    action::{ActionKind, Cause, LockScope, NewAction},
    cluster::{MemberCounts, evaluate},
    ids::*,
    node::{Condition, NodeStatus},
};
use serde_json::json;
use uuid::Uuid;

use crate::{
    Conn, DbError, Result, child_actions,
    events::Record,
    fence,
    run::Run,
    sql::{Sql, row},
};

mod hosts;

pub use hosts::{known_again, unknown, watch};

row! { MemberRow {
    id: Uuid = SqlUuid,
    name: String = Text,
    cluster_id: Option<Uuid> = Nullable<SqlUuid>,
    status: String = Text,
    status_reason: String = Text,
    host_id: Option<Uuid> = Nullable<SqlUuid>,
    physical_id: Option<String> = Nullable<Text>,
    profile_id: Uuid = SqlUuid,
    generation: i32 = Integer,
    busy: bool = Bool,
    age: f64 = Double,
    silence: Option<f64> = Nullable<Double>,
    pinned: bool = Bool,
    is_host: bool = Bool,
    at_rest: bool = Bool,
}}

/// A member as its health is judged.
#[derive(Debug, Clone)]
pub struct Member {
    /// The node.
    pub id: NodeId,
    /// Its name.
    pub name: String,
    /// Its cluster.
    pub cluster_id: Option<ClusterId>,
    /// What it is said to be.
    pub status: NodeStatus,
    /// Why.
    pub status_reason: String,
    /// Its host.
    pub host_id: Option<NodeId>,
    /// Its container.
    pub physical_id: Option<String>,
    /// Its profile.
    pub profile_id: ProfileId,
    /// Its generation.
    pub generation: i32,
    /// Something is being done to it, or to its cluster.
    pub busy: bool,
    /// Seconds since it was made or last changed.
    pub age: f64,
    /// Seconds since its host last answered.
    pub silence: Option<f64>,
    /// Its profile allows only this host.
    pub pinned: bool,
    /// It is a host itself; then `silence` is its own.
    pub is_host: bool,
    /// It was stopped or paused on purpose.
    pub at_rest: bool,
}

const SELECT: &str = "SELECT n.id, n.name, n.cluster_id, n.status, n.status_reason, n.host_id, n.physical_id,
        n.profile_id, n.generation, n.at_rest,
        EXISTS (SELECT 1 FROM node_locks l WHERE l.node_id = n.id)
            OR EXISTS (SELECT 1 FROM actions a WHERE a.target = n.id AND a.status IN ('INIT', 'WAITING', 'READY',
                'RUNNING', 'SUSPENDED', 'WAITING_LIFECYCLE_COMPLETION'))
            OR EXISTS (SELECT 1 FROM actions a WHERE a.target = n.cluster_id AND a.status IN ('INIT', 'WAITING',
                'READY', 'RUNNING', 'SUSPENDED', 'WAITING_LIFECYCLE_COMPLETION')) AS busy,
        extract(epoch FROM now() - coalesce(n.updated_at, n.created_at, n.init_at))::float8 AS age,
        extract(epoch FROM now() - h.last_seen)::float8 AS silence, p.host_node_id IS NOT NULL AS pinned,
        coalesce(h.node_id = n.id, false) AS is_host
    FROM nodes n JOIN profiles p ON p.id = n.profile_id LEFT JOIN hosts h ON h.node_id = coalesce(n.host_id, n.id)";

fn member(row: MemberRow) -> Result<Member> {
    Ok(Member {
        id: row.id.into(),
        name: row.name,
        cluster_id: row.cluster_id.map(Into::into),
        status: NodeStatus::parse(&row.status).ok_or(DbError::Corrupt {
            column: "nodes.status",
            value: row.status,
        })?,
        status_reason: row.status_reason,
        host_id: row.host_id.map(Into::into),
        physical_id: row.physical_id,
        profile_id: row.profile_id.into(),
        generation: row.generation,
        busy: row.busy,
        age: row.age,
        silence: row.silence,
        pinned: row.pinned,
        is_host: row.is_host,
        at_rest: row.at_rest,
    })
}

/// The members of these clusters.
///
/// # Errors
/// When the database does not answer.
pub async fn members_of(conn: &mut Conn, clusters: &[ClusterId]) -> Result<Vec<Member>> {
    let rows: Vec<MemberRow> = Sql::new(SELECT)
        .push(" WHERE n.cluster_id = ANY (?) ORDER BY n.cluster_id, n.index, n.id")
        .bind(clusters)
        .fetch_all(conn)
        .await?;
    rows.into_iter().map(member).collect()
}

/// The nodes whose containers are on this host.
///
/// # Errors
/// When the database does not answer.
pub async fn on_host(conn: &mut Conn, host: NodeId) -> Result<Vec<Member>> {
    let rows: Vec<MemberRow> = Sql::new(SELECT)
        .push(" WHERE n.host_id = ? ORDER BY n.id")
        .bind(host)
        .fetch_all(conn)
        .await?;
    rows.into_iter().map(member).collect()
}

row! { StandingRow {
    id: Uuid = SqlUuid,
    status: String = Text,
    free: bool = Bool,
    active: i32 = Integer,
    total: i32 = Integer,
    desired: i32 = Integer,
    min: i32 = Integer,
    max: i32 = Integer,
}}

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

/// How these clusters stand.
///
/// # Errors
/// When the database does not answer.
pub async fn standings(conn: &mut Conn, clusters: &[ClusterId]) -> Result<Vec<Standing>> {
    let rows: Vec<StandingRow> = Sql::new(
        "SELECT c.id, c.status, c.status IN ('ACTIVE', 'WARNING', 'ERROR') AND NOT EXISTS (
                SELECT 1 FROM cluster_locks l WHERE l.cluster_id = c.id AND l.exclusive) AS free,
            n.active, n.total, c.desired_capacity AS desired, c.min_size AS min, c.max_size AS max
        FROM clusters c CROSS JOIN LATERAL (
            SELECT count(*) FILTER (WHERE m.status = 'ACTIVE')::int AS active, count(*)::int AS total
            FROM nodes m WHERE m.cluster_id = c.id) n
        WHERE c.id = ANY (?)",
    )
    .bind(clusters)
    .fetch_all(conn)
    .await?;
    let standing = |row: StandingRow| {
        let member_counts = MemberCounts {
            active: row.active,
            total: row.total,
            desired: row.desired,
            min: row.min,
            max: row.max,
        };
        Standing {
            cluster: row.id.into(),
            desired: row.desired,
            is_stale: row.free && evaluate("", member_counts).0.as_str() != row.status,
        }
    };
    Ok(rows.into_iter().map(standing).collect())
}

/// One node.
///
/// # Errors
/// When the database does not answer.
pub async fn node(conn: &mut Conn, node: NodeId) -> Result<Option<Member>> {
    let row: Option<MemberRow> = Sql::new(SELECT)
        .push(" WHERE n.id = ?")
        .bind(node)
        .fetch_optional(conn)
        .await?;
    row.map(member).transpose()
}

/// What was seen of a member becomes its status, unless something is being
/// done to it or it has another container by now. True when that is news; then
/// the cluster's status follows.
///
/// # Errors
/// When the database does not answer.
pub async fn observe(
    conn: &mut Conn,
    seen: &Member,
    status: NodeStatus,
    condition: Condition,
    reason: &str,
) -> Result<bool> {
    conn.transaction(async |conn| {
        let touched = Sql::new(
            "WITH seen AS (
                UPDATE nodes n SET status = :status, status_reason = :reason, condition = :condition
                WHERE n.id = :node AND n.status <> :status AND n.status IN ('ACTIVE', 'WARNING', 'ERROR')
                    AND n.generation = :generation AND n.physical_id IS NOT DISTINCT FROM :physical_id
                    AND n.status = :was AND n.status_reason = :was_reason
                    AND NOT EXISTS (SELECT 1 FROM node_locks l WHERE l.node_id = n.id)
                RETURNING n.*)",
        )
        .push(
            &Record {
                from: "seen",
                level: "CASE status WHEN 'ACTIVE' THEN 'INFO' ELSE 'WARN' END",
                action: "'NODE_HEALTH'",
                status: "CASE status WHEN 'ACTIVE' THEN 'end' ELSE 'error' END",
                reason: "status_reason",
            }
            .of_nodes(),
        )
        .set("status", status.as_str())
        .set("reason", reason)
        .set("condition", condition.as_str())
        .set("node", seen.id)
        .set("generation", seen.generation)
        .set("physical_id", seen.physical_id.as_deref())
        .set("was", seen.status.as_str())
        .set("was_reason", seen.status_reason.as_str())
        .run(conn)
        .await?;
        if touched > 0
            && let Some(cluster) = seen.cluster_id
        {
            settle(conn, cluster).await?;
        }
        Ok(touched > 0)
    })
    .await
}

/// A cluster that nothing is being done to gets the status that is true now.
///
/// # Errors
/// When the database does not answer.
pub async fn settle(conn: &mut Conn, cluster: ClusterId) -> Result<()> {
    conn.transaction(async |conn| {
        let row: Option<FreeRow> = Sql::new(
            "WITH c AS (SELECT id, status FROM clusters WHERE id = ? FOR NO KEY UPDATE)
            SELECT c.status IN ('ACTIVE', 'WARNING', 'ERROR') AND NOT EXISTS (SELECT 1 FROM cluster_locks l
                WHERE l.cluster_id = c.id AND l.exclusive) AS free FROM c",
        )
        .bind(cluster)
        .fetch_optional(conn)
        .await?;
        if row.is_some_and(|r| r.free) {
            fence::reevaluate(conn, cluster, "HEALTH_CHECK").await?;
        }
        Ok(())
    })
    .await
}

row! { FreeRow { free: bool = Bool } }

/// A recovery that the health manager wants.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The member.
    pub node: NodeId,
    /// Its cluster.
    pub cluster: ClusterId,
    /// The container that was found amiss: another one is another story.
    pub physical_id: Option<String>,
    /// What was found.
    pub reason: String,
    /// What the recovery is to try.
    pub inputs: senlin_core::Map,
    /// Most recoveries of the cluster in the window.
    pub budget: i64,
    /// The window, in seconds.
    pub window: i64,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// The action.
    Yes(ActionId),
    /// Something is being done already, or the container is another by now.
    Busy,
    /// It was recovered so often lately that it waits so many seconds more.
    BackOff(i64),
    /// The cluster's budget is used up.
    Spent,
}

row! { CountRow {
    of_node: i64 = diesel::sql_types::BigInt,
    of_cluster: i64 = diesel::sql_types::BigInt,
    since: Option<i64> = Nullable<diesel::sql_types::BigInt>,
}}

/// Seconds until a node that was recovered `times` lately may be recovered
/// again: none at first, then 10, 20, 40 … 300.
fn pause(times: i64) -> i64 {
    match u32::try_from(times) {
        Ok(0 | 1) => 0,
        Ok(n) => 10_i64.saturating_mul(2_i64.saturating_pow(n.min(12) - 2)).min(300),
        Err(_) => 300,
    }
}

row! { OwnerRow {
    host_id: Option<Uuid> = Nullable<SqlUuid>,
    timeout: i32 = Integer,
    user_id: String = Text,
    project: String = Text,
}}

/// Begins a recovery, if none is open, within bounds. Counted and recorded in
/// one transaction that holds the node's row: two engines cannot both begin one.
///
/// # Errors
/// When the database does not answer.
pub async fn recover(conn: &mut Conn, wish: &Wish) -> Result<Begun> {
    conn.transaction(async |conn| {
        let locked: Option<OwnerRow> = Sql::new(
            "SELECT n.host_id, c.timeout, c.user_id, c.project FROM nodes n JOIN clusters c ON c.id = n.cluster_id
            WHERE n.id = ? AND c.id = ? AND n.physical_id IS NOT DISTINCT FROM ? FOR UPDATE OF n",
        )
        .bind(wish.node)
        .bind(wish.cluster)
        .bind(wish.physical_id.as_deref())
        .fetch_optional(conn)
        .await?;
        let (Some(owner), Some(false)) = (locked, node(conn, wish.node).await?.map(|n| n.busy)) else {
            return Ok(Begun::Busy);
        };
        #[expect(clippy::cast_precision_loss, reason = "seconds of a window fit a double")]
        let window = wish.window as f64;
        let counts: Option<CountRow> = Sql::new(
            "SELECT count(*) FILTER (WHERE node_id = ? AND begun_at > now() - interval '10 minutes') AS of_node,
                count(*) FILTER (WHERE begun_at > now() - make_interval(secs => ?)) AS of_cluster,
                extract(epoch FROM now() - max(begun_at) FILTER (WHERE node_id = ?))::bigint AS since
            FROM recoveries WHERE cluster_id = ?
                AND begun_at > now() - greatest(make_interval(secs => ?), interval '10 minutes')",
        )
        .bind(wish.node)
        .bind(window)
        .bind(wish.node)
        .bind(wish.cluster)
        .bind(window)
        .fetch_optional(conn)
        .await?;
        let (times, spent, since) = counts.map_or((0, 0, None), |c| (c.of_node, c.of_cluster, c.since));
        let left = pause(times).saturating_sub(since.unwrap_or(i64::MAX));
        if left > 0 {
            return Ok(Begun::BackOff(left));
        }
        if spent >= wish.budget {
            return Ok(Begun::Spent);
        }
        let action = NewAction {
            cluster_id: Some(wish.cluster),
            lock_scope: LockScope::Member,
            host_id: owner.host_id.map(Into::into),
            inputs: wish.inputs.clone(),
            timeout: owner.timeout,
            ..NewAction::unasked(
                ActionKind::NodeRecover,
                wish.node.0,
                Cause::Health,
                owner.user_id,
                owner.project,
            )
        };
        child_actions::insert_actions(conn, std::slice::from_ref(&action), "").await?;
        Sql::new("INSERT INTO recoveries (cluster_id, node_id, action_id, reason) VALUES (?, ?, ?, ?)")
            .bind(wish.cluster)
            .bind(wish.node)
            .bind(action.id)
            .bind(wish.reason.as_str())
            .run(conn)
            .await?;
        Ok(Begun::Yes(action.id))
    })
    .await
}

/// The inputs of such a recovery. `check`: what is healthy when its turn comes
/// is left alone.
#[must_use]
pub fn inputs(operations: &[&str], reason: &str, check: bool, host_lost: bool) -> senlin_core::Map {
    let all = json!({"operations": operations, "because": reason, "check": check, "host_lost": host_lost});
    all.as_object().cloned().unwrap_or_default()
}

/// A recovery that does not happen is told once per change of why. `unknown`:
/// nobody knows what became of the container.
///
/// # Errors
/// When the database does not answer.
pub async fn hold_back(conn: &mut Conn, node: NodeId, reason: &str, unknown: bool) -> Result<()> {
    Sql::new(
        "WITH told AS (
            UPDATE nodes SET status_reason = :reason, condition = CASE WHEN :unknown THEN 'UNKNOWN' ELSE condition END
            WHERE id = :node AND status_reason IS DISTINCT FROM :reason RETURNING *)",
    )
    .push(
        &Record {
            from: "told",
            level: "'WARN'",
            action: "'NODE_RECOVER'",
            status: "'held back'",
            reason: "status_reason",
        }
        .of_nodes(),
    )
    .set("reason", reason)
    .set("unknown", unknown)
    .set("node", node)
    .run(conn)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_crash_loop_waits_longer_each_time() {
        let pauses: Vec<i64> = (0..9).map(super::pause).collect();
        assert_eq!(pauses, [0, 0, 10, 20, 40, 80, 160, 300, 300]);
    }
}

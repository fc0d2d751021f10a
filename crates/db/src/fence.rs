//! Writes on behalf of an action, each only while it is still ours.

use diesel::sql_types::{Nullable, Uuid as SqlUuid};
use senlin_core::{
    Map,
    action::{Action, ActionStatus},
    cluster::{ClusterStatus, MemberCounts, evaluate},
    event::Level,
    ids::*,
    node::{Condition, NodeStatus},
};
use uuid::Uuid;

use crate::{
    Conn, DbError, Result, bindings,
    events::Record,
    queue::end,
    sql::{Sql, row},
};

/// Proof of a claim: every write on behalf of an action carries it, and
/// touches nothing when the action has another owner or attempt by now.
#[derive(Debug, Clone, Copy)]
pub struct Fence {
    /// The action.
    pub action: ActionId,
    /// The engine that claimed it.
    pub owner: ServiceId,
    /// The claim.
    pub attempt: i32,
}

impl Fence {
    /// The fence of a claimed action.
    ///
    /// # Errors
    /// [`DbError::LeaseLost`] for one that nobody has claimed.
    pub fn of(action: &Action) -> Result<Self> {
        let owner = action.owner.ok_or(DbError::LeaseLost)?;
        Ok(Self {
            action: action.id,
            owner,
            attempt: action.attempt,
        })
    }
}

/// The fence as a condition on `a`.
pub(crate) const FENCED: &str =
    " a.id = :action AND a.owner = :owner AND a.attempt = :attempt AND a.status = 'RUNNING' ";

pub(crate) trait Fenced {
    fn fence(self, fence: Fence) -> Self;
}

impl Fenced for Sql {
    fn fence(self, fence: Fence) -> Self {
        self.set("action", fence.action)
            .set("owner", fence.owner)
            .set("attempt", fence.attempt)
    }
}

/// What becomes of a node when its action ends.
#[derive(Debug, Clone, Default)]
pub struct NodeChange {
    /// Its status from now on.
    pub status: Option<NodeStatus>,
    /// Why.
    pub reason: String,
    /// What was seen of its container or machine; none leaves it as it was.
    pub condition: Option<Condition>,
    /// `Some(None)` forgets the physical id.
    pub physical_id: Option<Option<String>>,
    /// Its generation from now on.
    pub generation: Option<i32>,
    /// It exists from now on: `created_at` is set once.
    pub created: bool,
    /// Whether it was stopped or paused on purpose; the database sees to it that one that is ACTIVE is not.
    pub at_rest: Option<bool>,
    /// Its place on a host is free from now on.
    pub unplace: bool,
    /// If its creation had not begun, it was not counted as asked for and leaves its cluster.
    pub leave_unbegun: bool,
}

/// How an action ends.
#[derive(Debug, Clone)]
pub struct End {
    /// SUCCEEDED, FAILED or CANCELLED.
    pub status: ActionStatus,
    /// For the user.
    pub reason: String,
    /// What came of it.
    pub outputs: Map,
}

row! { DependentRow { dependent: Option<Uuid> = Nullable<SqlUuid> } }

/// Ends an action and changes its node, in one statement: status, outputs,
/// event, dependency edges and locks. Answers the parents to look at.
///
/// # Errors
/// [`DbError::LeaseLost`] when it is no longer ours.
pub async fn finish(conn: &mut Conn, fence: Fence, end: &End, node: Option<&NodeChange>) -> Result<Vec<ActionId>> {
    let none = NodeChange::default();
    let change = node.unwrap_or(&none);
    let rows: Vec<DependentRow> = Sql::new(
        "WITH ended AS (
            UPDATE actions a SET status = :end, status_reason = :end_reason, outputs = a.outputs || :outputs,
                owner = NULL, lease_expires_at = NULL, ended_at = now(), updated_at = now()
            WHERE",
    )
    .push(FENCED)
    .push(
        "RETURNING a.*),
        node AS (
            UPDATE nodes n SET
                status = coalesce(:status, n.status),
                status_reason = CASE WHEN :status IS NULL THEN n.status_reason ELSE :reason END,
                condition = coalesce(:condition, n.condition),
                physical_id = CASE WHEN :sets_physical_id THEN :physical_id ELSE n.physical_id END,
                generation = coalesce(:generation, n.generation),
                at_rest = coalesce(:at_rest, n.at_rest),
                created_at = CASE WHEN :created THEN coalesce(n.created_at, now()) ELSE n.created_at END,
                host_id = CASE WHEN :unplace THEN NULL ELSE n.host_id END,
                cluster_id = CASE WHEN :leave_unbegun AND n.status = 'INIT' THEN NULL ELSE n.cluster_id END,
                index = CASE WHEN :leave_unbegun AND n.status = 'INIT' THEN -1 ELSE n.index END,
                updated_at = CASE WHEN n.created_at IS NULL THEN n.updated_at ELSE now() END
            FROM ended e WHERE n.id = e.target AND :changes),
        ports AS (DELETE FROM host_ports p USING ended e WHERE p.node_id = e.target AND :unplace)",
    )
    .push(&end::released())
    .push(" SELECT e.dependent FROM ended LEFT JOIN edges e ON true")
    .fence(fence)
    .set("end", end.status.as_str())
    .set("end_reason", end.reason.as_str())
    .set("outputs", &end.outputs)
    .set("changes", node.is_some())
    .set("status", change.status.map(NodeStatus::as_str))
    .set("reason", change.reason.as_str())
    .set("condition", change.condition.map(Condition::as_str))
    .set("sets_physical_id", change.physical_id.is_some())
    .set("physical_id", change.physical_id.clone().flatten())
    .set("generation", change.generation)
    .set("at_rest", change.at_rest)
    .set("created", change.created)
    .set("unplace", change.unplace)
    .set("leave_unbegun", change.leave_unbegun)
    .load(conn)
    .await?;
    if rows.is_empty() {
        return Err(DbError::LeaseLost);
    }
    Ok(rows.into_iter().filter_map(|r| r.dependent.map(Into::into)).collect())
}

/// How an action goes back to the queue.
struct Requeue<'a> {
    /// What went wrong is counted.
    counts: bool,
    /// Where it goes on; none: where it was.
    phase: Option<&'a str>,
    delay: f64,
    reason: &'a str,
    level: Level,
    /// As the event says it.
    told: &'static str,
}

async fn requeue(conn: &mut Conn, fence: Fence, back: &Requeue<'_>) -> Result<()> {
    let touched = Sql::new(
        "WITH back AS (
            UPDATE actions a SET status = 'READY', owner = NULL, lease_expires_at = NULL,
                retries = CASE WHEN :counts THEN retries + 1 ELSE 0 END, phase = coalesce(:phase, phase),
                status_reason = :reason, updated_at = now(),
                data = CASE WHEN :counts THEN a.data - 'waits_for' ELSE a.data - '{failing_since,waits_for}'::text[] END,
                run_after = ",
    )
    .push(&end::due(":delay"))
    .push(" WHERE")
    .push(FENCED)
    .push("RETURNING a.*)")
    .push(
        &Record {
            from: "back",
            level: ":level",
            status: ":told",
            ..Record::ACTION
        }
        .of_actions(),
    )
    .fence(fence)
    .set("counts", back.counts)
    .set("phase", back.phase)
    .set("reason", back.reason)
    .set("delay", back.delay)
    .set("level", back.level.as_str())
    .set("told", back.told)
    .execute(conn)
    .await?;
    ours(touched)
}

/// Hands an action back to be tried again after `delay` seconds; it keeps its locks.
///
/// # Errors
/// [`DbError::LeaseLost`].
pub async fn retry(conn: &mut Conn, fence: Fence, delay: f64, reason: &str) -> Result<()> {
    let again = Requeue {
        counts: true,
        phase: None,
        delay,
        reason,
        level: Level::Warn,
        told: "retry",
    };
    requeue(conn, fence, &again).await
}

/// Hands an action back to go on in `phase` after `delay` seconds; it keeps
/// its locks, and no worker waits.
///
/// # Errors
/// [`DbError::LeaseLost`].
pub async fn postpone(conn: &mut Conn, fence: Fence, phase: &str, delay: f64, reason: &str) -> Result<()> {
    let later = Requeue {
        counts: false,
        phase: Some(phase),
        delay,
        reason,
        level: Level::Info,
        told: "wait",
    };
    requeue(conn, fence, &later).await
}

/// Nothing touched: the action is not ours any more.
pub(crate) fn ours(touched: usize) -> Result<()> {
    if touched == 0 { Err(DbError::LeaseLost) } else { Ok(()) }
}

/// Puts the action's node into a transitional status.
///
/// # Errors
/// [`DbError::LeaseLost`].
pub async fn node_status(conn: &mut Conn, fence: Fence, status: NodeStatus, reason: &str) -> Result<()> {
    let touched = Sql::new(
        "UPDATE nodes n SET status = :status, status_reason = :reason FROM actions a
        WHERE n.id = a.target AND",
    )
    .push(FENCED)
    .set("status", status.as_str())
    .set("reason", reason)
    .fence(fence)
    .execute(conn)
    .await?;
    ours(touched)
}

/// Puts the action's cluster into a transitional status.
///
/// # Errors
/// [`DbError::LeaseLost`].
pub async fn cluster_status(conn: &mut Conn, fence: Fence, status: ClusterStatus, reason: &str) -> Result<()> {
    let touched = Sql::new(
        "UPDATE clusters c SET status = :status, status_reason = :reason FROM actions a
        WHERE c.id = a.target AND",
    )
    .push(FENCED)
    .set("status", status.as_str())
    .set("reason", reason)
    .fence(fence)
    .execute(conn)
    .await?;
    ours(touched)
}

/// Checks the fence and holds the action's row until the transaction ends, so
/// that what the transaction writes is fenced too.
///
/// # Errors
/// [`DbError::LeaseLost`].
pub async fn lock_action(conn: &mut Conn, fence: Fence) -> Result<()> {
    let touched = Sql::new("SELECT a.id FROM actions a WHERE")
        .push(FENCED)
        .push("FOR UPDATE")
        .fence(fence)
        .execute(conn)
        .await?;
    ours(touched)
}

/// Stores what the action found out or decided, for itself and for users.
///
/// # Errors
/// [`DbError::LeaseLost`].
pub async fn merge_data(conn: &mut Conn, fence: Fence, data: &Map, outputs: &Map) -> Result<()> {
    let touched = Sql::new(
        "UPDATE actions a SET data = a.data || :data, outputs = a.outputs || :outputs, updated_at = now() WHERE",
    )
    .push(FENCED)
    .set("data", data)
    .set("outputs", outputs)
    .fence(fence)
    .execute(conn)
    .await?;
    ours(touched)
}

row! { CountsRow {
    active: i32 = diesel::sql_types::Integer,
    total: i32 = diesel::sql_types::Integer,
    desired: i32 = diesel::sql_types::Integer,
    min: i32 = diesel::sql_types::Integer,
    max: i32 = diesel::sql_types::Integer,
}}

/// Counts a cluster's members against what is asked of it.
///
/// # Errors
/// When the database does not answer.
pub async fn member_counts(conn: &mut Conn, cluster: ClusterId) -> Result<Option<MemberCounts>> {
    let row: Option<CountsRow> = Sql::new(
        "SELECT (SELECT count(*)::int FROM nodes n WHERE n.cluster_id = c.id AND n.status = 'ACTIVE') AS active,
            (SELECT count(*)::int FROM nodes n WHERE n.cluster_id = c.id) AS total,
            desired_capacity AS desired, min_size AS min, max_size AS max
        FROM clusters c WHERE c.id = ?",
    )
    .bind(cluster)
    .first(conn)
    .await?;
    Ok(row.map(|r| MemberCounts {
        active: r.active,
        total: r.total,
        desired: r.desired,
        min: r.min,
        max: r.max,
    }))
}

/// A cluster's members, while nobody else counts them to write what follows.
pub(crate) async fn locked_counts(conn: &mut Conn, cluster: ClusterId) -> Result<Option<MemberCounts>> {
    // Locked first and counted in a statement of its own, which sees what others did meanwhile.
    Sql::new("SELECT id FROM clusters WHERE id = ? FOR NO KEY UPDATE")
        .bind(cluster)
        .execute(conn)
        .await?;
    member_counts(conn, cluster).await
}

/// Writes the status that is true of the cluster now; answers it. Call it in a
/// transaction: it locks the cluster before it counts.
///
/// # Errors
/// When the database does not answer.
pub async fn reevaluate(conn: &mut Conn, cluster: ClusterId, operation: &str) -> Result<Option<ClusterStatus>> {
    let Some(member_counts) = locked_counts(conn, cluster).await? else {
        return Ok(None);
    };
    let (status, reason) = evaluate(operation, member_counts);
    Sql::new(
        "UPDATE clusters SET status = ?, status_reason = ?,
            created_at = CASE WHEN ? THEN coalesce(created_at, now()) ELSE created_at END,
            updated_at = CASE WHEN ? THEN updated_at ELSE now() END
        WHERE id = ?",
    )
    .bind(status.as_str())
    .bind(reason)
    .bind(operation == "CLUSTER_CREATE" && status == ClusterStatus::Active)
    .bind(operation == "CLUSTER_CREATE")
    .bind(cluster)
    .execute(conn)
    .await?;
    Ok(Some(status))
}

/// Ends a cluster action and sets the cluster's status to what is true now.
/// `marked`: the bindings whose cooldowns begin.
///
/// # Errors
/// [`DbError::LeaseLost`].
pub async fn finish_cluster(
    conn: &mut Conn,
    fence: Fence,
    end: &End,
    cluster: ClusterId,
    operation: &str,
    marked: &[BindingId],
) -> Result<Vec<ActionId>> {
    conn.transaction(async |conn| {
        lock_action(conn, fence).await?;
        reevaluate(conn, cluster, operation).await?;
        if !marked.is_empty() {
            bindings::start_cooldown(conn, marked).await?;
        }
        finish(conn, fence, end, None).await
    })
    .await
}

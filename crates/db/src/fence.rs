//! Writes on behalf of an action, each only while it is still ours.

use senlin_core::{
    Map,
    action::{Action, ActionStatus},
    cluster::{ClusterStatus, MemberCounts, evaluate},
    event::Level,
    ids::*,
};
use serde_json::{Value, json};

use crate::{
    Conn, DbError, Result, bindings,
    events::Record,
    queue::end,
    run::Run,
    sql::{Sql, row},
};

mod finish;
mod node_status;

pub use finish::{End, NodeChange, NodeEnd, finish, finish_nodes};
pub use node_status::{Mark, node_status, node_statuses};

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

/// What a statement about many actions does with one of which somebody else
/// has locked a row.
#[derive(Debug, Clone, Copy)]
enum Locked {
    Wait,
    Skip,
}

/// A row of `asked`, the list of those that a statement is about, begins with
/// the fence. `running` is there to be compared with a status: by the word
/// itself the row would be sought among all that run, not by its id.
const ASKED: &str = "act uuid, claimer uuid, claim integer, running text";

/// The fence as a condition on `a`, and on a list with the columns of [`ASKED`].
fn is_of(list: &str) -> String {
    format!(
        " a.id = {list}.act AND a.owner = {list}.claimer AND a.attempt = {list}.claim AND a.status = {list}.running "
    )
}

/// A row of `asked`, with what it is asked.
fn ask(fence: Fence, mut what: Map) -> Value {
    what.insert("act".to_owned(), json!(fence.action));
    what.insert("claimer".to_owned(), json!(fence.owner));
    what.insert("claim".to_owned(), json!(fence.attempt));
    what.insert("running".to_owned(), json!(ActionStatus::Running.as_str()));
    Value::Object(what)
}

/// An action and its attempt: the same engine may hold two of them for a
/// moment, and an answer is of one.
type Claim = (ActionId, i32);

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
    .run(conn)
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
    .run(conn)
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
        .run(conn)
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
    .run(conn)
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
    .fetch_optional(conn)
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
        .run(conn)
        .await?;
    member_counts(conn, cluster).await
}

/// Writes the status that is true of the cluster now; returns it. Call it in a
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
    .run(conn)
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

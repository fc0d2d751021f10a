//! Writes on behalf of an action, each only while it is still ours.

use diesel::{
    dsl::{auto_type, count, now},
    prelude::*,
    sql_types::Integer,
};
use senlin_core::{
    Map,
    action::{Action, ActionStatus},
    cluster::{ClusterStatus, MemberCounts, evaluate},
    event::Level,
    ids::*,
    node::NodeStatus,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    Conn, DbError, Result, bindings,
    functions::coalesce,
    run::Run,
    schema::{actions, clusters, nodes},
    sql::Sql,
    statements::requeue_action::{Requeue, requeue_action},
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

/// The fence as a condition on actions.
#[auto_type]
pub(crate) fn is_ours(fence: Fence) -> _ {
    let action: Uuid = fence.action.0;
    let owner: Uuid = fence.owner.0;
    let running: &'static str = ActionStatus::Running.as_str();
    let attempt: i32 = fence.attempt;
    actions::id
        .eq(action)
        .and(actions::owner.eq(owner))
        .and(actions::attempt.eq(attempt))
        .and(actions::status.eq(running))
}

/// The same in a text, as a condition on `a`.
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
    requeue_action(conn, fence, &again).await
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
    requeue_action(conn, fence, &later).await
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
    let target = actions::table.filter(is_ours(fence)).select(actions::target);
    let touched = diesel::update(clusters::table.filter(clusters::id.eq_any(target)))
        .set((clusters::status.eq(status.as_str()), clusters::status_reason.eq(reason)))
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
    let action = actions::table.filter(is_ours(fence)).select(actions::id);
    ours(action.for_update().run(conn).await?)
}

/// Stores what the action found out or decided, for itself and for users.
///
/// # Errors
/// [`DbError::LeaseLost`].
pub async fn merge_data(conn: &mut Conn, fence: Fence, data: &Map, outputs: &Map) -> Result<()> {
    let (data, outputs) = (Value::Object(data.clone()), Value::Object(outputs.clone()));
    let touched = diesel::update(actions::table.filter(is_ours(fence)))
        .set((
            actions::data.eq(actions::data.concat(data)),
            actions::outputs.eq(actions::outputs.concat(outputs)),
            actions::updated_at.eq(now),
        ))
        .run(conn)
        .await?;
    ours(touched)
}

/// Counts a cluster's members against what is asked of it.
pub async fn member_counts(conn: &mut Conn, cluster: ClusterId) -> Result<Option<MemberCounts>> {
    let members = count(nodes::id.nullable());
    let is_active = nodes::status
        .nullable()
        .is_not_distinct_from(NodeStatus::Active.as_str());
    let counted = clusters::table
        .left_join(nodes::table)
        .filter(clusters::id.eq(cluster.0))
        .group_by(clusters::id)
        .select((
            members.aggregate_filter(is_active).fallible_cast::<Integer>(),
            members.fallible_cast::<Integer>(),
            clusters::desired_capacity,
            clusters::min_size,
            clusters::max_size,
        ));
    let row: Option<(i32, i32, i32, i32, i32)> = counted.fetch_optional(conn).await?;
    Ok(row.map(|(active, total, desired, min, max)| MemberCounts {
        active,
        total,
        desired,
        min,
        max,
    }))
}

/// A cluster's members, while nobody else counts them to write what follows.
pub(crate) async fn locked_counts(conn: &mut Conn, cluster: ClusterId) -> Result<Option<MemberCounts>> {
    // Locked first and counted in a statement of its own, which sees what others did meanwhile.
    let row = clusters::table.find(cluster.0).select(clusters::id);
    row.for_no_key_update().run(conn).await?;
    member_counts(conn, cluster).await
}

/// Writes the status that is true of the cluster now; returns it. Call it in a
/// transaction: it locks the cluster before it counts.
pub async fn reevaluate(conn: &mut Conn, cluster: ClusterId, operation: &str) -> Result<Option<ClusterStatus>> {
    let Some(member_counts) = locked_counts(conn, cluster).await? else {
        return Ok(None);
    };
    let (status, reason) = evaluate(operation, member_counts);
    let is_creation = operation == "CLUSTER_CREATE";
    let is_created = is_creation && status == ClusterStatus::Active;
    diesel::update(clusters::table.find(cluster.0))
        .set((
            clusters::status.eq(status.as_str()),
            clusters::status_reason.eq(reason),
            is_created.then(|| clusters::created_at.eq(coalesce(clusters::created_at, now).nullable())),
            (!is_creation).then(|| clusters::updated_at.eq(now)),
        ))
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

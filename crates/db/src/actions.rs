//! Actions as users see, record and cancel them. Running them is [`crate::queue`].

use diesel::{dsl::exists, prelude::*};
use senlin_core::{
    action::{Action, ActionKind, ActionStatus, Cause, NewAction},
    caller::Scope,
    ids::*,
};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    Conn, Result, child_actions,
    history::all_actions,
    idempotency::{Keep, Stored},
    page::{self, Filter, Page, Rows},
    queue,
    quota::{self, Full, Growth},
    run::Run,
    schema::{actions, cluster_locks, clusters, node_locks, nodes},
    sql::Sql,
    statements::{
        ask_end::{AskedRow, ask_end},
        cancel_tree::cancel_tree,
        lock_tree::lock_tree,
        select_actions::select_actions,
    },
};

const ROWS: Rows = Rows {
    name: "t",
    from: all_actions!(),
    sort: "created_at",
};

/// The action with that id, name or short id.
///
/// # Errors
/// [`crate::DbError::MultipleChoices`].
pub async fn find(conn: &mut Conn, scope: &Scope, identity: &str) -> Result<Option<Action>> {
    let rows = select_actions(conn, page::identified("t", scope, identity)).await?;
    page::choose(rows, identity, |r| r.id, |r| r.name.clone())?
        .map(TryInto::try_into)
        .transpose()
}

/// A page of actions.
pub async fn list(conn: &mut Conn, scope: &Scope, filters: &[Filter], page: &Page) -> Result<Vec<Action>> {
    let choice = page::page(conn, ROWS, scope, filters, page).await?;
    let rows = select_actions(conn, choice).await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// What stands in the way of a new action on a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// The target has gone.
    Gone,
    /// Another action holds the target's lock.
    Locked,
    /// Another action on the same target has not ended.
    Active(ActionId),
    /// The project has no room for the nodes that it brings.
    Full(Full),
}

/// The statuses of an action that is under way.
const UNDER_WAY: [ActionStatus; 4] = [
    ActionStatus::Ready,
    ActionStatus::Waiting,
    ActionStatus::Running,
    ActionStatus::WaitingLifecycleCompletion,
];

/// Holds the target's row until the transaction ends, and says whether
/// anything stands in the way: a lock first, then an action that has not ended.
/// Call it in the transaction that inserts.
pub async fn obstacle(conn: &mut Conn, kind: ActionKind, target: Uuid) -> Result<Option<Obstacle>> {
    let held: Option<Uuid> = if kind.is_cluster() {
        let cluster = clusters::table.find(target).select(clusters::id);
        cluster.for_update().fetch_optional(conn).await?
    } else {
        let node = nodes::table.find(target).select(nodes::id);
        node.for_update().fetch_optional(conn).await?
    };
    if held.is_none() {
        return Ok(Some(Obstacle::Gone));
    }
    let cluster_lock = cluster_locks::table.filter(cluster_locks::cluster_id.eq(target));
    let node_lock = node_locks::table.filter(node_locks::node_id.eq(target));
    let active = actions::table
        .filter(actions::target.eq(target))
        .filter(actions::cause.eq(Cause::Rpc.as_str()))
        .filter(actions::status.eq_any(UNDER_WAY.map(ActionStatus::as_str)))
        .order(actions::seq)
        .select(actions::id)
        .single_value();
    let found: Option<(bool, Option<Uuid>)> = diesel::select((exists(cluster_lock).or(exists(node_lock)), active))
        .fetch_optional(conn)
        .await?;
    Ok(match found {
        Some((true, _)) => Some(Obstacle::Locked),
        Some((false, active)) => active.map(|id| Obstacle::Active(id.into())),
        None => None,
    })
}

/// On what conditions an action is recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Terms {
    /// Not while another one on the same target is under way.
    pub exclusive: bool,
    /// The size that it brings its cluster to, and the nodes that the project may have.
    pub size: Option<(i32, i64)>,
}

/// As [`accept`], without a size or a key.
pub async fn submit(conn: &mut Conn, action: &NewAction, exclusive: bool) -> Result<std::result::Result<(), Obstacle>> {
    let terms = Terms { exclusive, size: None };
    let unkept = |_: &ActionId| Stored {
        status: 202,
        location: None,
        body: Value::Null,
    };
    accept(conn, action, terms, &Keep::new(None, &unkept)).await
}

/// Records an action that a user asked for, unless its terms are not met. A
/// deletion asks others that are under way to end.
pub async fn accept(
    conn: &mut Conn,
    action: &NewAction,
    terms: Terms,
    keep: &Keep<'_, ActionId>,
) -> Result<std::result::Result<(), Obstacle>> {
    let grown = action.cluster_id.zip(terms.size);
    let recorded: Result<std::result::Result<Vec<AskedRow>, Obstacle>> = conn
        .transaction(async |conn| {
            if let Some((cluster, (size, most))) = grown {
                quota::turn(conn, &action.project).await?;
                if let Some(full) = quota::nodes(conn, &action.project, Growth::To(cluster, size), most).await? {
                    return Ok(Err(Obstacle::Full(full)));
                }
            }
            if terms.exclusive
                && let Some(obstacle) = obstacle(conn, action.kind, action.target).await?
            {
                return Ok(Err(obstacle));
            }
            let mut asked = Vec::new();
            if matches!(action.kind, ActionKind::ClusterDelete | ActionKind::NodeDelete) {
                asked = end_others(conn, action.target).await?;
            }
            child_actions::insert_actions(conn, std::slice::from_ref(action), "").await?;
            if let Some((cluster, (size, _))) = grown {
                quota::promise(conn, cluster, action.id, size).await?;
            }
            keep.settle(conn, &action.id).await?;
            Ok(Ok(asked))
        })
        .await;
    match recorded? {
        Ok(asked) => {
            // It is recorded; whom this does not wake, the sweep does.
            let _ = queue::promote(conn, &parents(&asked)).await;
            Ok(Ok(()))
        }
        Err(obstacle) => Ok(Err(obstacle)),
    }
}

/// Asks every unfinished action on a target, and its descendants, to end.
async fn end_others(conn: &mut Conn, target: Uuid) -> Result<Vec<AskedRow>> {
    let others = "(target = :target OR cluster_id = :target) AND action NOT IN ('CLUSTER_DELETE', 'NODE_DELETE')
        AND status NOT IN ('SUCCEEDED', 'FAILED', 'CANCELLED')";
    ask_end(conn, Sql::new(others).set("target", target)).await
}

/// Of what was woken by asking for an end, the parents of those that ended.
fn parents(asked: &[AskedRow]) -> Vec<ActionId> {
    asked.iter().filter(|r| r.parent).map(|r| r.id.into()).collect()
}

/// Asks an action and its descendants to end; returns those to wake. One
/// that never began is CANCELLED at once, whatever holds its target.
pub async fn cancel(conn: &mut Conn, id: ActionId) -> Result<Vec<ActionId>> {
    let asked = ask_end(conn, Sql::new("id = :id").set("id", id)).await?;
    // It is recorded; whom this does not wake, the sweep does.
    let _ = queue::promote(conn, &parents(&asked)).await;
    Ok(asked.into_iter().map(|r| r.id.into()).collect())
}

/// Ends an action and its descendants at once, without asking whoever works
/// on them: their later writes are fenced off. Returns the parents to wake.
pub async fn force_cancel(conn: &mut Conn, id: ActionId) -> Result<Vec<ActionId>> {
    conn.transaction(async |conn| {
        // Whoever claims or records children meanwhile comes first: what they
        // wrote is seen by the statement that ends them all.
        let mut known = 0;
        loop {
            let locked = lock_tree(conn, id).await?;
            if locked == known {
                break;
            }
            known = locked;
        }
        cancel_tree(conn, id).await
    })
    .await
}

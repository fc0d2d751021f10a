//! The end of an action, in one statement; of many node actions, in one too.

use std::collections::HashMap;

use diesel::sql_types::{Integer, Nullable, Uuid as SqlUuid};
use senlin_core::{
    Map,
    action::ActionStatus,
    ids::*,
    node::{Condition, NodeStatus},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{ASKED, Fence, Locked, ask, is_of};
use crate::{
    Conn, DbError, Result,
    leases::Claim,
    object,
    queue::end,
    run::Run,
    sql::{Sql, row},
};

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
    /// If its creation had not begun, it was not counted as asked for and leaves its cluster.
    pub leave_unbegun: bool,
}

/// The end of a node's action.
#[derive(Debug, Clone)]
pub struct NodeEnd {
    /// Whose.
    pub fence: Fence,
    /// How.
    pub end: End,
    /// What becomes of the node.
    pub change: NodeChange,
}

row! { EndedRow { id: Uuid = SqlUuid, attempt: i32 = Integer, dependent: Option<Uuid> = Nullable<SqlUuid> } }

/// Ends an action and changes its node, in one statement: status, outputs,
/// event, dependency edges and locks. Returns the parents to wake.
///
/// # Errors
/// [`DbError::LeaseLost`] when it is no longer ours.
pub async fn finish(conn: &mut Conn, fence: Fence, end: &End, node: Option<&NodeChange>) -> Result<Vec<ActionId>> {
    let asked = vec![asked(fence, end, node)];
    let mut ended = run(conn, asked, Locked::Wait).await?;
    ended.remove(&(fence.action, fence.attempt)).ok_or(DbError::LeaseLost)
}

/// As [`finish`], for the actions of many nodes. It waits for nobody: none for
/// one that is not ours any more, whose node has gone, or of which somebody
/// else has locked a row; [`finish`] tells which, and waits.
///
/// # Errors
/// When the database refuses one of them: none was ended then.
pub async fn finish_nodes(conn: &mut Conn, ends: &[NodeEnd]) -> Result<Vec<Option<Vec<ActionId>>>> {
    let of = |one: &NodeEnd| asked(one.fence, &one.end, Some(&one.change));
    let mut ended = run(conn, ends.iter().map(of).collect(), Locked::Skip).await?;
    let answer = |one: &NodeEnd| ended.remove(&(one.fence.action, one.fence.attempt));
    Ok(ends.iter().map(answer).collect())
}

/// What is asked of one. The names are not those of columns of actions.
fn asked(fence: Fence, end: &End, node: Option<&NodeChange>) -> Value {
    let none = NodeChange::default();
    let change = node.unwrap_or(&none);
    let what = json!({
        "ending": end.status.as_str(), "ending_reason": end.reason, "results": end.outputs,
        "changes": node.is_some(),
        "node_status": change.status.map(NodeStatus::as_str),
        "node_reason": change.reason,
        "condition": change.condition.map(Condition::as_str),
        "sets_physical_id": change.physical_id.is_some(),
        "physical_id": change.physical_id.as_ref().and_then(Option::as_ref),
        "generation": change.generation,
        "at_rest": change.at_rest,
        "created": change.created,
        "leave_unbegun": change.leave_unbegun,
    });
    ask(fence, object(what))
}

/// Those of `asked` that the statement ends, if they are still ours.
fn held(locked: Locked) -> String {
    match locked {
        Locked::Wait => " held AS MATERIALIZED (SELECT e.* FROM asked e),".to_owned(),
        Locked::Skip => format!(
            " held AS MATERIALIZED (
                SELECT e.* FROM asked e JOIN actions a ON {}
                JOIN nodes n ON n.id = a.target JOIN node_locks l ON l.action_id = a.id
                FOR NO KEY UPDATE OF a SKIP LOCKED FOR NO KEY UPDATE OF n SKIP LOCKED FOR UPDATE OF l SKIP LOCKED),",
            is_of("e")
        ),
    }
}

/// The parents of each action that was ended.
async fn run(conn: &mut Conn, ends: Vec<Value>, locked: Locked) -> Result<HashMap<Claim, Vec<ActionId>>> {
    let rows: Vec<EndedRow> = Sql::new("WITH asked AS MATERIALIZED (SELECT * FROM jsonb_to_recordset(:ends) AS e(")
        .push(ASKED)
        .push(
            ", ending text, ending_reason text, results jsonb, changes boolean, node_status text, node_reason text,
            condition text, sets_physical_id boolean, physical_id text, generation integer, at_rest boolean,
            created boolean, leave_unbegun boolean)),",
        )
        .push(&held(locked))
        .push(
            "
        ended AS (
            UPDATE actions a SET status = h.ending, status_reason = h.ending_reason, outputs = a.outputs || h.results,
                owner = NULL, lease_expires_at = NULL, ended_at = now(), updated_at = now()
            FROM held h WHERE",
        )
        .push(&is_of("h"))
        .push(
            "RETURNING a.*),
        node AS (
            UPDATE nodes n SET
                status = coalesce(h.node_status, n.status),
                status_reason = CASE WHEN h.node_status IS NULL THEN n.status_reason ELSE h.node_reason END,
                condition = coalesce(h.condition, n.condition),
                physical_id = CASE WHEN h.sets_physical_id THEN h.physical_id ELSE n.physical_id END,
                generation = coalesce(h.generation, n.generation),
                at_rest = coalesce(h.at_rest, n.at_rest),
                created_at = CASE WHEN h.created THEN coalesce(n.created_at, now()) ELSE n.created_at END,
                cluster_id = CASE WHEN h.leave_unbegun AND n.status = 'INIT' THEN NULL ELSE n.cluster_id END,
                index = CASE WHEN h.leave_unbegun AND n.status = 'INIT' THEN -1 ELSE n.index END,
                updated_at = CASE WHEN n.created_at IS NULL THEN n.updated_at ELSE now() END
            FROM ended e JOIN held h ON h.act = e.id AND h.claim = e.attempt WHERE n.id = e.target AND h.changes)",
        )
        .push(&end::released())
        .push(" SELECT e.id, e.attempt, d.dependent FROM ended e LEFT JOIN edges d ON d.depended = e.id")
        .set("ends", Value::Array(ends))
        .fetch_all(conn)
        .await?;
    let mut parents: HashMap<Claim, Vec<ActionId>> = HashMap::new();
    for row in rows {
        let of = parents.entry((row.id.into(), row.attempt)).or_default();
        of.extend(row.dependent.map(ActionId::from));
    }
    Ok(parents)
}

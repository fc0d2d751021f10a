//! The transitional status of an action's node; of many, in one statement.

use std::collections::HashSet;

use diesel::sql_types::{Integer, Uuid as SqlUuid};
use senlin_core::node::NodeStatus;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{ASKED, Fence, Locked, ask, is_of, ours};
use crate::{
    Conn, Result,
    leases::Claim,
    object,
    run::Run,
    sql::{Sql, row},
};

/// The status that an action gives its node while it works on it.
#[derive(Debug, Clone)]
pub struct Mark {
    /// Whose.
    pub fence: Fence,
    /// The status.
    pub status: NodeStatus,
    /// Why.
    pub reason: String,
}

row! { MarkedRow { act: Uuid = SqlUuid, claim: i32 = Integer } }

/// Puts the action's node into a transitional status.
///
/// # Errors
/// [`crate::DbError::LeaseLost`].
pub async fn node_status(conn: &mut Conn, mark: &Mark) -> Result<()> {
    ours(run(conn, std::slice::from_ref(mark), Locked::Wait).await?.len())
}

/// As [`node_status`], for many. It waits for nobody: false for one that is not
/// ours any more, or whose node has gone or is locked by somebody else.
///
/// # Errors
/// When the database refuses one of them: none was changed then.
pub async fn node_statuses(conn: &mut Conn, marks: &[Mark]) -> Result<Vec<bool>> {
    let marked = run(conn, marks, Locked::Skip).await?;
    let is_marked = |m: &Mark| marked.contains(&(m.fence.action, m.fence.attempt));
    Ok(marks.iter().map(is_marked).collect())
}

async fn run(conn: &mut Conn, marks: &[Mark], locked: Locked) -> Result<HashSet<Claim>> {
    let asked = marks.iter().map(|m| {
        let what = json!({"node_status": m.status.as_str(), "node_reason": m.reason});
        ask(m.fence, object(what))
    });
    let asked = Value::Array(asked.collect());
    let free = match locked {
        Locked::Wait => "",
        Locked::Skip => " FOR NO KEY UPDATE OF n SKIP LOCKED",
    };
    let rows: Vec<MarkedRow> = Sql::new("WITH asked AS MATERIALIZED (SELECT * FROM jsonb_to_recordset(:marks) AS e(")
        .push(ASKED)
        .push(
            ", node_status text, node_reason text)),
        held AS MATERIALIZED (
            SELECT e.*, n.id AS node FROM asked e JOIN actions a ON",
        )
        .push(&is_of("e"))
        .push("JOIN nodes n ON n.id = a.target")
        .push(free)
        .push(
            ")
        UPDATE nodes n SET status = h.node_status, status_reason = h.node_reason
        FROM held h WHERE n.id = h.node RETURNING h.act, h.claim",
        )
        .set("marks", asked)
        .fetch_all(conn)
        .await?;
    Ok(rows.into_iter().map(|row| (row.act.into(), row.claim)).collect())
}

//! The queue of actions: claiming, keeping, handing back and ending them.
//!
//! The rows are the truth; a message on the bus is only a hint. A claim
//! ([`claim_nodes`], [`claim_cluster`]) is one short statement with `SKIP
//! LOCKED`; what follows is fenced by owner and attempt. `docs/actions.md` has
//! the life cycle.
//!
//! A statement that locks several rows locks them in this order, so that no
//! two of them wait for each other: actions, dependencies, locks, nodes,
//! clusters, what hosts have promised; within a table by id. Claims and the
//! end of many node actions wait for none of them: they skip what is locked.

use diesel::sql_types::{Bool, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use senlin_core::{
    Time,
    action::{Action, ActionKind, ActionStatus},
    ids::*,
};
use serde_json::Value;
use uuid::Uuid;

use crate::{Conn, DbError, Result, object, sql::row, statements::promote_parents::promote_parents};

mod claim;
pub(crate) mod end;
mod sweep;

pub use claim::{claim_cluster, claim_nodes};
pub use sweep::{Swept, sweep};

row! { ClaimedRow {
    id: Uuid = SqlUuid,
    name: String = Text,
    action: String = Text,
    target: Uuid = SqlUuid,
    cluster_id: Option<Uuid> = Nullable<SqlUuid>,
    parent_id: Option<Uuid> = Nullable<SqlUuid>,
    cause: String = Text,
    status_reason: String = Text,
    phase: String = Text,
    cancel: bool = Bool,
    inputs: Value = Jsonb,
    outputs: Value = Jsonb,
    data: Value = Jsonb,
    owner: Option<Uuid> = Nullable<SqlUuid>,
    attempt: i32 = Integer,
    retries: i32 = Integer,
    timeout: i32 = Integer,
    user_id: String = Text,
    project: String = Text,
    request_id: String = Text,
    created_at: Time = Timestamptz,
    started_at: Option<Time> = Nullable<Timestamptz>,
    remaining: f64 = diesel::sql_types::Double,
}}

/// A claimed action and the seconds left until its timeout.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// The action, RUNNING and ours.
    pub action: Action,
    /// Seconds; negative when the time is up already.
    pub remaining: f64,
}

impl TryFrom<ClaimedRow> for Claimed {
    type Error = DbError;

    fn try_from(row: ClaimedRow) -> Result<Self> {
        let kind = ActionKind::parse(&row.action).ok_or(DbError::Corrupt {
            column: "actions.action",
            value: row.action,
        })?;
        Ok(Self {
            remaining: row.remaining,
            action: Action {
                id: row.id.into(),
                name: row.name,
                kind,
                target: row.target,
                cluster_id: row.cluster_id.map(Into::into),
                parent_id: row.parent_id.map(Into::into),
                cause: row.cause,
                status: ActionStatus::Running,
                status_reason: row.status_reason,
                phase: row.phase,
                cancel: row.cancel,
                inputs: object(row.inputs),
                outputs: object(row.outputs),
                data: object(row.data),
                owner: row.owner.map(Into::into),
                attempt: row.attempt,
                retries: row.retries,
                interval: -1,
                timeout: row.timeout,
                user: row.user_id,
                project: row.project,
                request_id: row.request_id,
                created_at: row.created_at,
                updated_at: None,
                started_at: row.started_at,
                ended_at: None,
                depends_on: Vec::new(),
                depended_by: Vec::new(),
            },
        })
    }
}

/// Bounds on what runs at once, over all engines.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// RUNNING actions of one project.
    pub per_project: i64,
    /// RUNNING actions that talk to one host.
    pub per_host: i64,
    /// Seconds until a claim expires that is not renewed.
    pub lease: i32,
}

row! {
    /// An action, as a statement names it.
    IdRow { id: Uuid = SqlUuid }
}

/// The actions that a statement names.
pub(crate) fn ids(rows: Vec<IdRow>) -> Vec<ActionId> {
    rows.into_iter().map(|r| r.id.into()).collect()
}

/// Makes those of `parents` READY that wait for nothing any more. Called after
/// the commit that ended a child, in a snapshot of its own: whichever child
/// commits last is sure to see every other one's end.
pub async fn promote(conn: &mut Conn, parents: &[ActionId]) -> Result<Vec<ActionId>> {
    if parents.is_empty() {
        return Ok(Vec::new());
    }
    promote_parents(conn, parents).await
}

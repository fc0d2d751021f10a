//! Actions that have ended long ago and those that have not, in one list: an
//! action that moves from one table to the other meanwhile is in it once.

use diesel::sql_types::{Array, Bool, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use senlin_core::{
    Time,
    action::{Action, ActionKind, ActionStatus},
};
use serde_json::Value;
use uuid::Uuid;

use crate::{Conn, DbError, Result, history::all_actions, object, page::Choice, run::Run, sql::row};

row! { ActionRow {
    id: Uuid = SqlUuid,
    name: String = Text,
    action: String = Text,
    target: Uuid = SqlUuid,
    cluster_id: Option<Uuid> = Nullable<SqlUuid>,
    parent_id: Option<Uuid> = Nullable<SqlUuid>,
    cause: String = Text,
    status: String = Text,
    status_reason: String = Text,
    phase: String = Text,
    cancel: bool = Bool,
    inputs: Value = Jsonb,
    outputs: Value = Jsonb,
    data: Value = Jsonb,
    owner: Option<Uuid> = Nullable<SqlUuid>,
    attempt: i32 = Integer,
    retries: i32 = Integer,
    interval: i32 = Integer,
    timeout: i32 = Integer,
    user_id: String = Text,
    project: String = Text,
    request_id: String = Text,
    created_at: Time = Timestamptz,
    updated_at: Option<Time> = Nullable<Timestamptz>,
    started_at: Option<Time> = Nullable<Timestamptz>,
    ended_at: Option<Time> = Nullable<Timestamptz>,
    depends_on: Vec<Uuid> = Array<SqlUuid>,
    depended_by: Vec<Uuid> = Array<SqlUuid>,
}}

const SELECT: &str = concat!(
    "SELECT t.id, t.name, t.action, t.target, t.cluster_id, t.parent_id, t.cause, t.status, t.status_reason, t.phase, \
    t.control IS NOT NULL AS cancel, t.inputs, t.outputs, t.data, t.owner, t.attempt, t.retries, t.interval, t.timeout, \
    t.user_id, t.project, t.request_id, t.created_at, t.updated_at, t.started_at, t.ended_at, \
    ARRAY(SELECT d.depended FROM action_dependencies d WHERE d.dependent = t.id ORDER BY d.depended) AS depends_on, \
    ARRAY(SELECT d.dependent FROM action_dependencies d WHERE d.depended = t.id ORDER BY d.dependent) AS depended_by \
    FROM ",
    all_actions!(),
    " t"
);

/// Those that are chosen of `t`.
pub(crate) async fn select_actions(conn: &mut Conn, choice: Choice) -> Result<Vec<ActionRow>> {
    choice.of(SELECT).fetch_all(conn).await
}

impl TryFrom<ActionRow> for Action {
    type Error = DbError;

    fn try_from(row: ActionRow) -> Result<Self> {
        Ok(Self {
            id: row.id.into(),
            name: row.name,
            kind: ActionKind::parse(&row.action).ok_or(DbError::Corrupt {
                column: "actions.action",
                value: row.action,
            })?,
            target: row.target,
            cluster_id: row.cluster_id.map(Into::into),
            parent_id: row.parent_id.map(Into::into),
            cause: row.cause,
            status: ActionStatus::parse(&row.status).ok_or(DbError::Corrupt {
                column: "actions.status",
                value: row.status,
            })?,
            status_reason: row.status_reason,
            phase: row.phase,
            cancel: row.cancel,
            inputs: object(row.inputs),
            outputs: object(row.outputs),
            data: object(row.data),
            owner: row.owner.map(Into::into),
            attempt: row.attempt,
            retries: row.retries,
            interval: row.interval,
            timeout: row.timeout,
            user: row.user_id,
            project: row.project,
            request_id: row.request_id,
            created_at: row.created_at,
            updated_at: row.updated_at,
            started_at: row.started_at,
            ended_at: row.ended_at,
            depends_on: row.depends_on.into_iter().map(Into::into).collect(),
            depended_by: row.depended_by.into_iter().map(Into::into).collect(),
        })
    }
}

//! Lifecycle hooks: a member is asked before it goes, and goes when it has
//! answered or its time is up.

use diesel::sql_types::{Jsonb, Nullable, Text, Uuid as SqlUuid};
use senlin_core::{Map, ids::*};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    Conn, Result,
    events::Record,
    fence::{self, FENCED, Fence, Fenced},
    object,
    run::Run,
    sql::{Sql, row},
};

row! { QuestionRow {
    id: Uuid = SqlUuid,
    node_id: Uuid = SqlUuid,
    node_name: String = Text,
    physical_id: Option<String> = Nullable<Text>,
    cluster_id: Option<Uuid> = Nullable<SqlUuid>,
    project: String = Text,
    hook: Value = Jsonb,
}}

/// A question to be sent.
#[derive(Debug, Clone)]
pub struct Question {
    /// The action that waits; its id is the token of the answer.
    pub action: ActionId,
    /// The node that is to go.
    pub node: NodeId,
    /// Its name.
    pub node_name: String,
    /// Its container.
    pub physical_id: Option<String>,
    /// Its cluster.
    pub cluster: Option<ClusterId>,
    /// Its project.
    pub project: String,
    /// Whom to ask, as the decision stored it.
    pub hook: Map,
}

/// Takes on questions that have not been sent: each is sent at least once, and
/// again after `again` seconds if whoever took it on did not say it was.
///
/// # Errors
/// When the database does not answer.
pub async fn unsent(conn: &mut Conn, most: i64, again: f64) -> Result<Vec<Question>> {
    let rows: Vec<QuestionRow> = Sql::new(
        "WITH due AS (
            SELECT id FROM actions WHERE status = 'WAITING_LIFECYCLE_COMPLETION' AND data->'hook'->'sent_at' IS NULL
                AND coalesce((data->'hook'->>'try_at')::timestamptz, 'epoch') <= now()
            ORDER BY seq LIMIT ? FOR UPDATE SKIP LOCKED),
        taken AS (
            UPDATE actions a SET data = jsonb_set(a.data, '{hook,try_at}',
                to_jsonb(now() + make_interval(secs => ?))) FROM due WHERE a.id = due.id RETURNING a.*)
        SELECT t.id, t.target AS node_id, t.target_name AS node_name, n.physical_id, t.cluster_id, t.project,
            t.data->'hook' AS hook
        FROM taken t LEFT JOIN nodes n ON n.id = t.target",
    )
    .bind(most)
    .bind(again)
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| Question {
            action: r.id.into(),
            node: r.node_id.into(),
            node_name: r.node_name,
            physical_id: r.physical_id,
            cluster: r.cluster_id.map(Into::into),
            project: r.project,
            hook: object(r.hook),
        })
        .collect())
}

/// A question was sent.
///
/// # Errors
/// When the database does not answer.
pub async fn sent(conn: &mut Conn, action: ActionId) -> Result<()> {
    Sql::new(
        "UPDATE actions SET data = jsonb_set(data, '{hook,sent_at}', to_jsonb(now()))
        WHERE id = ? AND status = 'WAITING_LIFECYCLE_COMPLETION'",
    )
    .bind(action)
    .run(conn)
    .await?;
    Ok(())
}

/// Follows a list of actions `answered`.
fn go_on() -> String {
    let told = Record {
        from: "answered",
        status: "'lifecycle'",
        ..Record::ACTION
    };
    format!(", told AS ({}) SELECT id FROM answered", told.of_actions())
}

row! { IdRow { id: Uuid = SqlUuid } }

/// The answer has come: the action goes on. False when it did not wait for one.
///
/// # Errors
/// When the database does not answer.
pub async fn answered(conn: &mut Conn, action: ActionId, reason: &str) -> Result<bool> {
    let rows: Vec<IdRow> = Sql::new(
        "WITH answered AS (
            UPDATE actions SET status = 'READY', run_after = now(), updated_at = now(), status_reason = ?
            WHERE id = ? AND status = 'WAITING_LIFECYCLE_COMPLETION' RETURNING *)",
    )
    .push(&go_on())
    .bind(reason)
    .bind(action)
    .fetch_all(conn)
    .await?;
    Ok(!rows.is_empty())
}

/// Still at it: the wait begins anew. False when there was none.
///
/// # Errors
/// When the database does not answer.
pub async fn heartbeat(conn: &mut Conn, action: ActionId) -> Result<bool> {
    let touched = Sql::new(
        "UPDATE actions SET updated_at = now(),
            run_after = now() + make_interval(secs => coalesce((data->'hook'->>'timeout')::float8, 0))
        WHERE id = ? AND status = 'WAITING_LIFECYCLE_COMPLETION'",
    )
    .bind(action)
    .run(conn)
    .await?;
    Ok(touched > 0)
}

/// Those that nobody answered in time, or that are to end, go on.
///
/// # Errors
/// When the database does not answer.
pub(crate) async fn time_out(conn: &mut Conn) -> Result<Vec<ActionId>> {
    let rows: Vec<IdRow> = Sql::new(
        "WITH due AS (
            SELECT id FROM actions
            WHERE status = 'WAITING_LIFECYCLE_COMPLETION' AND (run_after <= now() OR control IS NOT NULL)
            ORDER BY id FOR UPDATE SKIP LOCKED),
        answered AS (
            UPDATE actions a SET status = 'READY', run_after = now(), updated_at = now(),
                status_reason = CASE WHEN control IS NULL
                    THEN 'No answer to the lifecycle hook within ' || coalesce(data->'hook'->>'timeout', '0') || ' s.'
                    ELSE 'Its end was asked for while the lifecycle hook was open.' END
            FROM due WHERE a.id = due.id RETURNING a.*)",
    )
    .push(&go_on())
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|r| r.id.into()).collect())
}

/// Lets the action itself wait for an answer, to go on in `phase`.
///
/// # Errors
/// [`crate::DbError::LeaseLost`].
pub async fn wait(conn: &mut Conn, fence: Fence, phase: &str, hook: &Map) -> Result<()> {
    let touched = Sql::new(
        "UPDATE actions a SET status = 'WAITING_LIFECYCLE_COMPLETION', owner = NULL, lease_expires_at = NULL, phase = :phase,
            data = a.data || jsonb_build_object('hook', :hook), status_reason = 'Waiting for a lifecycle hook.',
            updated_at = now(), cause = 'Derived Action with Lifecycle Hook',
            run_after = now() + make_interval(secs => coalesce((:hook->>'timeout')::float8, 0))
        WHERE",
    )
    .push(FENCED)
    .fence(fence)
    .set("phase", phase)
    .set("hook", hook)
    .run(conn)
    .await?;
    fence::ours(touched)
}

row! { OpenRow { id: Uuid = SqlUuid, hook: Value = Jsonb } }

/// The question that is open for a node, if there is one, with its hook.
///
/// # Errors
/// When the database does not answer.
pub async fn open(conn: &mut Conn, node: NodeId) -> Result<Option<(ActionId, Map)>> {
    let row: Option<OpenRow> = Sql::new(
        "SELECT id, data->'hook' AS hook FROM actions WHERE target = ? AND status = 'WAITING_LIFECYCLE_COMPLETION'",
    )
    .bind(node)
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|r| (r.id.into(), object(r.hook))))
}

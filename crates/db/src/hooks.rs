//! Lifecycle hooks: a member is asked before it goes, and goes when it has
//! answered or its time is up.

use diesel::{
    dsl::{IntervalDsl, now, sql},
    prelude::*,
    sql_types::{Jsonb, Timestamptz},
};
use senlin_core::{Map, Time, action::Cause, ids::*};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    Conn, Result,
    fence::{self, Fence},
    functions::from_now,
    object,
    run::Run,
    schema::actions,
    statements::{
        answer_hook::answer_hook, take_unsent_questions::take_unsent_questions, time_out_hooks::time_out_hooks,
    },
    stored::Document,
};

/// An action that waits for an answer.
const ASKED: &str = "WAITING_LIFECYCLE_COMPLETION";

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
pub async fn unsent(conn: &mut Conn, most: i64, again: f64) -> Result<Vec<Question>> {
    let rows = take_unsent_questions(conn, most, again).await?;
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
pub async fn sent(conn: &mut Conn, action: ActionId) -> Result<()> {
    diesel::update(actions::table.find(action.0).filter(actions::status.eq(ASKED)))
        .set(actions::data.eq(sql::<Jsonb>("jsonb_set(data, '{hook,sent_at}', to_jsonb(now()))")))
        .run(conn)
        .await?;
    Ok(())
}

/// The answer has come: the action goes on. False when it did not wait for one.
pub async fn answered(conn: &mut Conn, action: ActionId, reason: &str) -> Result<bool> {
    answer_hook(conn, action, reason).await
}

/// Still at it: the wait begins anew. False when there was none.
pub async fn heartbeat(conn: &mut Conn, action: ActionId) -> Result<bool> {
    let due = "now() + make_interval(secs => coalesce((data->'hook'->>'timeout')::float8, 0))";
    let touched = diesel::update(actions::table.find(action.0).filter(actions::status.eq(ASKED)))
        .set((
            actions::updated_at.eq(now),
            actions::run_after.eq(sql::<Timestamptz>(due)),
        ))
        .run(conn)
        .await?;
    Ok(touched > 0)
}

/// Those that nobody answered in time, or that are to end, go on.
pub(crate) async fn time_out(conn: &mut Conn) -> Result<Vec<ActionId>> {
    let rows = time_out_hooks(conn).await?;
    Ok(rows.into_iter().map(|r| r.id.into()).collect())
}

/// Lets the action itself wait for an answer, to go on in `phase`.
///
/// # Errors
/// [`crate::DbError::LeaseLost`].
pub async fn wait(conn: &mut Conn, fence: Fence, phase: &str, hook: &Map) -> Result<()> {
    let patience = hook.get("timeout").and_then(Value::as_f64).unwrap_or_default();
    let touched = diesel::update(actions::table.filter(fence::is_ours(fence)))
        .set((
            actions::status.eq(ASKED),
            actions::status_reason.eq("Waiting for a lifecycle hook."),
            actions::owner.eq(None::<Uuid>),
            actions::lease_expires_at.eq(None::<Time>),
            actions::phase.eq(phase),
            actions::data.eq(actions::data.concat(json!({"hook": hook}))),
            actions::cause.eq(Cause::Hooked.as_str()),
            actions::run_after.eq(from_now(patience.seconds())),
            actions::updated_at.eq(now),
        ))
        .run(conn)
        .await?;
    fence::ours(touched)
}

/// The question that is open for a node, if there is one, with its hook.
pub async fn open(conn: &mut Conn, node: NodeId) -> Result<Option<(ActionId, Map)>> {
    let query = actions::table
        .filter(actions::target.eq(node.0))
        .filter(actions::status.eq(ASKED))
        .select((actions::id, actions::data.retrieve_as_object("hook")));
    let row: Option<(Uuid, Document<Map>)> = query.fetch_optional(conn).await?;
    Ok(row.map(|(id, hook)| (id.into(), hook.into())))
}

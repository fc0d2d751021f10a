//! Records actions, all of them or none, members' by index: in the order in
//! which they are to be claimed. No other statement inserts into `actions`.

use senlin_core::action::NewAction;
use serde_json::{Value, json};

use crate::{Conn, Result, run::Run, sql::Sql};

const STATEMENT: &str = "
INSERT INTO actions (id, name, action, target, target_name, cluster_id, parent_id, cause, lock_scope,
    host_id, status, inputs, timeout, user_id, project, request_id, data, run_after)
SELECT r.id, r.name, action, target, coalesce(r.target_name, n.name, c.name, ''), r.cluster_id, parent_id, cause,
    lock_scope, coalesce(r.host_id, n.host_id), r.status, inputs, r.timeout, r.user_id, r.project, request_id,
    CASE WHEN :phase::text = '' THEN '{}'::jsonb ELSE jsonb_build_object('phase', :phase::text) END
        || CASE WHEN r.hook IS NULL THEN '{}'::jsonb ELSE jsonb_build_object('hook', r.hook) END,
    now() + make_interval(secs => coalesce(r.patience, 0))
FROM jsonb_to_recordset(:actions) AS r(id uuid, name text, action text, target uuid, cluster_id uuid,
    parent_id uuid, cause text, lock_scope text, host_id uuid, status text, inputs jsonb, timeout integer,
    user_id text, project text, request_id text, hook jsonb, patience double precision,
    target_name text, nth integer)
LEFT JOIN nodes n ON n.id = r.target LEFT JOIN clusters c ON c.id = r.target
ORDER BY n.index, r.nth";

/// `names` are those of the targets, where they are not recorded yet, in the
/// same order; `phase` marks which wait of the parent the actions belong to.
pub(crate) async fn insert_actions(
    conn: &mut Conn,
    actions: &[NewAction],
    names: &[String],
    phase: &str,
) -> Result<()> {
    let rows = actions.iter().enumerate().map(|(nth, a)| {
        json!({
            "nth": nth, "target_name": names.get(nth),
            "id": a.id, "name": a.name, "action": a.kind.as_str(), "target": a.target,
            "cluster_id": a.cluster_id, "parent_id": a.parent_id, "cause": a.cause.as_str(),
            "lock_scope": a.lock_scope.as_str(), "host_id": a.host_id, "status": a.status.as_str(),
            "inputs": a.inputs, "timeout": a.timeout, "user_id": a.user, "project": a.project,
            "request_id": a.request_id, "hook": a.hook,
            "patience": a.hook.as_ref().and_then(|h| h.get("timeout")),
        })
    });
    Sql::new(STATEMENT)
        .set("phase", phase)
        .set("actions", Value::Array(rows.collect()))
        .run(conn)
        .await?;
    Ok(())
}

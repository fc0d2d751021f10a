//! What ends, and what goes back to the queue, have in common: as text of
//! statements, so that each stays one statement.

use crate::events::Record;

/// Follows a list of actions `ended`: their edges, locks and places in the
/// queue go, and their events are told. `edges` says who depended on which.
pub(crate) fn released() -> String {
    let told = Record {
        from: "ended",
        level: "CASE status WHEN 'SUCCEEDED' THEN 'INFO' WHEN 'CANCELLED' THEN 'WARN' ELSE 'ERROR' END",
        action: "coalesce(inputs->>'operation_name', action)",
        status: "CASE status WHEN 'SUCCEEDED' THEN 'end' ELSE 'error' END",
        reason: "status_reason",
    };
    format!(
        ",
edges AS (
    DELETE FROM action_dependencies d USING ended e WHERE d.depended = e.id OR d.dependent = e.id
    RETURNING d.depended, d.dependent),
node_lock AS (DELETE FROM node_locks l USING ended e WHERE l.action_id = e.id),
cluster_lock AS (DELETE FROM cluster_locks l USING ended e WHERE l.action_id = e.id),
told AS ({})",
        told.of_actions()
    )
}

/// Completes a recursive list `tree` of actions by their descendants.
pub(crate) const DESCENDANTS: &str = " UNION SELECT a.id FROM actions a JOIN tree t ON a.parent_id = t.id)";

/// When an action `a` that goes back to the queue is due: after so many
/// seconds (an expression), but at once when its end was asked for, and not
/// after its own time is up.
pub(crate) fn due(seconds: &str) -> String {
    format!(
        "CASE WHEN a.control IS NOT NULL THEN now() ELSE least(now() + make_interval(secs => {seconds}),
            greatest(now(), a.started_at + make_interval(secs => a.timeout))) END"
    )
}

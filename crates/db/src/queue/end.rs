//! What every end has in common, and the wish that something ends: as text of
//! statements, so that an end stays one statement.

use crate::events::Record;

/// Follows a list of actions `ended`: their edges, locks and places in the
/// queue go, and their events are told. `edges` answers who depended on which.
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

/// Asks for the end of the actions in `tree`. One that waits for its moment (a
/// back-off, a pause) is due at once; one that never began holds no lock, needs
/// none to end, and ends here: what it was to make was not made. Answers
/// `woken`, and each one's parent if that may go on.
pub(crate) const ASKED: &str = ",
asked AS MATERIALIZED (
    SELECT a.id, a.status = 'READY' AND a.attempt = 0 AS idle FROM actions a
    WHERE a.id IN (SELECT id FROM tree) AND a.status NOT IN ('SUCCEEDED', 'FAILED', 'CANCELLED')
    ORDER BY a.id FOR UPDATE),
woken AS (
    UPDATE actions a SET control = 'CANCEL',
        run_after = CASE a.status WHEN 'READY' THEN least(a.run_after, now()) ELSE a.run_after END
    FROM asked WHERE a.id = asked.id AND NOT asked.idle RETURNING a.id),
ended AS (
    UPDATE actions a SET status = 'CANCELLED', status_reason = 'The action was cancelled before it began.',
        control = 'CANCEL', ended_at = now(), updated_at = now()
    FROM asked WHERE a.id = asked.id AND asked.idle RETURNING a.*)";

/// Follows [`ASKED`] and [`released`].
pub(crate) const UNMADE: &str = ",
unmade_nodes AS (
    SELECT n.id, e.status_reason, e.parent_id IS NULL AS uncounted FROM nodes n JOIN ended e ON e.target = n.id
    WHERE e.action = 'NODE_CREATE' AND n.status = 'INIT' ORDER BY n.id FOR NO KEY UPDATE OF n),
node AS (
    -- One that nobody counted as asked for is no member.
    UPDATE nodes n SET status = 'ERROR', status_reason = u.status_reason,
        cluster_id = CASE WHEN u.uncounted THEN NULL ELSE n.cluster_id END,
        index = CASE WHEN u.uncounted THEN -1 ELSE n.index END
    FROM unmade_nodes u WHERE n.id = u.id),
unmade_clusters AS (
    SELECT c.id, e.status_reason FROM clusters c JOIN ended e ON e.target = c.id
    WHERE e.action = 'CLUSTER_CREATE' AND c.status = 'INIT' ORDER BY c.id FOR NO KEY UPDATE OF c),
cluster AS (
    UPDATE clusters c SET status = CASE WHEN c.min_size > 0 THEN 'ERROR' ELSE 'WARNING' END,
        status_reason = u.status_reason
    FROM unmade_clusters u WHERE c.id = u.id)
SELECT id, false AS parent FROM woken UNION ALL SELECT DISTINCT dependent, true FROM edges";

/// When an action `a` that goes back to the queue is due: after so many
/// seconds (an expression), but at once when its end was asked for, and not
/// after its own time is up.
pub(crate) fn due(seconds: &str) -> String {
    format!(
        "CASE WHEN a.control IS NOT NULL THEN now() ELSE least(now() + make_interval(secs => {seconds}),
            greatest(now(), a.started_at + make_interval(secs => a.timeout))) END"
    )
}

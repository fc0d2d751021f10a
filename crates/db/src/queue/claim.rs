//! Claiming: which actions run next, and on whose account.
//!
//! Locks are one row per holder. That a cluster is held alone or shared is a
//! constraint of `cluster_locks`, so a claim need not trust what it saw: it
//! picks what looks free and inserts, and of two that insert at once one has
//! no row. The cluster's and the node's own rows are only kept from going, and
//! are not waited for: most ends delete their lock first and write the cluster's
//! status then, and would wait for a claim that held the cluster and waits for
//! that lock.

use std::sync::LazyLock;

use senlin_core::{action::ActionKind, ids::*};

use super::{Claimed, ClaimedRow, Limits};
use crate::{Conn, DbError, Result, events::Record, sql::Sql};

/// What runs, per project and per host. `here` is on the account of the engine
/// that asks.
const RUNNING: &str = "
running AS MATERIALIZED (
    SELECT project, count(*) AS n, count(*) FILTER (WHERE owner = ?) AS here
    FROM actions WHERE status = 'RUNNING' GROUP BY project),
on_hosts AS MATERIALIZED (
    SELECT host_id, count(*) AS n FROM actions
    WHERE status = 'RUNNING' AND host_id IS NOT NULL GROUP BY host_id)";

/// A project may run on an engine at most this many times what it leaves free
/// there. However many projects wait for something slow, one that comes later
/// finds a slot; one that is alone gets three quarters.
const SHARE: i64 = 3;

/// The claim's common end: mark the rows, write the start event, answer them.
static TAKE: LazyLock<String> = LazyLock::new(|| {
    let started = Record {
        from: "taken",
        action: "coalesce(inputs->>'operation_name', action)",
        status: "CASE WHEN attempt = 1 THEN 'start' ELSE 'resume' END",
        reason: "left(id::text, 8) || coalesce(': ' || (inputs->>'because'), '')",
        ..Record::ACTION
    };
    format!(
        "
taken AS (
    UPDATE actions a SET status = 'RUNNING', owner = ?, attempt = attempt + 1,
        status_reason = 'The action is being processed.', updated_at = now(),
        started_at = coalesce(a.started_at, now()),
        lease_expires_at = now() + make_interval(secs => ?)
    FROM locked WHERE a.id = locked.id
    RETURNING a.*),
started AS ({})
SELECT id, name, action, target, cluster_id, parent_id, cause, status_reason, phase,
    control IS NOT NULL AS cancel, inputs, outputs, data, owner, attempt, retries, timeout, user_id,
    project, request_id, created_at, started_at,
    extract(epoch FROM started_at + make_interval(secs => timeout) - now())::float8 AS remaining
FROM taken ORDER BY seq",
        started.of_actions()
    )
});

/// What this release knows how to do: while releases are mixed, the newer one
/// takes the rest.
fn known() -> Vec<String> {
    ActionKind::ALL.iter().map(|kind| kind.as_str().to_owned()).collect()
}

/// Claims up to `most` actions (the caller's free slots) that need only their
/// node's lock: children and actions on orphans. Projects take turns, the one
/// with the least that runs first, each within its limit and its share.
///
/// # Errors
/// When the database does not answer.
pub async fn claim_nodes(conn: &mut Conn, owner: ServiceId, most: i64, limits: Limits) -> Result<Vec<Claimed>> {
    // More than `most` are looked at, so that several who claim at once need
    // not want the same rows, but each project's first ones only; no more than
    // `most` are locked.
    let rows: Vec<ClaimedRow> = Sql::new(
        "WITH RECURSIVE projects AS (
            (SELECT project FROM actions WHERE status = 'READY' AND lock_scope = 'NODE' ORDER BY project LIMIT 1)
            UNION ALL
            SELECT (SELECT a.project FROM actions a WHERE a.status = 'READY' AND a.lock_scope = 'NODE'
                    AND a.project > p.project ORDER BY a.project LIMIT 1)
            FROM projects p WHERE p.project IS NOT NULL),",
    )
    .push(RUNNING)
    .push(
        ",
        room AS (
            SELECT p.project, greatest(8, 4 * ? / count(*) OVER ()) AS look, coalesce(r.n, 0) AS n,
                coalesce(r.here, 0) AS here
            FROM projects p LEFT JOIN running r USING (project)
            WHERE p.project IS NOT NULL AND coalesce(r.n, 0) < ?),
        candidates AS MATERIALIZED (
            SELECT c.*, r.n, r.here FROM room r CROSS JOIN LATERAL (
                SELECT a.id, a.host_id, a.project, a.seq, a.attempt FROM actions a
                WHERE a.status = 'READY' AND a.project = r.project AND a.lock_scope = 'NODE'
                    AND a.run_after <= now() AND a.action = ANY (?)
                    AND (a.host_id IS NULL OR a.host_id NOT IN (SELECT host_id FROM on_hosts WHERE n >= ?))
                    AND NOT EXISTS (SELECT 1 FROM node_locks l
                        WHERE l.node_id = a.target AND l.action_id <> a.id)
                ORDER BY a.seq LIMIT r.look) c),
        ranked AS MATERIALIZED (
            SELECT id, seq, attempt, n, here, n + row_number() OVER (PARTITION BY project ORDER BY seq) AS turn,
                CASE WHEN host_id IS NULL THEN 0 ELSE row_number() OVER (PARTITION BY host_id ORDER BY seq)
                    + coalesce((SELECT b.n FROM on_hosts b WHERE b.host_id = candidates.host_id), 0)
                END AS on_host
            FROM candidates),
        listed AS MATERIALIZED (
            SELECT * FROM ranked WHERE on_host <= ? ORDER BY turn, seq LIMIT 4 * ?),
        picked AS MATERIALIZED (
            SELECT a.id, a.target, a.project, a.seq, r.turn, r.n, r.here FROM actions a
            JOIN listed r ON r.id = a.id AND r.attempt = a.attempt JOIN nodes n ON n.id = a.target
            WHERE a.id = ANY (ARRAY(SELECT id FROM listed)) AND a.status = 'READY'
            ORDER BY r.turn, r.seq LIMIT ?
            FOR UPDATE OF a SKIP LOCKED FOR KEY SHARE OF n SKIP LOCKED),
        kept AS (
            SELECT id, target, seq FROM (
                SELECT p.*, row_number() OVER (PARTITION BY project ORDER BY seq) AS nth,
                    row_number() OVER (ORDER BY turn, seq) AS place FROM picked p) AS x
            WHERE n + nth <= ? AND (here = 0 AND nth = 1 OR here + nth <= ? * (? - place))),
        locked AS (
            INSERT INTO node_locks AS l (node_id, action_id)
            SELECT DISTINCT ON (target) target, id FROM kept ORDER BY target, seq
            ON CONFLICT (node_id) DO UPDATE SET action_id = excluded.action_id
                WHERE l.action_id = excluded.action_id
            RETURNING action_id AS id),",
    )
    .push(&TAKE)
    .bind(owner)
    .bind(most)
    .bind(limits.per_project)
    .bind(known())
    .bind(limits.per_host)
    .bind(limits.per_host)
    .bind(most)
    .bind(most)
    .bind(limits.per_project)
    .bind(SHARE)
    .bind(most)
    .bind(owner)
    .bind(f64::from(limits.lease))
    .load(conn)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Claims the next action that needs its cluster's lock, alone (cluster
/// actions) or shared (actions that users ask of a member). `free`: the
/// caller's slots. The project with the least that runs has its turn; a member
/// does not overtake an older action on its cluster.
///
/// # Errors
/// When the database does not answer.
pub async fn claim_cluster(conn: &mut Conn, owner: ServiceId, free: i64, limits: Limits) -> Result<Option<Claimed>> {
    let claim = Sql::new(
        "WITH RECURSIVE projects AS (
            (SELECT project FROM actions WHERE status = 'READY' AND lock_scope <> 'NODE' ORDER BY project LIMIT 1)
            UNION ALL
            SELECT (SELECT a.project FROM actions a WHERE a.status = 'READY' AND a.lock_scope <> 'NODE'
                    AND a.project > p.project ORDER BY a.project LIMIT 1)
            FROM projects p WHERE p.project IS NOT NULL),",
    )
    .push(RUNNING)
    .push(
        ",
        room AS (
            SELECT p.project, coalesce(r.n, 0) AS running FROM projects p LEFT JOIN running r USING (project)
            WHERE p.project IS NOT NULL AND coalesce(r.n, 0) < ?
                AND (coalesce(r.here, 0) = 0 OR r.here < ? * (? - 1))),
        candidates AS MATERIALIZED (
            SELECT c.*, r.running FROM room r CROSS JOIN LATERAL (
                SELECT a.id, a.attempt FROM actions a
                WHERE a.status = 'READY' AND a.project = r.project AND a.lock_scope <> 'NODE'
                    AND a.run_after <= now() AND a.action = ANY (?)
                    AND EXISTS (SELECT 1 FROM clusters c WHERE c.id = a.cluster_id)
                    AND NOT EXISTS (SELECT 1 FROM cluster_locks l WHERE l.cluster_id = a.cluster_id
                        AND l.action_id <> a.id AND (l.exclusive OR a.lock_scope = 'CLUSTER'))
                    AND (a.lock_scope = 'CLUSTER' OR (
                        EXISTS (SELECT 1 FROM nodes n WHERE n.id = a.target)
                        AND NOT EXISTS (SELECT 1 FROM node_locks l WHERE l.node_id = a.target AND l.action_id <> a.id)
                        AND (a.host_id IS NULL OR a.host_id NOT IN (SELECT host_id FROM on_hosts WHERE n >= ?))
                        AND (EXISTS (SELECT 1 FROM cluster_locks l WHERE l.action_id = a.id)
                            OR NOT EXISTS (SELECT 1 FROM actions w WHERE w.cluster_id = a.cluster_id
                                AND w.status = 'READY' AND w.lock_scope = 'CLUSTER' AND w.seq < a.seq
                                AND w.run_after <= now()))))
                ORDER BY a.seq LIMIT 8) c),
        picked AS MATERIALIZED (
            SELECT a.id, a.cluster_id, a.target, a.lock_scope FROM actions a
            JOIN candidates c ON c.id = a.id AND c.attempt = a.attempt JOIN clusters k ON k.id = a.cluster_id
            WHERE a.id = ANY (ARRAY(SELECT id FROM candidates)) AND a.status = 'READY'
            ORDER BY c.running, a.seq LIMIT 1
            FOR UPDATE OF a SKIP LOCKED FOR KEY SHARE OF k SKIP LOCKED),
        cluster AS (
            INSERT INTO cluster_locks (cluster_id, action_id, exclusive)
            SELECT cluster_id, id, lock_scope = 'CLUSTER' FROM picked ON CONFLICT DO NOTHING RETURNING action_id),
        member AS MATERIALIZED (
            SELECT n.id, p.id AS action_id FROM nodes n JOIN picked p ON n.id = p.target
            WHERE p.lock_scope = 'MEMBER' FOR KEY SHARE OF n SKIP LOCKED),
        node AS (
            INSERT INTO node_locks AS l (node_id, action_id) SELECT id, action_id FROM member
            ON CONFLICT (node_id) DO UPDATE SET action_id = excluded.action_id
                WHERE l.action_id = excluded.action_id
            RETURNING action_id),
        locked AS (
            SELECT id FROM picked p
            WHERE (EXISTS (SELECT 1 FROM cluster) OR EXISTS (SELECT 1 FROM cluster_locks l WHERE l.action_id = p.id))
                AND (lock_scope = 'CLUSTER' OR EXISTS (SELECT 1 FROM node))),",
    )
    .push(&TAKE)
    .bind(owner)
    .bind(limits.per_project)
    .bind(SHARE)
    .bind(free)
    .bind(known())
    .bind(limits.per_host)
    .bind(owner)
    .bind(f64::from(limits.lease));
    conn.transaction(async |conn| {
        let row: Option<ClaimedRow> = claim.first(conn).await?;
        // A lock may have been taken without its pair: undo it.
        row.map(TryInto::try_into).transpose()?.ok_or(DbError::LeaseLost)
    })
    .await
    .map_or_else(
        |error| match error {
            DbError::LeaseLost => Ok(None),
            other => Err(other),
        },
        |claimed| Ok(Some(claimed)),
    )
}

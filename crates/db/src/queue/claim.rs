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
use crate::{Conn, DbError, Result, events::Record, run::Run, sql::Sql};

/// What runs, per project and per host. `here` is on the account of the engine
/// that asks.
const RUNNING: &str = "
at_work AS MATERIALIZED (SELECT project, host_id, owner FROM actions WHERE status = 'RUNNING'),
running AS MATERIALIZED (
    SELECT project, count(*) AS n, count(*) FILTER (WHERE owner = :owner) AS here FROM at_work GROUP BY project),
on_hosts AS MATERIALIZED (
    SELECT host_id, count(*) AS n FROM at_work WHERE host_id IS NOT NULL GROUP BY host_id)";

/// A project may run on an engine at most this many times what it leaves free
/// there. However many projects wait for something slow, one that comes later
/// finds a slot; one that is alone gets three quarters.
const SHARE: i64 = 3;

/// Rows that others who claim at the same moment may have locked.
const OTHERS: i64 = 64;

/// The claim's common end: mark the rows, write the start event, return them.
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
    UPDATE actions a SET status = 'RUNNING', owner = :owner, attempt = attempt + 1,
        status_reason = 'The action is being processed.', updated_at = now(),
        started_at = coalesce(a.started_at, now()),
        lease_expires_at = now() + make_interval(secs => :lease)
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
pub async fn claim_nodes(conn: &mut Conn, owner: ServiceId, most: i64, limits: Limits) -> Result<Vec<Claimed>> {
    // More than `most` are looked at, so that several who claim at once need
    // not want the same rows, but each project's first ones only; no more than
    // `most` are locked. Those are found by id alone: that they are still READY
    // is compared with what was seen, for by the word itself they would be
    // sought among all that are.
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
        shares AS MATERIALIZED (
            SELECT p.project, coalesce(r.n, 0) AS n, coalesce(r.here, 0) AS here,
                least(:per_project - coalesce(r.n, 0), greatest((:share * :most - coalesce(r.here, 0)) / (:share + 1),
                    CASE WHEN r.here > 0 THEN 0 ELSE 1 END)) AS may
            FROM projects p LEFT JOIN running r USING (project) WHERE p.project IS NOT NULL),
        room AS MATERIALIZED (
            SELECT *, greatest(8, 4 * least(may, :most / count(*) OVER ()) + :others / count(*) OVER ()) AS look
            FROM shares WHERE may > 0),
        candidates AS MATERIALIZED (
            SELECT c.*, r.n, r.here FROM room r CROSS JOIN LATERAL (
                SELECT a.id, a.status, a.host_id, a.project, a.seq, a.attempt FROM actions a
                WHERE a.status = 'READY' AND a.project = r.project AND a.lock_scope = 'NODE'
                    AND a.run_after <= now() AND a.action = ANY (:known)
                    AND (a.host_id IS NULL OR a.host_id NOT IN (SELECT host_id FROM on_hosts WHERE n >= :per_host))
                    AND NOT EXISTS (SELECT 1 FROM node_locks l
                        WHERE l.node_id = a.target AND l.action_id <> a.id)
                ORDER BY a.seq LIMIT r.look) c),
        ranked AS MATERIALIZED (
            SELECT c.id, c.status, c.seq, c.attempt, c.n, c.here,
                c.n + row_number() OVER (PARTITION BY c.project ORDER BY c.seq) AS turn,
                CASE WHEN c.host_id IS NULL THEN 0 ELSE coalesce(h.n, 0)
                    + row_number() OVER (PARTITION BY c.host_id ORDER BY c.seq) END AS on_host
            FROM candidates c LEFT JOIN on_hosts h ON h.host_id = c.host_id),
        listed AS MATERIALIZED (
            SELECT * FROM ranked WHERE on_host <= :per_host ORDER BY turn, seq LIMIT 4 * :most + :others),
        picked AS MATERIALIZED (
            SELECT a.id, a.target, a.project, a.seq, r.turn, r.n, r.here FROM actions a
            JOIN listed r ON r.id = a.id AND r.attempt = a.attempt AND r.status = a.status
            JOIN nodes n ON n.id = a.target
            ORDER BY r.turn, r.seq LIMIT least(:most, (SELECT sum(may) FROM room)::bigint)
            FOR UPDATE OF a SKIP LOCKED FOR KEY SHARE OF n SKIP LOCKED),
        kept AS (
            SELECT id, target, seq FROM (
                SELECT p.*, row_number() OVER (PARTITION BY project ORDER BY seq) AS nth,
                    row_number() OVER (ORDER BY turn, seq) AS place FROM picked p) AS x
            WHERE n + nth <= :per_project
                AND (here = 0 AND nth = 1 OR here + nth <= :share * (:most - place))),
        locked AS (
            INSERT INTO node_locks AS l (node_id, action_id)
            SELECT DISTINCT ON (target) target, id FROM kept ORDER BY target, seq
            ON CONFLICT (node_id) DO UPDATE SET action_id = excluded.action_id
                WHERE l.action_id = excluded.action_id
            RETURNING action_id AS id),",
    )
    .push(&TAKE)
    .set("owner", owner)
    .set("lease", f64::from(limits.lease))
    .set("known", known())
    .set("most", most)
    .set("per_project", limits.per_project)
    .set("per_host", limits.per_host)
    .set("share", SHARE)
    .set("others", OTHERS)
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Claims the next action that needs its cluster's lock, alone (cluster
/// actions) or shared (actions that users ask of a member). `free`: the
/// caller's slots. The project with the least that runs has its turn; a member
/// does not overtake an older action on its cluster.
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
            WHERE p.project IS NOT NULL AND coalesce(r.n, 0) < :per_project
                AND (coalesce(r.here, 0) = 0 OR r.here < :share * (:free - 1))),
        candidates AS MATERIALIZED (
            SELECT c.*, r.running FROM room r CROSS JOIN LATERAL (
                SELECT a.id, a.status, a.attempt FROM actions a
                WHERE a.status = 'READY' AND a.project = r.project AND a.lock_scope <> 'NODE'
                    AND a.run_after <= now() AND a.action = ANY (:known)
                    AND EXISTS (SELECT 1 FROM clusters c WHERE c.id = a.cluster_id)
                    AND NOT EXISTS (SELECT 1 FROM cluster_locks l WHERE l.cluster_id = a.cluster_id
                        AND l.action_id <> a.id AND (l.exclusive OR a.lock_scope = 'CLUSTER'))
                    AND (a.lock_scope = 'CLUSTER' OR (
                        EXISTS (SELECT 1 FROM nodes n WHERE n.id = a.target)
                        AND NOT EXISTS (SELECT 1 FROM node_locks l WHERE l.node_id = a.target AND l.action_id <> a.id)
                        AND (a.host_id IS NULL OR a.host_id NOT IN (SELECT host_id FROM on_hosts WHERE n >= :per_host))
                        AND (EXISTS (SELECT 1 FROM cluster_locks l WHERE l.action_id = a.id)
                            OR NOT EXISTS (SELECT 1 FROM actions w WHERE w.cluster_id = a.cluster_id
                                AND w.status = 'READY' AND w.lock_scope = 'CLUSTER' AND w.seq < a.seq
                                AND w.run_after <= now()))))
                ORDER BY a.seq LIMIT 8) c),
        picked AS MATERIALIZED (
            SELECT a.id, a.cluster_id, a.target, a.lock_scope FROM actions a
            JOIN candidates c ON c.id = a.id AND c.attempt = a.attempt AND c.status = a.status
            JOIN clusters k ON k.id = a.cluster_id
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
    .set("owner", owner)
    .set("lease", f64::from(limits.lease))
    .set("known", known())
    .set("free", free)
    .set("per_project", limits.per_project)
    .set("per_host", limits.per_host)
    .set("share", SHARE);
    conn.transaction(async |conn| {
        let row: Option<ClaimedRow> = claim.fetch_optional(conn).await?;
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

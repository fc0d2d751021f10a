//! The queue of actions: claiming, keeping, handing back and ending them.
//!
//! The rows are the truth; a message on the bus is only a hint. A claim is one
//! short statement with `SKIP LOCKED`; what follows is fenced by owner and
//! attempt. `docs/actions.md` has the life cycle.

use diesel::sql_types::{Bool, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use senlin_core::{
    Time,
    action::{Action, ActionKind, ActionStatus},
    ids::*,
};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    Conn, DbError, Result, hooks, object,
    sql::{Sql, row},
};

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

/// The claim's common end: mark the rows, write the start event, answer them.
const TAKE: &str = "
taken AS (
    UPDATE actions a SET status = 'RUNNING', owner = ?, attempt = attempt + 1,
        status_reason = 'The action is being processed.', updated_at = now(),
        started_at = coalesce(a.started_at, now()),
        lease_expires_at = now() + make_interval(secs => ?)
    FROM locked WHERE a.id = locked.id
    RETURNING a.*),
started AS (
    INSERT INTO events (oid, oname, otype, cluster_id, level, user_id, project, action, status, status_reason)
    SELECT target, target_name, split_part(action, '_', 1), cluster_id, 'INFO', user_id, project,
        coalesce(inputs->>'operation_name', action), CASE WHEN attempt = 1 THEN 'start' ELSE 'resume' END,
        left(id::text, 8) || coalesce(': ' || (inputs->>'because'), '')
    FROM taken)
SELECT id, name, action, target, cluster_id, parent_id, cause, status_reason, phase,
    control IS NOT NULL AS cancel, inputs, outputs, data, owner, attempt, retries, timeout, user_id,
    project, request_id, created_at, started_at,
    extract(epoch FROM started_at + make_interval(secs => timeout) - now())::float8 AS remaining
FROM taken ORDER BY seq";

/// Claims up to `most` actions that need only their node's lock: children and
/// actions on orphans. Projects take turns, each within its limit.
///
/// # Errors
/// When the database does not answer.
pub async fn claim_nodes(conn: &mut Conn, owner: ServiceId, most: i64, limits: Limits) -> Result<Vec<Claimed>> {
    let rows: Vec<ClaimedRow> = Sql::new(
        "WITH RECURSIVE projects AS (
            (SELECT project FROM actions WHERE status = 'READY' ORDER BY project LIMIT 1)
            UNION ALL
            SELECT (SELECT a.project FROM actions a WHERE a.status = 'READY' AND a.project > p.project
                    ORDER BY a.project LIMIT 1)
            FROM projects p WHERE p.project IS NOT NULL),
        room AS (
            SELECT p.project, least(?, ? - (SELECT count(*) FROM actions r
                WHERE r.status = 'RUNNING' AND r.project = p.project)) AS n
            FROM projects p WHERE p.project IS NOT NULL),
        hosts_busy AS MATERIALIZED (
            SELECT host_id, count(*) AS n FROM actions
            WHERE status = 'RUNNING' AND host_id IS NOT NULL GROUP BY host_id),
        candidates AS MATERIALIZED (
            SELECT c.* FROM room r CROSS JOIN LATERAL (
                SELECT a.id, a.target, a.host_id, a.project, a.seq FROM actions a
                WHERE a.status = 'READY' AND a.project = r.project AND a.lock_scope = 'NODE'
                    AND a.run_after <= now()
                    AND (a.host_id IS NULL OR a.host_id NOT IN
                        (SELECT host_id FROM hosts_busy WHERE n >= ?))
                    AND NOT EXISTS (SELECT 1 FROM node_locks l
                        WHERE l.node_id = a.target AND l.action_id <> a.id)
                ORDER BY a.seq LIMIT greatest(r.n, 0)
                FOR UPDATE SKIP LOCKED) c),
        ranked AS (
            SELECT id, target, seq,
                row_number() OVER (PARTITION BY project ORDER BY seq) AS turn,
                CASE WHEN host_id IS NULL THEN 0 ELSE
                    row_number() OVER (PARTITION BY host_id ORDER BY seq)
                    + coalesce((SELECT n FROM hosts_busy b WHERE b.host_id = candidates.host_id), 0)
                END AS on_host
            FROM candidates),
        picked AS (
            SELECT id, target FROM ranked WHERE on_host <= ? ORDER BY turn, seq LIMIT ?),
        locked AS (
            INSERT INTO node_locks AS l (node_id, action_id)
            SELECT DISTINCT ON (target) target, id FROM picked WHERE EXISTS (SELECT 1 FROM nodes n WHERE n.id = target)
            ON CONFLICT (node_id) DO UPDATE SET action_id = excluded.action_id
                WHERE l.action_id = excluded.action_id
            RETURNING action_id AS id),",
    )
    .push(TAKE)
    .bind(most)
    .bind(limits.per_project)
    .bind(limits.per_host)
    .bind(limits.per_host)
    .bind(most)
    .bind(owner)
    .bind(f64::from(limits.lease))
    .load(conn)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Claims the next action that needs its cluster's lock, alone (cluster
/// actions) or shared (actions that users ask of a member).
///
/// # Errors
/// When the database does not answer.
pub async fn claim_cluster(conn: &mut Conn, owner: ServiceId, limits: Limits) -> Result<Option<Claimed>> {
    conn.transaction(async |conn| {
        let row: Option<ClaimedRow> = Sql::new(
            "WITH busy AS (
                SELECT project FROM actions WHERE status = 'RUNNING' GROUP BY project HAVING count(*) >= ?),
            picked AS (
                SELECT a.id, a.cluster_id, a.target, a.lock_scope FROM actions a
                LEFT JOIN cluster_locks l ON l.cluster_id = a.cluster_id
                WHERE a.status = 'READY' AND a.lock_scope <> 'NODE' AND a.run_after <= now()
                    AND (a.lock_scope = 'CLUSTER' OR a.project NOT IN (SELECT project FROM busy))
                    AND (l.cluster_id IS NULL OR a.id = ANY (l.holders)
                        OR (a.lock_scope = 'MEMBER' AND NOT l.exclusive))
                    AND (a.lock_scope = 'CLUSTER' OR NOT EXISTS (SELECT 1 FROM node_locks n
                        WHERE n.node_id = a.target AND n.action_id <> a.id))
                ORDER BY a.seq LIMIT 1 FOR UPDATE OF a SKIP LOCKED),
            cluster AS (
                INSERT INTO cluster_locks AS l (cluster_id, exclusive, holders)
                SELECT cluster_id, lock_scope = 'CLUSTER', ARRAY[id] FROM picked
                WHERE EXISTS (SELECT 1 FROM clusters c WHERE c.id = picked.cluster_id)
                ON CONFLICT (cluster_id) DO UPDATE SET holders = CASE
                    WHEN excluded.holders <@ l.holders THEN l.holders ELSE l.holders || excluded.holders END
                WHERE excluded.holders <@ l.holders OR NOT (l.exclusive OR excluded.exclusive)
                RETURNING l.cluster_id),
            node AS (
                INSERT INTO node_locks AS l (node_id, action_id)
                SELECT target, id FROM picked JOIN cluster USING (cluster_id)
                WHERE lock_scope = 'MEMBER' AND EXISTS (SELECT 1 FROM nodes n WHERE n.id = target)
                ON CONFLICT (node_id) DO UPDATE SET action_id = excluded.action_id
                    WHERE l.action_id = excluded.action_id
                RETURNING action_id),
            locked AS (
                SELECT id FROM picked JOIN cluster USING (cluster_id)
                WHERE lock_scope = 'CLUSTER' OR EXISTS (SELECT 1 FROM node)),",
        )
        .push(TAKE)
        .bind(limits.per_project)
        .bind(owner)
        .bind(f64::from(limits.lease))
        .first(conn)
        .await?;
        match row {
            Some(row) => Ok(Some(row.try_into()?)),
            // A lock may have been taken without its pair: undo it.
            None => Err(DbError::LeaseLost),
        }
    })
    .await
    .or_else(|error| {
        if matches!(error, DbError::LeaseLost) {
            Ok(None)
        } else {
            Err(error)
        }
    })
}

row! { IdRow { id: Uuid = SqlUuid } }
row! { LeaseRow { id: Uuid = SqlUuid, cancel: bool = Bool } }

/// Actions whose target is gone: nothing can lock them any more. They end here;
/// a deletion has got what it wanted, anything else has failed.
///
/// # Errors
/// When the database does not answer.
pub async fn end_targetless(conn: &mut Conn) -> Result<Vec<ActionId>> {
    let rows: Vec<IdRow> = Sql::new(
        "WITH ended AS (
            UPDATE actions a SET
                status = CASE WHEN action IN ('CLUSTER_DELETE', 'NODE_DELETE') THEN 'SUCCEEDED' ELSE 'FAILED' END,
                status_reason = CASE WHEN action IN ('CLUSTER_DELETE', 'NODE_DELETE')
                    THEN 'It was deleted already.' ELSE 'The target could not be found.' END,
                ended_at = now(), updated_at = now()
            WHERE status = 'READY' AND NOT EXISTS (SELECT 1 FROM nodes n WHERE n.id = a.target)
                AND NOT EXISTS (SELECT 1 FROM clusters c WHERE c.id = a.target)
            RETURNING *),
        edges AS (DELETE FROM action_dependencies d USING ended e WHERE d.depended = e.id RETURNING d.dependent),
        told AS (
            INSERT INTO events (oid, oname, otype, cluster_id, level, user_id, project, action, status, status_reason)
            SELECT target, target_name, split_part(action, '_', 1), cluster_id,
                CASE status WHEN 'SUCCEEDED' THEN 'INFO' ELSE 'ERROR' END, user_id, project, action,
                CASE status WHEN 'SUCCEEDED' THEN 'end' ELSE 'error' END, status_reason FROM ended)
        SELECT DISTINCT dependent AS id FROM edges",
    )
    .load(conn)
    .await?;
    Ok(rows.into_iter().map(|r| r.id.into()).collect())
}

/// Renews every lease of `owner`, and says it is alive. Answers the ids it
/// still holds, each with whether its end has been asked for.
///
/// # Errors
/// When the database does not answer.
pub async fn renew(conn: &mut Conn, owner: ServiceId, lease: i32) -> Result<Vec<(ActionId, bool)>> {
    let rows: Vec<LeaseRow> = Sql::new(
        "WITH alive AS (UPDATE services SET updated_at = now() WHERE id = ?)
        UPDATE actions SET lease_expires_at = now() + make_interval(secs => ?)
        WHERE owner = ? AND status = 'RUNNING' RETURNING id, control IS NOT NULL AS cancel",
    )
    .bind(owner)
    .bind(f64::from(lease))
    .bind(owner)
    .load(conn)
    .await?;
    Ok(rows.into_iter().map(|r| (r.id.into(), r.cancel)).collect())
}

/// The actions of `owner` whose end has been asked for.
///
/// # Errors
/// When the database does not answer.
pub async fn cancelled(conn: &mut Conn, owner: ServiceId) -> Result<Vec<ActionId>> {
    let rows: Vec<IdRow> =
        Sql::new("SELECT id FROM actions WHERE owner = ? AND status = 'RUNNING' AND control IS NOT NULL")
            .bind(owner)
            .load(conn)
            .await?;
    Ok(rows.into_iter().map(|r| r.id.into()).collect())
}

/// What the sweep found and set right.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Swept {
    /// Leases that had run out: READY again.
    pub expired: Vec<ActionId>,
    /// Parents whose children are all done, or whose time is up: READY again.
    pub promoted: Vec<ActionId>,
    /// Actions that are READY and may run now.
    pub ready: bool,
}

row! { ReadyRow { ready: bool = Bool } }

/// Finds what a lost message, a lost engine or a lost moment left behind.
///
/// # Errors
/// When the database does not answer.
pub async fn sweep(conn: &mut Conn) -> Result<Swept> {
    let expired: Vec<IdRow> = Sql::new(
        "WITH lost AS (
            SELECT id FROM actions WHERE status = 'RUNNING' AND lease_expires_at < now()
            ORDER BY id FOR UPDATE SKIP LOCKED),
        back AS (
            UPDATE actions a SET status = 'READY', owner = NULL, lease_expires_at = NULL, retries = retries + 1,
                status_reason = 'The engine that worked on it went silent.', updated_at = now(),
                run_after = now() + make_interval(secs => least(60, power(2, retries) - 1))
            FROM lost WHERE a.id = lost.id RETURNING a.*),
        told AS (
            INSERT INTO events (oid, oname, otype, cluster_id, level, user_id, project, action, status, status_reason)
            SELECT target, target_name, split_part(action, '_', 1), cluster_id, 'WARN', user_id, project,
                action, 'retry', status_reason FROM back)
        SELECT id FROM back",
    )
    .load(conn)
    .await?;
    hooks::time_out(conn).await?;
    let mut promoted = end_targetless(conn).await?;
    promote(conn, &promoted).await?;
    // A deadline wakes the parent; it then ends its children.
    let waiting: Vec<IdRow> = Sql::new(
        "UPDATE actions a SET status = 'READY', updated_at = now()
        WHERE status = 'WAITING' AND (
            NOT EXISTS (SELECT 1 FROM action_dependencies d WHERE d.dependent = a.id)
            OR (phase NOT LIKE 'ending:%'
                AND (control IS NOT NULL OR started_at + make_interval(secs => timeout) < now())))
        RETURNING id",
    )
    .load(conn)
    .await?;
    promoted.extend(waiting.into_iter().map(|r| ActionId::from(r.id)));
    // Databases of an earlier release may hold locks of actions that have ended.
    Sql::new(
        "DELETE FROM cluster_locks l WHERE NOT EXISTS (SELECT 1 FROM actions a WHERE a.id = ANY (l.holders)
            AND a.status NOT IN ('SUCCEEDED', 'FAILED', 'CANCELLED'))",
    )
    .execute(conn)
    .await?;
    let ready: Option<ReadyRow> =
        Sql::new("SELECT EXISTS (SELECT 1 FROM actions WHERE status = 'READY' AND run_after <= now()) AS ready")
            .first(conn)
            .await?;
    Ok(Swept {
        expired: expired.into_iter().map(|r| r.id.into()).collect(),
        promoted,
        ready: ready.is_some_and(|r| r.ready),
    })
}

/// Makes those of `parents` READY that wait for nothing any more. Called after
/// the commit that ended a child, in a snapshot of its own: whichever child
/// commits last is sure to see every other one's end.
///
/// # Errors
/// When the database does not answer.
pub async fn promote(conn: &mut Conn, parents: &[ActionId]) -> Result<Vec<ActionId>> {
    if parents.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<IdRow> = Sql::new(
        "UPDATE actions a SET status = 'READY', updated_at = now()
        WHERE id = ANY (?) AND status = 'WAITING'
            AND NOT EXISTS (SELECT 1 FROM action_dependencies d WHERE d.dependent = a.id)
        RETURNING id",
    )
    .bind(parents)
    .load(conn)
    .await?;
    Ok(rows.into_iter().map(|r| r.id.into()).collect())
}

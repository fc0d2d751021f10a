//! Attempts: what an update is about to do to a node's container, recorded
//! before its host is touched. One writer: the action that holds the node.

use diesel::sql_types::{Array, BigInt, Integer, Nullable, Text, Uuid as SqlUuid};
use senlin_core::{
    Map,
    action::{ActionKind, Cause, LockScope, NewAction},
    ids::*,
    node::Attempt,
    placement::{HostSnapshot, Requirements},
    profile_type::Made,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    Conn, Result, child_actions,
    fence::{self, Fence},
    placement::{self, Place, Try},
    run::Run,
    sql::{Sql, row},
};

row! { AttemptRow { action_id: Uuid = SqlUuid, generation: i32 = Integer, profile_id: Uuid = SqlUuid } }
row! { GenerationRow { generation: i32 = Integer } }
row! { KeptRow {
    cpu_millis: i64 = BigInt,
    memory: i64 = BigInt,
    ports: Vec<i64> = Array<BigInt>,
    protocols: Vec<String> = Array<Text>,
}}

/// Begins an attempt to give `node` the profile, on the host that it is on:
/// its next generation is used up, and until it is settled the ports of both
/// profiles and the larger of both sizes are kept. An attempt that the same
/// action began already is answered as it is.
///
/// `decide` gets the host without the node's own share, none if there is no
/// such host; it must be pure, and its refusal leaves everything as it was.
///
/// # Errors
/// [`crate::DbError::LeaseLost`].
pub async fn begin<E: Send>(
    conn: &mut Conn,
    fence: Fence,
    node: NodeId,
    host: NodeId,
    profile: ProfileId,
    needs: &Requirements,
    decide: impl FnOnce(Option<HostSnapshot>) -> std::result::Result<(), E> + Send,
) -> Result<std::result::Result<Attempt, E>> {
    conn.transaction(async |conn| {
        fence::lock_action(conn, fence).await?;
        let open: Option<AttemptRow> =
            Sql::new("SELECT action_id, generation, profile_id FROM node_attempts WHERE node_id = ? AND action_id = ?")
                .bind(node)
                .bind(fence.action)
                .fetch_optional(conn)
                .await?;
        if let Some(row) = open {
            return Ok(Ok(Attempt {
                action: row.action_id.into(),
                generation: row.generation,
                profile_id: row.profile_id.into(),
            }));
        }
        let there = Requirements {
            host_node: Some(host),
            ports: needs.ports.clone(),
            ..Requirements::default()
        };
        let (found, _) = placement::snapshot(conn, &there, None, Try::Sure).await?;
        let found = found.into_iter().next();
        if let Err(refusal) = decide(without(conn, node, found).await?) {
            return Ok(Err(refusal));
        }
        keep(conn, node, host, needs).await?;
        let row: Option<GenerationRow> = Sql::new(
            "WITH node AS (
                UPDATE nodes SET generations = greatest(generation, generations) + 1 WHERE id = ?
                RETURNING id, generations)
            INSERT INTO node_attempts (node_id, action_id, generation, host_id, profile_id)
            SELECT id, ?, generations, ?, ? FROM node
            ON CONFLICT (node_id) DO UPDATE SET action_id = excluded.action_id, generation = excluded.generation,
                host_id = excluded.host_id, profile_id = excluded.profile_id, begun_at = now(), checked_at = NULL
            RETURNING generation",
        )
        .bind(node)
        .bind(fence.action)
        .bind(host)
        .bind(profile)
        .fetch_optional(conn)
        .await?;
        let generation = row.ok_or(crate::DbError::LeaseLost)?.generation;
        Ok(Ok(Attempt {
            action: fence.action,
            generation,
            profile_id: profile,
        }))
    })
    .await
}

/// The host as it would be without the node.
async fn without(conn: &mut Conn, node: NodeId, host: Option<HostSnapshot>) -> Result<Option<HostSnapshot>> {
    let kept: Option<KeptRow> = Sql::new(
        "SELECT n.cpu_millis, n.memory, p.ports, p.protocols FROM nodes n CROSS JOIN LATERAL (
            SELECT coalesce(array_agg(t.port::bigint ORDER BY t.port, t.protocol), '{}') AS ports,
                coalesce(array_agg(t.protocol ORDER BY t.port, t.protocol), '{}') AS protocols
            FROM host_ports t WHERE t.node_id = n.id) p
        WHERE n.id = ?",
    )
    .bind(node)
    .fetch_optional(conn)
    .await?;
    let (Some(mut host), Some(kept)) = (host, kept) else {
        return Ok(None);
    };
    host.cpu_used -= kept.cpu_millis;
    host.memory_used -= kept.memory;
    let own: Vec<(i64, String)> = kept.ports.into_iter().zip(kept.protocols).collect();
    let is_own = |(port, protocol): &(u16, String)| own.iter().any(|(p, q)| *p == i64::from(*port) && q == protocol);
    host.ports.retain(|taken| !is_own(taken));
    Ok(Some(host))
}

/// Keeps what both profiles need.
async fn keep(conn: &mut Conn, node: NodeId, host: NodeId, needs: &Requirements) -> Result<()> {
    Sql::new("UPDATE nodes SET cpu_millis = greatest(cpu_millis, ?), memory = greatest(memory, ?) WHERE id = ?")
        .bind(needs.cpu_millis)
        .bind(needs.memory)
        .bind(node)
        .run(conn)
        .await?;
    let ports = needs.ports.iter();
    let ports: Vec<Value> = ports
        .map(|(port, protocol)| json!({"port": port, "protocol": protocol}))
        .collect();
    Sql::new(
        "INSERT INTO host_ports (host_id, port, protocol, node_id)
        SELECT ?, r.port, r.protocol, ? FROM jsonb_to_recordset(?) AS r(port integer, protocol text)
        WHERE NOT EXISTS (SELECT 1 FROM host_ports t
            WHERE t.node_id = ? AND t.port = r.port AND t.protocol = r.protocol)",
    )
    .bind(host)
    .bind(node)
    .bind(Value::Array(ports))
    .bind(node)
    .run(conn)
    .await?;
    Ok(())
}

/// What a node has once its attempt is settled.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Its profile.
    pub profile: ProfileId,
    /// Its container, if one is left.
    pub container: Option<Made>,
    /// Its place.
    pub place: Place,
}

/// Settles a node's attempt: profile, container and place become what is left,
/// and what was kept beyond that is free. Call it inside a transaction that
/// holds the fence.
///
/// # Errors
/// When the database does not answer.
pub async fn settle(conn: &mut Conn, node: NodeId, kept: &Kept) -> Result<()> {
    let container = kept.container.as_ref();
    Sql::new(
        "WITH attempt AS (DELETE FROM node_attempts WHERE node_id = ?),
        ports AS (DELETE FROM host_ports WHERE node_id = ?)
        UPDATE nodes SET profile_id = ?, generation = coalesce(?, generation), physical_id = ?,
            generations = greatest(generation, generations),
            status = CASE WHEN ?::text IS NULL AND status = 'ACTIVE' THEN 'ERROR' ELSE status END
        WHERE id = ?",
    )
    .bind(node)
    .bind(node)
    .bind(kept.profile)
    .bind(container.map(|c| c.generation))
    .bind(container.map(|c| c.physical_id.as_str()))
    .bind(container.map(|c| c.physical_id.as_str()))
    .bind(node)
    .run(conn)
    .await?;
    placement::record(conn, &[(node, kept.place.clone())]).await
}

/// As [`settle`], for an action that goes on.
///
/// # Errors
/// [`crate::DbError::LeaseLost`].
pub async fn conclude(conn: &mut Conn, fence: Fence, node: NodeId, kept: &Kept) -> Result<()> {
    conn.transaction(async |conn| {
        fence::lock_action(conn, fence).await?;
        settle(conn, node, kept).await
    })
    .await
}

row! { DueRow {
    id: Uuid = SqlUuid,
    cluster_id: Option<Uuid> = Nullable<SqlUuid>,
    user_id: String = Text,
    project: String = Text,
}}

/// Records a NODE_CHECK for each node on `host` with an attempt that no action
/// works on any more: it settles it. One that does not come to its end is
/// checked again every five minutes.
///
/// # Errors
/// When the database does not answer.
pub async fn check_open(conn: &mut Conn, host: NodeId) -> Result<Vec<ActionId>> {
    conn.transaction(async |conn| {
        let rows: Vec<DueRow> = Sql::new(
            "UPDATE node_attempts t SET checked_at = now() FROM nodes n
            WHERE t.host_id = ? AND n.id = t.node_id
                AND (t.checked_at IS NULL OR t.checked_at < now() - interval '5 minutes')
                AND NOT EXISTS (SELECT 1 FROM node_locks l WHERE l.node_id = n.id)
                AND NOT EXISTS (SELECT 1 FROM actions a WHERE a.target = n.id
                    AND a.status IN ('INIT', 'WAITING', 'READY', 'RUNNING', 'SUSPENDED',
                        'WAITING_LIFECYCLE_COMPLETION'))
            RETURNING n.id, n.cluster_id, n.user_id, n.project",
        )
        .bind(host)
        .fetch_all(conn)
        .await?;
        let checks: Vec<NewAction> = rows.into_iter().map(|row| check_of(row, host)).collect();
        if !checks.is_empty() {
            child_actions::insert_actions(conn, &checks, "").await?;
        }
        Ok(checks.into_iter().map(|c| c.id).collect())
    })
    .await
}

fn check_of(row: DueRow, host: NodeId) -> NewAction {
    let because = "The end of an update is not known.";
    NewAction {
        cluster_id: row.cluster_id.map(Into::into),
        lock_scope: row.cluster_id.map_or(LockScope::Node, |_| LockScope::Member),
        host_id: Some(host),
        inputs: Map::from_iter([("because".to_owned(), because.into())]),
        ..NewAction::unasked(ActionKind::NodeCheck, row.id, Cause::Health, row.user_id, row.project)
    }
}

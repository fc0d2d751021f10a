//! Attempts: what an update is about to do to a node's container, recorded
//! before its host is touched. One writer: the action that holds the node.

use diesel::{
    dsl::array,
    prelude::*,
    sql_types::{BigInt, Integer, Text},
};
use senlin_core::{
    Map,
    action::{ActionKind, Cause, LockScope, NewAction, inputs},
    ids::*,
    node::Attempt,
    placement::{HostSnapshot, Requirements},
    profile_type::Made,
};
use uuid::Uuid;

use crate::{
    Conn, Result, child_actions,
    fence::{self, Fence},
    functions::greatest,
    placement::{self, Place, Try},
    run::Run,
    schema::{host_ports, node_attempts, nodes},
    statements::{
        add_ports::add_ports,
        begin_attempt::begin_attempt,
        settle_attempt::settle_attempt,
        take_attempts::{OpenRow, take_attempts},
    },
};

#[derive(Queryable, Selectable)]
#[diesel(table_name = node_attempts, check_for_backend(diesel::pg::Pg))]
pub(crate) struct AttemptRow {
    #[diesel(deserialize_as = Uuid)]
    action_id: ActionId,
    generation: i32,
    #[diesel(deserialize_as = Uuid)]
    profile_id: ProfileId,
}

impl From<AttemptRow> for Attempt {
    fn from(row: AttemptRow) -> Self {
        Self {
            action: row.action_id,
            generation: row.generation,
            profile_id: row.profile_id,
        }
    }
}

/// Begins an attempt to give `node` the profile, on the host that it is on:
/// its next generation is used up, and until it is settled the ports of both
/// profiles and the larger of both sizes are kept. An attempt that the same
/// action began already is returned as it is.
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
        let own = node_attempts::table
            .find(node.0)
            .filter(node_attempts::action_id.eq(fence.action.0));
        let open: Option<AttemptRow> = own.select(AttemptRow::as_select()).fetch_optional(conn).await?;
        if let Some(open) = open {
            return Ok(Ok(open.into()));
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
        let begun = begin_attempt(conn, node, fence.action, host, profile).await?;
        Ok(Ok(Attempt {
            action: fence.action,
            generation: begun.ok_or(crate::DbError::LeaseLost)?,
            profile_id: profile,
        }))
    })
    .await
}

/// The host as it would be without the node.
async fn without(conn: &mut Conn, node: NodeId, host: Option<HostSnapshot>) -> Result<Option<HostSnapshot>> {
    let ports = host_ports::table
        .filter(host_ports::node_id.eq(nodes::id))
        .order((host_ports::port, host_ports::protocol));
    let kept: Option<(i64, i64, Vec<i32>, Vec<String>)> = nodes::table
        .find(node.0)
        .select((
            nodes::cpu_millis,
            nodes::memory,
            array::<Integer, _>(ports.select(host_ports::port)),
            array::<Text, _>(ports.select(host_ports::protocol)),
        ))
        .fetch_optional(conn)
        .await?;
    let (Some(mut host), Some((cpu_millis, memory, ports, protocols))) = (host, kept) else {
        return Ok(None);
    };
    host.cpu_used -= cpu_millis;
    host.memory_used -= memory;
    let own: Vec<(i32, String)> = ports.into_iter().zip(protocols).collect();
    let is_own = |(port, protocol): &(u16, String)| own.iter().any(|(p, q)| *p == i32::from(*port) && q == protocol);
    host.ports.retain(|taken| !is_own(taken));
    Ok(Some(host))
}

/// Keeps what both profiles need.
async fn keep(conn: &mut Conn, node: NodeId, host: NodeId, needs: &Requirements) -> Result<()> {
    diesel::update(nodes::table.find(node.0))
        .set((
            nodes::cpu_millis.eq(greatest::<BigInt, _, _>(nodes::cpu_millis, needs.cpu_millis)),
            nodes::memory.eq(greatest::<BigInt, _, _>(nodes::memory, needs.memory)),
        ))
        .run(conn)
        .await?;
    add_ports(conn, node, host, &needs.ports).await
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
pub async fn settle(conn: &mut Conn, node: NodeId, kept: &Kept) -> Result<()> {
    settle_attempt(conn, node, kept.profile, kept.container.as_ref()).await?;
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

/// Records a NODE_CHECK for each node on `host` with an attempt that no action
/// works on any more: it settles it. One that does not come to its end is
/// checked again every five minutes.
pub async fn check_open(conn: &mut Conn, host: NodeId) -> Result<Vec<ActionId>> {
    conn.transaction(async |conn| {
        let rows = take_attempts(conn, host).await?;
        let checks: Vec<NewAction> = rows.into_iter().map(|row| check_of(row, host)).collect();
        if !checks.is_empty() {
            child_actions::insert_actions(conn, &checks, "").await?;
        }
        Ok(checks.into_iter().map(|c| c.id).collect())
    })
    .await
}

fn check_of(row: OpenRow, host: NodeId) -> NewAction {
    let reason = "The end of an update is not known.";
    NewAction {
        cluster_id: row.cluster_id.map(Into::into),
        lock_scope: row.cluster_id.map_or(LockScope::Node, |_| LockScope::Member),
        host_id: Some(host),
        inputs: inputs::with_reason(Map::new(), reason.to_owned()),
        ..NewAction::unasked(ActionKind::NodeCheck, row.id, Cause::Health, row.user_id, row.project)
    }
}

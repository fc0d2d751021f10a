//! Hosts: which endpoint is whose, and whether it answers.

use diesel::{
    dsl::{IntervalDsl, case_when, exists, not, now, sql},
    expression::SqlLiteral,
    prelude::*,
    sql_types::{Bool, Nullable, Text, Timestamptz},
};
use senlin_core::{
    Time,
    host::{Host, HostInfo, HostState},
    ids::*,
};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    Conn, DbError, Result,
    fence::{self, Fence},
    run::Run,
    schema::{hosts, installation, leftovers, nodes, profiles, unaccounted_containers},
    statements::{note_silence::note_silence, record_answer::record_answer, take_endpoint},
};

#[derive(Queryable, Selectable)]
#[diesel(table_name = hosts, check_for_backend(diesel::pg::Pg))]
struct HostRow {
    #[diesel(deserialize_as = Uuid)]
    node_id: NodeId,
    #[diesel(select_expression = nodes::profile_id, deserialize_as = Uuid)]
    profile_id: ProfileId,
    endpoint: String,
    #[diesel(select_expression = zone(), select_expression_type = SqlLiteral<Nullable<Text>>)]
    zone: Option<String>,
    #[diesel(select_expression = up(), select_expression_type = SqlLiteral<Bool>)]
    up: bool,
    last_seen: Option<Time>,
    info: Value,
}

/// What the profile says goes before what the host's own engine says.
fn zone() -> SqlLiteral<Nullable<Text>> {
    sql("coalesce(profiles.spec #>> '{properties,zone}', hosts.info #>> '{labels,zone}')")
}

/// It has answered lately.
fn up() -> SqlLiteral<Bool> {
    sql("coalesce(hosts.state = 'UP' AND hosts.last_seen > now() - interval '30 seconds', false)")
}

impl From<HostRow> for Host {
    fn from(row: HostRow) -> Self {
        Self {
            node_id: row.node_id,
            profile_id: row.profile_id,
            endpoint: row.endpoint,
            zone: row.zone,
            state: if row.up { HostState::Up } else { HostState::Unknown },
            last_seen: row.last_seen,
            info: serde_json::from_value::<HostInfo>(row.info).unwrap_or_default(),
        }
    }
}

/// The host that a node is.
pub async fn get(conn: &mut Conn, node: NodeId) -> Result<Option<Host>> {
    let query = hosts::table.inner_join(nodes::table.inner_join(profiles::table));
    let row: Option<HostRow> = query
        .filter(hosts::node_id.eq(node.0))
        .select(HostRow::as_select())
        .fetch_optional(conn)
        .await?;
    Ok(row.map(Into::into))
}

/// Gives the action's node the first endpoint of `pool` that no host has, or
/// the one it has already. None: every one is taken.
///
/// # Errors
/// [`DbError::LeaseLost`].
pub async fn take_endpoint(conn: &mut Conn, fence: Fence, node: NodeId, pool: &[String]) -> Result<Option<String>> {
    conn.transaction(async |conn| {
        fence::lock_action(conn, fence).await?;
        let own = hosts::table.find(node.0).select(hosts::endpoint);
        let own: Option<String> = own.fetch_optional(conn).await?;
        if own.is_some() {
            return Ok(own);
        }
        // Another may take the first free one at the same moment: then the next.
        for _ in pool {
            let taken = take_endpoint::take_endpoint(conn, node, pool).await?;
            let is_beaten = taken.as_ref().is_some_and(|t| t.endpoint.is_none() && t.more);
            if !is_beaten {
                return Ok(taken.and_then(|t| t.endpoint));
            }
        }
        Ok(None)
    })
    .await
}

/// Forgets the endpoint of a host that could not be made.
///
/// # Errors
/// [`DbError::LeaseLost`].
pub async fn release_endpoint(conn: &mut Conn, fence: Fence, node: NodeId) -> Result<()> {
    conn.transaction(async |conn| {
        fence::lock_action(conn, fence).await?;
        diesel::delete(hosts::table.find(node.0)).run(conn).await?;
        Ok(())
    })
    .await
}

/// Takes on the heartbeats that are due: each is made by one engine.
pub async fn due(conn: &mut Conn, every: f64, most: i64) -> Result<Vec<NodeId>> {
    let due = diesel::alias!(hosts as due);
    let free = due
        .filter(due.field(hosts::beat_at).le(now))
        .order(due.field(hosts::beat_at))
        .limit(most)
        .select(due.field(hosts::node_id))
        .for_update()
        .skip_locked();
    let next = now.into_sql::<Timestamptz>() + every.seconds();
    let taken: Vec<Uuid> = diesel::update(hosts::table.filter(hosts::node_id.eq_any(free)))
        .set(hosts::beat_at.eq(next))
        .returning(hosts::node_id)
        .fetch_all(conn)
        .await?;
    Ok(taken.into_iter().map(NodeId).collect())
}

/// What is to be done for a host that has answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered {
    /// It was not known to be up before.
    pub is_back: bool,
    /// Something must still go from it: see [`leftovers`].
    pub has_leftovers: bool,
}

/// A host has answered.
pub async fn answered(conn: &mut Conn, node: NodeId, info: &HostInfo) -> Result<Answered> {
    let info = serde_json::to_value(info).map_err(|e| DbError::Corrupt {
        column: "hosts.info",
        value: e.to_string(),
    })?;
    let before = record_answer(conn, node, info).await?;
    Ok(Answered {
        is_back: before.as_ref().is_some_and(|b| !b.up),
        has_leftovers: before.is_some_and(|b| b.leftovers),
    })
}

/// A host has not answered. Once it has been silent for 30 s it is unknown,
/// and so says its node; nothing on it is taken to have failed. True when that
/// is news.
pub async fn silent(conn: &mut Conn, node: NodeId, reason: &str) -> Result<bool> {
    note_silence(conn, node, &format!("Host unknown: {reason}")).await
}

/// What must still go from a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leftover {
    /// Containers of this node, up to this generation, and the one that it
    /// had, unless that is another node's by now.
    Node(NodeId, i32, Option<String>),
    /// This container, as an operator asked.
    Container(String),
}

/// What must still go from a host: what its nodes left there, and what an
/// operator wants removed.
pub async fn leftovers(conn: &mut Conn, host: NodeId) -> Result<Vec<Leftover>> {
    let taken = exists(nodes::table.filter(nodes::physical_id.eq(leftovers::container_id)));
    let of_nodes = leftovers::table.filter(leftovers::host_id.eq(host.0)).select((
        leftovers::node_id,
        leftovers::generation,
        case_when(not(taken), leftovers::container_id),
        false.into_sql::<Bool>(),
    ));
    let asked = unaccounted_containers::table
        .filter(unaccounted_containers::host_id.eq(host.0))
        .filter(unaccounted_containers::remove_asked_at.is_not_null())
        .select((
            unaccounted_containers::node_id,
            unaccounted_containers::generation,
            unaccounted_containers::container_id.nullable(),
            true.into_sql::<Bool>(),
        ));
    let rows: Vec<(Uuid, i32, Option<String>, bool)> = of_nodes.union_all(asked).fetch_all(conn).await?;
    let leftover = |(node, generation, container, asked)| match container {
        Some(container) if asked => Leftover::Container(container),
        container => Leftover::Node(NodeId(node), generation, container),
    };
    Ok(rows.into_iter().map(leftover).collect())
}

/// A leftover has gone.
pub async fn cleared(conn: &mut Conn, host: NodeId, node: NodeId, generation: i32) -> Result<()> {
    let gone = leftovers::table.find((node.0, host.0));
    diesel::delete(gone.filter(leftovers::generation.eq(generation)))
        .run(conn)
        .await?;
    Ok(())
}

/// This control plane's own id, as containers carry it.
pub async fn installation(conn: &mut Conn) -> Result<Uuid> {
    let id: Option<Uuid> = installation::table
        .select(installation::id)
        .fetch_optional(conn)
        .await?;
    id.ok_or(DbError::Corrupt {
        column: "installation.id",
        value: "nothing".to_owned(),
    })
}

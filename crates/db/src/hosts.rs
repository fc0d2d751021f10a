//! Hosts: which endpoint is whose, and whether it answers.

use diesel::sql_types::{Bool, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
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
    sql::{Sql, row},
};

row! { HostRow {
    node_id: Uuid = SqlUuid,
    profile_id: Uuid = SqlUuid,
    endpoint: String = Text,
    zone: Option<String> = Nullable<Text>,
    up: bool = Bool,
    last_seen: Option<Time> = Nullable<Timestamptz>,
    info: Value = Jsonb,
}}

const SELECT: &str = "SELECT h.node_id, n.profile_id, h.endpoint, h.last_seen, h.info,
    coalesce(p.spec #>> '{properties,zone}', h.info #>> '{labels,zone}') AS zone,
    coalesce(h.state = 'UP' AND h.last_seen > now() - interval '30 seconds', false) AS up
    FROM hosts h JOIN nodes n ON n.id = h.node_id JOIN profiles p ON p.id = n.profile_id";

impl From<HostRow> for Host {
    fn from(row: HostRow) -> Self {
        Self {
            node_id: row.node_id.into(),
            profile_id: row.profile_id.into(),
            endpoint: row.endpoint,
            zone: row.zone,
            state: if row.up { HostState::Up } else { HostState::Unknown },
            last_seen: row.last_seen,
            info: serde_json::from_value::<HostInfo>(row.info).unwrap_or_default(),
        }
    }
}

/// The host that a node is.
///
/// # Errors
/// When the database does not answer.
pub async fn get(conn: &mut Conn, node: NodeId) -> Result<Option<Host>> {
    let row: Option<HostRow> = Sql::new(SELECT)
        .push(" WHERE h.node_id = ?")
        .bind(node)
        .fetch_optional(conn)
        .await?;
    Ok(row.map(Into::into))
}

row! { EndpointRow { endpoint: String = Text } }
row! { FreeRow { endpoint: Option<String> = Nullable<Text>, more: bool = Bool } }

/// Gives the action's node the first endpoint of `pool` that no host has, or
/// the one it has already. None: every one is taken.
///
/// # Errors
/// [`DbError::LeaseLost`].
pub async fn take_endpoint(conn: &mut Conn, fence: Fence, node: NodeId, pool: &[String]) -> Result<Option<String>> {
    conn.transaction(async |conn| {
        fence::lock_action(conn, fence).await?;
        let own: Option<EndpointRow> = Sql::new("SELECT endpoint FROM hosts WHERE node_id = ?")
            .bind(node)
            .fetch_optional(conn)
            .await?;
        if let Some(row) = own {
            return Ok(Some(row.endpoint));
        }
        // Another may take the first free one at the same moment: then the next.
        for _ in pool {
            let row: Option<FreeRow> = Sql::new(
                "WITH free AS MATERIALIZED (
                    SELECT p.url FROM unnest(?) WITH ORDINALITY AS p(url, nth)
                    WHERE NOT EXISTS (SELECT 1 FROM hosts h WHERE h.endpoint = p.url) ORDER BY p.nth LIMIT 1),
                taken AS (
                    INSERT INTO hosts (node_id, endpoint) SELECT ?, url FROM free ON CONFLICT DO NOTHING
                    RETURNING endpoint)
                SELECT (SELECT endpoint FROM taken) AS endpoint, EXISTS (SELECT 1 FROM free) AS more",
            )
            .bind(pool.to_vec())
            .bind(node)
            .fetch_optional(conn)
            .await?;
            match row {
                Some(FreeRow {
                    endpoint: None,
                    more: true,
                }) => {}
                other => return Ok(other.and_then(|r| r.endpoint)),
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
        Sql::new("DELETE FROM hosts WHERE node_id = ?")
            .bind(node)
            .run(conn)
            .await?;
        Ok(())
    })
    .await
}

row! { DueRow { node_id: Uuid = SqlUuid } }

/// Takes on the heartbeats that are due: each is made by one engine.
///
/// # Errors
/// When the database does not answer.
pub async fn due(conn: &mut Conn, every: f64, most: i64) -> Result<Vec<NodeId>> {
    let rows: Vec<DueRow> = Sql::new(
        "UPDATE hosts SET beat_at = now() + make_interval(secs => ?)
        WHERE node_id IN (SELECT node_id FROM hosts WHERE beat_at <= now() ORDER BY beat_at LIMIT ?
            FOR UPDATE SKIP LOCKED)
        RETURNING node_id",
    )
    .bind(every)
    .bind(most)
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|r| r.node_id.into()).collect())
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
///
/// # Errors
/// When the database does not answer.
pub async fn answered(conn: &mut Conn, node: NodeId, info: &HostInfo) -> Result<Answered> {
    let info = serde_json::to_value(info).map_err(|e| DbError::Corrupt {
        column: "hosts.info",
        value: e.to_string(),
    })?;
    let row: Option<UpRow> = Sql::new(
        "WITH before AS (SELECT coalesce(state = 'UP' AND last_seen > now() - interval '30 seconds', false) AS up
            FROM hosts WHERE node_id = ?),
        host AS (UPDATE hosts SET state = 'UP', last_seen = now(), info = ? WHERE node_id = ?),
        node AS (UPDATE nodes SET status = 'ACTIVE', status_reason = 'The host answers again.'
            WHERE id = ? AND status = 'WARNING' AND EXISTS (SELECT 1 FROM before WHERE NOT up))
        SELECT up, EXISTS (SELECT 1 FROM leftovers WHERE host_id = ?) OR EXISTS (SELECT 1
                FROM unaccounted_containers WHERE host_id = ? AND remove_asked_at IS NOT NULL) AS leftovers
        FROM before",
    )
    .bind(node)
    .bind(info)
    .bind(node)
    .bind(node)
    .bind(node)
    .bind(node)
    .fetch_optional(conn)
    .await?;
    Ok(Answered {
        is_back: row.as_ref().is_some_and(|r| !r.up),
        has_leftovers: row.is_some_and(|r| r.leftovers),
    })
}

row! { UpRow { up: bool = Bool, leftovers: bool = Bool } }

/// A host has not answered. Once it has been silent for 30 s it is unknown,
/// and so says its node; nothing on it is taken to have failed. True when that
/// is news.
///
/// # Errors
/// When the database does not answer.
pub async fn silent(conn: &mut Conn, node: NodeId, reason: &str) -> Result<bool> {
    let rows: Vec<DueRow> = Sql::new(
        "WITH host AS (
            UPDATE hosts SET state = 'UNKNOWN' WHERE node_id = ? AND state = 'UP'
                AND last_seen < now() - interval '30 seconds' RETURNING node_id),
        node AS (
            UPDATE nodes n SET status = 'WARNING', status_reason = ?, condition = 'UNKNOWN' FROM host
            WHERE n.id = host.node_id AND n.status = 'ACTIVE')
        SELECT node_id FROM host",
    )
    .bind(node)
    .bind(format!("Host unknown: {reason}"))
    .fetch_all(conn)
    .await?;
    Ok(!rows.is_empty())
}

row! { LeftoverRow {
    node_id: Uuid = SqlUuid,
    generation: i32 = diesel::sql_types::Integer,
    container: Option<String> = Nullable<Text>,
    asked: bool = Bool,
}}

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
///
/// # Errors
/// When the database does not answer.
pub async fn leftovers(conn: &mut Conn, host: NodeId) -> Result<Vec<Leftover>> {
    let rows: Vec<LeftoverRow> = Sql::new(
        "SELECT l.node_id, l.generation, n.container, false AS asked
        FROM leftovers l LEFT JOIN LATERAL (SELECT l.container_id AS container
            WHERE NOT EXISTS (SELECT 1 FROM nodes o WHERE o.physical_id = l.container_id)) n ON true
        WHERE l.host_id = ?
        UNION ALL SELECT node_id, generation, container_id, true FROM unaccounted_containers
            WHERE host_id = ? AND remove_asked_at IS NOT NULL",
    )
    .bind(host)
    .bind(host)
    .fetch_all(conn)
    .await?;
    let leftover = |row: LeftoverRow| match row.container {
        Some(container) if row.asked => Leftover::Container(container),
        container => Leftover::Node(row.node_id.into(), row.generation, container),
    };
    Ok(rows.into_iter().map(leftover).collect())
}

/// A leftover has gone.
///
/// # Errors
/// When the database does not answer.
pub async fn cleared(conn: &mut Conn, host: NodeId, node: NodeId, generation: i32) -> Result<()> {
    Sql::new("DELETE FROM leftovers WHERE host_id = ? AND node_id = ? AND generation = ?")
        .bind(host)
        .bind(node)
        .bind(generation)
        .run(conn)
        .await?;
    Ok(())
}

row! { InstallationRow { id: Uuid = SqlUuid } }

/// This control plane's own id, as containers carry it.
///
/// # Errors
/// When the database does not answer.
pub async fn installation(conn: &mut Conn) -> Result<Uuid> {
    let row: Option<InstallationRow> = Sql::new("SELECT id FROM installation").fetch_optional(conn).await?;
    row.map(|r| r.id).ok_or(DbError::Corrupt {
        column: "installation.id",
        value: "nothing".to_owned(),
    })
}

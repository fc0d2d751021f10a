//! Containers that carry our label, held against the record: those that are
//! known to have gone are to be removed, and those that nothing tells of are
//! kept in a list for an operator, and never touched.

use diesel::sql_types::{Bool, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use senlin_core::{Time, ids::*};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    Conn, Result,
    child_actions::{self, NewNode},
    events::Record,
    placement::{self, Place},
    profiles::{self, NewProfile},
    run::Run,
    sql::{Sql, row},
};

/// Rows that are kept of one host at most: what a host tells is its own word.
pub const MAX_ROWS_PER_HOST: i64 = 1000;

/// Digits of a container's id as Docker shows it.
const SHORT: usize = 12;

/// Seconds after which nothing is known of what has gone: as long as history is kept.
pub const AGE: f64 = 30.0 * 86_400.0;

/// A container with our label, as its host and its labels tell it.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the labels' own words")]
pub struct Labelled {
    pub container: String,
    pub node: NodeId,
    pub generation: i32,
    pub action: Option<ActionId>,
    pub attempt: Option<i32>,
    pub project: Option<String>,
    pub cluster: Option<ClusterId>,
    pub profile: Option<ProfileId>,
    pub name: String,
    pub running: bool,
    /// Seconds since 1970.
    pub created: i64,
}

/// What the record makes of the containers of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Known to have no business there.
    pub remove: Vec<String>,
    /// Listed now for the first time, by name.
    pub new: Vec<String>,
}

row! { JudgedRow { container: String = Text, name: String = Text, remove: bool = Bool } }

/// Each container that was seen on `host`, held against the record. Ask only
/// after having looked at the host.
///
/// One goes for a reason that is recorded: its node was deleted, lives
/// elsewhere, or has another of the generations that were begun for it; and the
/// action that made it is recorded too, or so old that its record has been
/// dropped. Anything else that is not the node's is listed. What an action
/// works on is left alone.
///
/// # Errors
/// When the database does not answer.
pub async fn judge(conn: &mut Conn, host: NodeId, seen: &[Labelled]) -> Result<Verdict> {
    let list: Vec<Value> = seen
        .iter()
        .map(|c| {
            json!({"container": c.container, "node": c.node, "generation": c.generation, "action": c.action,
                "attempt": c.attempt, "project": c.project, "cluster": c.cluster, "profile": c.profile,
                "name": c.name, "running": c.running, "created": c.created})
        })
        .collect();
    let rows: Vec<JudgedRow> = Sql::new(
        "WITH seen AS (
            SELECT s.*, n.id IS NOT NULL AS known, u.id AS listed,
                coalesce(n.host_id = ? AND s.generation IN (n.generation, t.generation), false) AS own,
                coalesce(s.generation <= greatest(n.generation, n.generations), s.generation <= d.generation, false)
                    AS counted,
                to_timestamp(s.created) < now() - make_interval(secs => ?) OR EXISTS (SELECT 1 FROM actions a
                    WHERE a.id = s.action AND a.attempt >= s.attempt) OR EXISTS (SELECT 1 FROM ended_actions e
                    WHERE e.id = s.action AND e.attempt >= s.attempt) AS recorded,
                EXISTS (SELECT 1 FROM node_locks l WHERE l.node_id = s.node) AS busy
            FROM jsonb_to_recordset(?) AS s(container text, node uuid, generation integer, action uuid,
                attempt integer, project text, cluster uuid, profile uuid, name text, running boolean, created bigint)
            LEFT JOIN nodes n ON n.id = s.node LEFT JOIN node_attempts t ON t.node_id = n.id
            LEFT JOIN departed_nodes d ON d.node_id = s.node
            LEFT JOIN unaccounted_containers u ON u.host_id = ? AND u.container_id = s.container),
        -- No longer there, or the node's own by now.
        settled AS (
            DELETE FROM unaccounted_containers u WHERE u.host_id = ?
                AND NOT EXISTS (SELECT 1 FROM seen s WHERE s.container = u.container_id AND NOT s.own)),
        again AS (
            UPDATE unaccounted_containers u SET last_seen = now(), running = s.running FROM seen s
            WHERE u.id = s.listed AND NOT s.own AND u.last_seen < now() - interval '1 minute'),
        new AS (
            INSERT INTO unaccounted_containers (host_id, container_id, node_id, generation, project, cluster_id,
                profile_id, name, running, reason)
            SELECT ?, container, node, generation, project, cluster, profile, name, running,
                CASE WHEN counted THEN 'ACTION_UNKNOWN' WHEN known THEN 'GENERATION_UNKNOWN' ELSE 'NODE_UNKNOWN' END
            FROM seen WHERE NOT own AND NOT busy AND listed IS NULL AND NOT (counted AND recorded)
            ORDER BY container
            LIMIT greatest(0, ? - (SELECT count(*) FROM unaccounted_containers WHERE host_id = ?))
            ON CONFLICT DO NOTHING
            RETURNING container_id, name),
        told AS (",
    )
    .push(
        &Record {
            from: "nodes WHERE id = ? AND EXISTS (SELECT 1 FROM new)",
            level: "'WARN'",
            action: "'NODE_UNACCOUNTED'",
            status: "'error'",
            reason: "(SELECT count(*) || ' containers that the record does not account for, beginning with '
                || min(new.name) FROM new)",
        }
        .of_nodes(),
    )
    .push(
        ")
        SELECT container_id AS container, name, false AS remove FROM new
        UNION ALL SELECT container, name, true FROM seen
            WHERE NOT own AND NOT busy AND listed IS NULL AND counted AND recorded",
    )
    .bind(host)
    .bind(AGE)
    .bind(Value::Array(list))
    .bind(host)
    .bind(host)
    .bind(host)
    .bind(MAX_ROWS_PER_HOST)
    .bind(host)
    .bind(host)
    .fetch_all(conn)
    .await?;
    let mut verdict = Verdict::default();
    for row in rows {
        if row.remove {
            verdict.remove.push(row.container);
        } else {
            verdict.new.push(row.name);
        }
    }
    Ok(verdict)
}

/// Forgets nodes that went so long ago that nothing of them can be left.
///
/// # Errors
/// When the database does not answer.
pub async fn forget(conn: &mut Conn) -> Result<usize> {
    Sql::new("DELETE FROM departed_nodes WHERE departed_at < now() - make_interval(secs => ?)")
        .bind(AGE)
        .run(conn)
        .await
}

/// An unaccounted container has gone from its host, or has a node again.
///
/// # Errors
/// When the database does not answer.
pub async fn removed(conn: &mut Conn, host: NodeId, container: &str) -> Result<()> {
    Sql::new("DELETE FROM unaccounted_containers WHERE host_id = ? AND container_id = ?")
        .bind(host)
        .bind(container)
        .run(conn)
        .await?;
    Ok(())
}

row! { UnaccountedRow {
    id: Uuid = SqlUuid,
    host_id: Uuid = SqlUuid,
    host_name: String = Text,
    container_id: String = Text,
    node_id: Uuid = SqlUuid,
    generation: i32 = Integer,
    project: Option<String> = Nullable<Text>,
    cluster_id: Option<Uuid> = Nullable<SqlUuid>,
    profile_id: Option<Uuid> = Nullable<SqlUuid>,
    name: String = Text,
    running: bool = Bool,
    reason: String = Text,
    first_seen: Time = Timestamptz,
    last_seen: Time = Timestamptz,
    remove_asked_at: Option<Time> = Nullable<Timestamptz>,
    node_known: bool = Bool,
    may_be_there: bool = Bool,
}}

/// A container that the record does not account for.
#[derive(Debug, Clone)]
pub struct Unaccounted {
    /// Its id in the list.
    pub id: Uuid,
    /// Where it is.
    pub host: NodeId,
    /// The host's name.
    pub host_name: String,
    /// Its full id on the host.
    pub container: String,
    /// The node that its label names.
    pub node: NodeId,
    /// As its label says.
    pub generation: i32,
    /// As its label says.
    pub project: Option<String>,
    /// As its label says.
    pub cluster: Option<ClusterId>,
    /// As its label says.
    pub profile: Option<ProfileId>,
    /// Its name on the host.
    pub name: String,
    /// Whether it ran when it was last seen.
    pub running: bool,
    /// `NODE_UNKNOWN`, `GENERATION_UNKNOWN` or `ACTION_UNKNOWN`.
    pub reason: String,
    /// Since when it is listed.
    pub first_seen: Time,
    /// To the minute.
    pub last_seen: Time,
    /// When an operator asked for its removal.
    pub remove_asked_at: Option<Time>,
    /// Its node is recorded.
    pub node_known: bool,
    /// The project that it names may use the host.
    pub may_be_there: bool,
}

const SELECT: &str =
    "SELECT u.*, h.name AS host_name, EXISTS (SELECT 1 FROM nodes n WHERE n.id = u.node_id) AS node_known,
        coalesce(h.project = u.project OR c.shared_with && ARRAY[u.project, '*'], false) AS may_be_there
    FROM unaccounted_containers u JOIN nodes h ON h.id = u.host_id LEFT JOIN clusters c ON c.id = h.cluster_id";

impl From<UnaccountedRow> for Unaccounted {
    fn from(row: UnaccountedRow) -> Self {
        Self {
            id: row.id,
            host: row.host_id.into(),
            host_name: row.host_name,
            container: row.container_id,
            node: row.node_id.into(),
            generation: row.generation,
            project: row.project,
            cluster: row.cluster_id.map(Into::into),
            profile: row.profile_id.map(Into::into),
            name: row.name,
            running: row.running,
            reason: row.reason,
            first_seen: row.first_seen,
            last_seen: row.last_seen,
            remove_asked_at: row.remove_asked_at,
            node_known: row.node_known,
            may_be_there: row.may_be_there,
        }
    }
}

/// A page of them, oldest first: at most `limit` after the one with the id `marker`.
///
/// # Errors
/// When the database does not answer.
pub async fn list(conn: &mut Conn, limit: i64, marker: Option<Uuid>) -> Result<Vec<Unaccounted>> {
    let rows: Vec<UnaccountedRow> = Sql::new(SELECT)
        .push(
            " WHERE ?::uuid IS NULL OR (u.first_seen, u.id) > (SELECT m.first_seen, m.id
                FROM unaccounted_containers m WHERE m.id = ?)
            ORDER BY u.first_seen, u.id LIMIT ?",
        )
        .bind(marker)
        .bind(marker)
        .bind(limit)
        .fetch_all(conn)
        .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// The one with that id in the list, or that id on its host: the first twelve
/// digits will do, where they name one only.
///
/// # Errors
/// When the database does not answer.
pub async fn get(conn: &mut Conn, identity: &str) -> Result<Option<Unaccounted>> {
    let row: Option<UnaccountedRow> = Sql::new(SELECT)
        .push(
            " WHERE u.id = ? OR u.container_id = ? OR (? AND starts_with(u.container_id, ?)
                AND NOT EXISTS (SELECT 1 FROM unaccounted_containers o
                    WHERE starts_with(o.container_id, ?) AND o.id <> u.id))
            ORDER BY u.id",
        )
        .bind(identity.parse::<Uuid>().ok())
        .bind(identity)
        .bind(identity.len() >= SHORT)
        .bind(identity)
        .bind(identity)
        .fetch_optional(conn)
        .await?;
    Ok(row.map(Into::into))
}

/// Asks for the removal of one: its host's next heartbeat carries it out.
///
/// # Errors
/// When the database does not answer.
pub async fn ask_removal(conn: &mut Conn, id: Uuid) -> Result<()> {
    Sql::new("UPDATE unaccounted_containers SET remove_asked_at = coalesce(remove_asked_at, now()) WHERE id = ?")
        .bind(id)
        .run(conn)
        .await?;
    Ok(())
}

/// Why a container was not taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// An action works on its node.
    Busy,
    /// It is not in the list any more.
    Gone,
}

/// The node that the container's label names has it from now on: id,
/// generation, profile and place are set; its other fields stay. `has`: the
/// container that it had when this was decided on; with another one it is busy.
///
/// # Errors
/// A duplicate when the container belongs to another node.
pub async fn repair(
    conn: &mut Conn,
    one: &Unaccounted,
    has: Option<&str>,
    profile: ProfileId,
    place: &Place,
) -> Result<std::result::Result<(), Refusal>> {
    conn.transaction(async |conn| {
        if !is_listed(conn, one).await? {
            return Ok(Err(Refusal::Gone));
        }
        let touched = Sql::new(
            "UPDATE nodes n SET condition = NULL, physical_id = ?, profile_id = ?, generation = ?, generations = greatest(n.generations, ?),
                status = 'WARNING', status_reason = 'Its container was taken back; check the node.', updated_at = now()
            WHERE n.id = ? AND n.physical_id IS NOT DISTINCT FROM ?
                AND NOT EXISTS (SELECT 1 FROM node_locks l WHERE l.node_id = n.id)
                AND NOT EXISTS (SELECT 1 FROM node_attempts t WHERE t.node_id = n.id)",
        )
        .bind(one.container.as_str())
        .bind(profile)
        .bind(one.generation)
        .bind(one.generation)
        .bind(one.node)
        .bind(has)
        .run(conn)
        .await?;
        if touched == 0 {
            return Ok(Err(Refusal::Busy));
        }
        placement::occupy(conn, one.node, place).await?;
        removed(conn, one.host, &one.container).await?;
        Ok(Ok(()))
    })
    .await
}

/// Makes the node that the container's label names, with the profile that it
/// was made from, or a new one; a member of its cluster if that is still there.
///
/// # Errors
/// A duplicate when the container belongs to another node.
pub async fn restore(
    conn: &mut Conn,
    one: &Unaccounted,
    profile: Option<&NewProfile>,
    node: &NewNode,
    place: &Place,
) -> Result<std::result::Result<(), Refusal>> {
    conn.transaction(async |conn| {
        if !is_listed(conn, one).await? {
            return Ok(Err(Refusal::Gone));
        }
        if let Some(profile) = profile {
            profiles::insert(conn, profile).await?;
        }
        let mut node = node.clone();
        if let Some(cluster) = node.cluster_id {
            match crate::nodes::next_index(conn, cluster).await? {
                Some(index) => node.index = index,
                None => node.cluster_id = None,
            }
        }
        child_actions::insert_nodes(conn, std::slice::from_ref(&node)).await?;
        Sql::new(
            "UPDATE nodes SET status = 'WARNING', status_reason = 'Its container was taken back; check the node.',
                physical_id = ?, generation = ?, generations = ?, created_at = now() WHERE id = ?",
        )
        .bind(one.container.as_str())
        .bind(one.generation)
        .bind(one.generation)
        .bind(node.id)
        .run(conn)
        .await?;
        placement::occupy(conn, node.id, place).await?;
        if let Some(cluster) = node.cluster_id {
            Sql::new(
                "UPDATE clusters c SET desired_capacity = greatest(desired_capacity,
                    (SELECT count(*)::integer FROM nodes n WHERE n.cluster_id = c.id)) WHERE id = ?",
            )
            .bind(cluster)
            .run(conn)
            .await?;
        }
        removed(conn, one.host, &one.container).await?;
        Ok(Ok(()))
    })
    .await
}

/// Whether it is still in the list, and stays there until the transaction ends.
async fn is_listed(conn: &mut Conn, one: &Unaccounted) -> Result<bool> {
    let found = Sql::new("SELECT id FROM unaccounted_containers WHERE id = ? AND remove_asked_at IS NULL FOR UPDATE")
        .bind(one.id)
        .run(conn)
        .await?;
    Ok(found == 1)
}

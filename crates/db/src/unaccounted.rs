//! Containers that carry our label, held against the record: those that are
//! known to have gone are to be removed, and those that nothing tells of are
//! kept in a list for an operator, and never touched.

use diesel::{
    dsl::{IntervalDsl, exists, not, now, sql},
    expression::SqlLiteral,
    prelude::*,
    sql_types::{Bool, Integer, Timestamptz},
};
use senlin_core::{Time, ids::*, node::NodeStatus};
use uuid::Uuid;

use crate::{
    Conn, Result,
    child_actions::{self, NewNode},
    functions::{coalesce, greatest, starts_with},
    placement::{self, Place},
    profiles::{self, NewProfile},
    run::Run,
    schema::{clusters, departed_nodes, node_attempts, node_locks, nodes, unaccounted_containers},
    sql::{Sql, Term},
    statements::judge_containers::judge_containers,
};

/// Rows that are kept of one host at most: what a host tells is its own word.
pub const MAX_ROWS_PER_HOST: i64 = 1000;

/// Digits of a container's id as Docker shows it.
const SHORT: usize = 12;

/// What a node is told that has its container again.
const TAKEN_BACK: &str = "Its container was taken back; check the node.";

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

/// Each container that was seen on `host`, held against the record. Ask only
/// after having looked at the host.
///
/// One goes for a reason that is recorded: its node was deleted, lives
/// elsewhere, or has another of the generations that were begun for it; and the
/// action that made it is recorded too, or so old that its record has been
/// dropped. Anything else that is not the node's is listed. What an action
/// works on is left alone.
pub async fn judge(conn: &mut Conn, host: NodeId, seen: &[Labelled]) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    for row in judge_containers(conn, host, seen).await? {
        if row.remove {
            verdict.remove.push(row.container);
        } else {
            verdict.new.push(row.name);
        }
    }
    Ok(verdict)
}

/// Forgets nodes that went so long ago that nothing of them can be left.
pub async fn forget(conn: &mut Conn) -> Result<usize> {
    let oldest = now.into_sql::<Timestamptz>() - AGE.seconds();
    diesel::delete(departed_nodes::table.filter(departed_nodes::departed_at.lt(oldest)))
        .run(conn)
        .await
}

/// An unaccounted container has gone from its host, or has a node again.
pub async fn removed(conn: &mut Conn, host: NodeId, container: &str) -> Result<()> {
    let listed = unaccounted_containers::table
        .filter(unaccounted_containers::host_id.eq(host.0))
        .filter(unaccounted_containers::container_id.eq(container));
    diesel::delete(listed).run(conn).await?;
    Ok(())
}

const NODE_KNOWN: &str = "EXISTS (SELECT 1 FROM nodes n WHERE n.id = unaccounted_containers.node_id)";

const MAY_BE_THERE: &str = "coalesce(nodes.project = unaccounted_containers.project
    OR clusters.shared_with && ARRAY[unaccounted_containers.project, '*'], false)";

/// Selected beside its host, and the host's cluster if it has one.
#[derive(Queryable, Selectable)]
#[diesel(table_name = unaccounted_containers, check_for_backend(diesel::pg::Pg))]
struct UnaccountedRow {
    id: Uuid,
    #[diesel(deserialize_as = Uuid)]
    host_id: NodeId,
    #[diesel(select_expression = nodes::name)]
    host_name: String,
    container_id: String,
    #[diesel(deserialize_as = Uuid)]
    node_id: NodeId,
    generation: i32,
    project: Option<String>,
    cluster_id: Option<Uuid>,
    profile_id: Option<Uuid>,
    name: String,
    running: bool,
    reason: String,
    first_seen: Time,
    last_seen: Time,
    remove_asked_at: Option<Time>,
    #[diesel(select_expression = sql(NODE_KNOWN), select_expression_type = SqlLiteral<Bool>)]
    node_known: bool,
    #[diesel(select_expression = sql(MAY_BE_THERE), select_expression_type = SqlLiteral<Bool>)]
    may_be_there: bool,
}

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

impl From<UnaccountedRow> for Unaccounted {
    fn from(row: UnaccountedRow) -> Self {
        Self {
            id: row.id,
            host: row.host_id,
            host_name: row.host_name,
            container: row.container_id,
            node: row.node_id,
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
pub async fn list(conn: &mut Conn, limit: i64, marker: Option<Uuid>) -> Result<Vec<Unaccounted>> {
    let after = match marker {
        Some(marker) => Sql::new(
            "(unaccounted_containers.first_seen, unaccounted_containers.id) > (SELECT m.first_seen, m.id
                FROM unaccounted_containers m WHERE m.id = ?)",
        )
        .bind(marker),
        None => Sql::new("true"),
    };
    let rows: Vec<UnaccountedRow> = unaccounted_containers::table
        .inner_join(nodes::table.left_join(clusters::table))
        .filter(Term(after))
        .order((unaccounted_containers::first_seen, unaccounted_containers::id))
        .limit(limit)
        .select(UnaccountedRow::as_select())
        .fetch_all(conn)
        .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// The one with that id in the list, or that id on its host: the first twelve
/// digits will do, where they name one only.
pub async fn get(conn: &mut Conn, identity: &str) -> Result<Option<Unaccounted>> {
    use unaccounted_containers::{container_id, id};
    let others = diesel::alias!(unaccounted_containers as others);
    let another = others
        .filter(starts_with(others.field(container_id), identity))
        .filter(others.field(id).ne(id));
    let by_beginning = (identity.len() >= SHORT)
        .into_sql::<Bool>()
        .and(starts_with(container_id, identity))
        .and(not(exists(another)));
    // A text that is no UUID is equal to no id: NULL.
    let by_id = id.nullable().eq(identity.parse::<Uuid>().ok());
    let row: Option<UnaccountedRow> = unaccounted_containers::table
        .inner_join(nodes::table.left_join(clusters::table))
        .filter(by_id.or(container_id.eq(identity)).or(by_beginning))
        .order(id)
        .select(UnaccountedRow::as_select())
        .fetch_optional(conn)
        .await?;
    Ok(row.map(Into::into))
}

/// Asks for the removal of one: its host's next heartbeat carries it out.
pub async fn ask_removal(conn: &mut Conn, id: Uuid) -> Result<()> {
    use unaccounted_containers::remove_asked_at;
    diesel::update(unaccounted_containers::table.find(id))
        .set(remove_asked_at.eq(coalesce(remove_asked_at, now).nullable()))
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
        let node = nodes::table
            .find(one.node.0)
            .filter(nodes::physical_id.is_not_distinct_from(has))
            .filter(not(exists(node_locks::table.filter(node_locks::node_id.eq(nodes::id)))))
            .filter(not(exists(
                node_attempts::table.filter(node_attempts::node_id.eq(nodes::id)),
            )));
        let touched = diesel::update(node)
            .set((
                nodes::condition.eq(None::<&str>),
                nodes::physical_id.eq(&one.container),
                nodes::profile_id.eq(profile.0),
                nodes::generation.eq(one.generation),
                nodes::generations.eq(greatest(nodes::generations, one.generation)),
                nodes::status.eq(NodeStatus::Warning.as_str()),
                nodes::status_reason.eq(TAKEN_BACK),
                nodes::updated_at.eq(now),
            ))
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
        diesel::update(nodes::table.find(node.id.0))
            .set((
                nodes::status.eq(NodeStatus::Warning.as_str()),
                nodes::status_reason.eq(TAKEN_BACK),
                nodes::physical_id.eq(&one.container),
                nodes::generation.eq(one.generation),
                nodes::generations.eq(one.generation),
                nodes::created_at.eq(now),
            ))
            .run(conn)
            .await?;
        placement::occupy(conn, node.id, place).await?;
        if let Some(cluster) = node.cluster_id {
            let members = nodes::table.filter(nodes::cluster_id.eq(cluster.0)).count();
            let size = members.single_value().assume_not_null().fallible_cast::<Integer>();
            diesel::update(clusters::table.find(cluster.0))
                .set(clusters::desired_capacity.eq(greatest(clusters::desired_capacity, size)))
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
    let listed = unaccounted_containers::table
        .find(one.id)
        .filter(unaccounted_containers::remove_asked_at.is_null())
        .select(unaccounted_containers::id);
    Ok(listed.for_update().run(conn).await? == 1)
}

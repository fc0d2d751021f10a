//! Nodes.

use std::collections::HashMap;

use diesel::{
    dsl::{array, auto_type, now},
    prelude::*,
    query_source::AliasedField,
    sql_types::{Integer, Uuid as SqlUuid},
};
use senlin_core::{
    Map, Time,
    action::NewAction,
    caller::Scope,
    host::{HostInfo, HostState},
    ids::*,
    node::{Attempt, Node, NodeStatus},
};
use uuid::Uuid;

use crate::{
    Conn, DbError, Result,
    attempts::AttemptRow,
    child_actions::{self, NewNode},
    functions::greatest,
    idempotency::Keep,
    page::{self, Filter, Page, Rows},
    placement::{self, Place},
    profiles::NewProfile,
    quota::{self, Full, Growth},
    run::Run,
    schema::{hosts, node_attempts, nodes, profiles},
    sql::{Bind, Sql, Term},
    stored::{Document, Word},
};

const ROWS: Rows = Rows::of("nodes", "init_at");

#[derive(Queryable, Selectable)]
#[diesel(table_name = nodes, check_for_backend(diesel::pg::Pg))]
struct NodeRow {
    #[diesel(deserialize_as = Uuid)]
    id: NodeId,
    name: String,
    cluster_id: Option<Uuid>,
    physical_id: Option<String>,
    #[diesel(deserialize_as = Uuid)]
    profile_id: ProfileId,
    #[diesel(select_expression = profiles::name)]
    profile_name: String,
    #[diesel(select_expression = profiles::type_name)]
    profile_type: String,
    user_id: String,
    project: String,
    domain: Option<String>,
    index: i32,
    role: Option<String>,
    init_at: Time,
    created_at: Option<Time>,
    updated_at: Option<Time>,
    #[diesel(deserialize_as = Word<NodeStatus>)]
    status: NodeStatus,
    status_reason: String,
    #[diesel(deserialize_as = Document<Map>)]
    metadata: Map,
    #[diesel(deserialize_as = Document<Map>)]
    data: Map,
    tainted: bool,
    host_id: Option<Uuid>,
    generation: i32,
    #[diesel(select_expression = greatest(nodes::generation, nodes::generations))]
    #[diesel(select_expression_type = greatest<Integer, nodes::generation, nodes::generations>)]
    generations: i32,
    at_rest: bool,
    #[diesel(embed)]
    attempt: Option<AttemptRow>,
    #[diesel(select_expression = array(guests()), select_expression_type = array<SqlUuid, guests>)]
    dependent_nodes: Vec<Uuid>,
    #[diesel(select_expression = array(naming()), select_expression_type = array<SqlUuid, naming>)]
    dependent_profiles: Vec<Uuid>,
}

diesel::alias! {
    const GUESTS: Alias<Guests> = nodes as guests;
    const NAMING: Alias<Naming> = profiles as naming;
}

// Both are bounded: a list must not cost what others put on one host.

/// The containers on a node, if it is a host.
#[auto_type]
fn guests() -> _ {
    let id: AliasedField<Guests, nodes::id> = GUESTS.field(nodes::id);
    let host: AliasedField<Guests, nodes::host_id> = GUESTS.field(nodes::host_id);
    let here = GUESTS.filter(host.eq(nodes::id.nullable())).order(id);
    here.limit(100_i64).select(id)
}

/// The profiles that name a node as their host.
#[auto_type]
fn naming() -> _ {
    let id: AliasedField<Naming, profiles::id> = NAMING.field(profiles::id);
    let host: AliasedField<Naming, profiles::host_node_id> = NAMING.field(profiles::host_node_id);
    let naming = NAMING.filter(host.eq(nodes::id.nullable())).order(id);
    naming.limit(100_i64).select(id)
}

/// Nodes, with what a [`NodeRow`] joins in.
#[auto_type]
fn joined() -> _ {
    let attempt = node_attempts::table.on(node_attempts::node_id.eq(nodes::id));
    nodes::table.inner_join(profiles::table).left_join(attempt)
}

impl From<NodeRow> for Node {
    fn from(row: NodeRow) -> Self {
        Self {
            id: row.id,
            name: row.name,
            cluster_id: row.cluster_id.map(Into::into),
            physical_id: row.physical_id,
            profile_id: row.profile_id,
            profile_name: row.profile_name,
            profile_type: row.profile_type,
            user: row.user_id,
            project: row.project,
            domain: row.domain,
            index: row.index,
            role: row.role,
            init_at: row.init_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
            status: row.status,
            status_reason: row.status_reason,
            metadata: row.metadata,
            data: row.data,
            tainted: row.tainted,
            host_id: row.host_id.map(Into::into),
            generation: row.generation,
            generations: row.generations,
            at_rest: row.at_rest,
            attempt: row.attempt.map(Attempt::from),
            dependent_nodes: row.dependent_nodes.into_iter().map(Into::into).collect(),
            dependent_profiles: row.dependent_profiles.into_iter().map(Into::into).collect(),
        }
    }
}

/// The node with that id, whoever's it is: for the engine.
pub async fn get(conn: &mut Conn, id: NodeId) -> Result<Option<Node>> {
    let query = joined().filter(nodes::id.eq(id.0)).select(NodeRow::as_select());
    let row: Option<NodeRow> = query.fetch_optional(conn).await?;
    Ok(row.map(Into::into))
}

/// The nodes with these ids, in their order: for the engine.
pub async fn get_all(conn: &mut Conn, ids: &[NodeId]) -> Result<Vec<Option<Node>>> {
    let any: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let query = joined().filter(nodes::id.eq_any(any)).select(NodeRow::as_select());
    let rows: Vec<NodeRow> = query.fetch_all(conn).await?;
    let nodes: HashMap<NodeId, Node> = rows.into_iter().map(|row| (row.id, row.into())).collect();
    Ok(ids.iter().map(|id| nodes.get(id).cloned()).collect())
}

/// The node with that id, name or short id.
///
/// # Errors
/// [`DbError::MultipleChoices`].
pub async fn find(conn: &mut Conn, scope: &Scope, identity: &str) -> Result<Option<Node>> {
    let choice = page::identified("nodes", scope, identity);
    let query = joined().filter(Term(choice.filter)).order(Term(choice.tail));
    let rows: Vec<NodeRow> = query.select(NodeRow::as_select()).fetch_all(conn).await?;
    Ok(page::choose(rows, identity, |r| r.id.0, |r| r.name.clone())?.map(Into::into))
}

/// A page of nodes.
pub async fn list(conn: &mut Conn, scope: &Scope, filters: &[Filter], page: &Page) -> Result<Vec<Node>> {
    let choice = page::page(conn, ROWS, scope, filters, page).await?;
    let query = joined().filter(Term(choice.filter)).order(Term(choice.tail));
    let rows: Vec<NodeRow> = query.select(NodeRow::as_select()).fetch_all(conn).await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// The next index of a cluster, used up.
pub async fn next_index(conn: &mut Conn, cluster: ClusterId) -> Result<Option<i32>> {
    child_actions::take_indexes(conn, cluster, 1).await
}

/// The condition that a node is one of those that several identities may mean.
/// Two of each tell whether it is the only one.
fn among(scope: &Scope, identities: &[String]) -> Term {
    let ids: Vec<Uuid> = identities.iter().filter_map(|i| i.parse().ok()).collect();
    let (min, max): (Vec<Uuid>, Vec<Uuid>) = identities
        .iter()
        .filter(|i| i.parse::<Uuid>().is_err())
        .filter_map(|i| page::id_prefix_range(i))
        .unzip();
    let own = || page::narrowed("nodes", scope, &[]);
    let sql = Sql::new("nodes.id IN (SELECT id FROM nodes WHERE id = ANY (?) AND ")
        .bind(ids)
        .append(own())
        .push(
            " UNION SELECT n.id FROM unnest(?) AS w(name)
                CROSS JOIN LATERAL (SELECT id FROM nodes WHERE name = w.name AND ",
        )
        .bind(Bind::Texts(identities.to_vec()))
        .append(own())
        .push(
            " LIMIT 2) n
            UNION SELECT n.id FROM unnest(?, ?) AS r(least, most)
                CROSS JOIN LATERAL (SELECT id FROM nodes WHERE id BETWEEN r.least AND r.most AND ",
        )
        .bind(min)
        .bind(max)
        .append(own())
        .push(" LIMIT 2) n)");
    Term(sql)
}

/// The nodes that several identities mean, in their order, in one statement.
/// None for one that means no node, or more than one.
pub async fn find_all(conn: &mut Conn, scope: &Scope, identities: &[String]) -> Result<Vec<Option<Node>>> {
    let query = joined().filter(among(scope, identities)).select(NodeRow::as_select());
    let rows: Vec<NodeRow> = query.fetch_all(conn).await?;
    let nodes: Vec<Node> = rows.into_iter().map(Into::into).collect();
    let by_id: HashMap<Uuid, usize> = nodes.iter().enumerate().map(|(at, n)| (n.id.0, at)).collect();
    let mut by_name: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, node) in nodes.iter().enumerate() {
        by_name.entry(&node.name).or_default().push(at);
    }
    let meant = |identity: &String| {
        let id = identity.parse::<Uuid>().ok();
        if let Some(at) = id.and_then(|id| by_id.get(&id)) {
            return Some(*at);
        }
        match by_name.get(identity.as_str()).map(Vec::as_slice) {
            Some([at]) => return Some(*at),
            Some(_) => return None,
            None => {}
        }
        let (min, max) = page::id_prefix_range(identity).filter(|_| id.is_none())?;
        let mut within = nodes.iter().enumerate().filter(|(_, n)| (min..=max).contains(&n.id.0));
        let (at, _) = within.next()?;
        within.next().is_none().then_some(at)
    };
    Ok(identities
        .iter()
        .map(|i| meant(i).and_then(|at| nodes.get(at).cloned()))
        .collect())
}

/// A cluster's members by index.
pub async fn members(conn: &mut Conn, cluster: ClusterId) -> Result<Vec<Node>> {
    let query = joined()
        .filter(nodes::cluster_id.eq(cluster.0))
        .order((nodes::index, nodes::id));
    let rows: Vec<NodeRow> = query.select(NodeRow::as_select()).fetch_all(conn).await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// Names of the containers placed on any of these hosts.
pub async fn containers_on(conn: &mut Conn, hosts: &[NodeId]) -> Result<Vec<String>> {
    let hosts: Vec<Uuid> = hosts.iter().map(|id| id.0).collect();
    let query = nodes::table.filter(nodes::host_id.eq_any(hosts)).order(nodes::name);
    query.select(nodes::name).fetch_all(conn).await
}

/// Records a node and its NODE_CREATE together.
pub async fn create(conn: &mut Conn, node: &NewNode, action: &NewAction) -> Result<()> {
    conn.transaction(async |conn| {
        child_actions::insert_nodes(conn, std::slice::from_ref(node)).await?;
        child_actions::insert_actions(conn, std::slice::from_ref(action), "").await
    })
    .await
}

/// Why a node was not recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The cluster has gone meanwhile.
    ClusterGone,
    /// The profile has gone meanwhile.
    ProfileGone,
    /// The project has as many nodes as it may have.
    NoRoom(Full),
}

/// Records a node and its NODE_CREATE together, if the project then has at most
/// `most` nodes, and returns the node. In a cluster it gets the next index, and
/// the name that `name` gives to that.
pub async fn create_named(
    conn: &mut Conn,
    mut node: NewNode,
    action: &NewAction,
    name: impl FnOnce(i32) -> String + Send,
    most: i64,
    keep: &Keep<'_, Node>,
) -> Result<std::result::Result<Node, Refusal>> {
    let recorded = conn
        .transaction(async |conn| {
            quota::turn(conn, &node.project).await?;
            if let Some(full) = quota::nodes(conn, &node.project, Growth::By(1), most).await? {
                return Ok(Err(Refusal::NoRoom(full)));
            }
            if let Some(cluster) = node.cluster_id {
                // Its row stays ours until the end: it cannot go meanwhile.
                let Some(index) = next_index(conn, cluster).await? else {
                    return Ok(Err(Refusal::ClusterGone));
                };
                node.index = index;
                node.name = name(index);
            }
            child_actions::insert_nodes(conn, std::slice::from_ref(&node)).await?;
            child_actions::insert_actions(conn, std::slice::from_ref(action), "").await?;
            let made = get(conn, node.id).await?.ok_or(diesel::result::Error::NotFound)?;
            keep.settle(conn, &made).await?;
            Ok(Ok(made))
        })
        .await;
    match recorded {
        Err(error) if DbError::is_in_use(&error) => Ok(Err(Refusal::ProfileGone)),
        other => other,
    }
}

/// What an adopted node is.
#[derive(Debug, Clone)]
pub struct Adoption {
    /// A container's full id, or a host's endpoint.
    pub physical_id: String,
    /// The host that a container is on, and what it takes there.
    pub place: Option<Place>,
    /// What a host says of itself.
    pub info: Option<HostInfo>,
}

/// Records a node that already runs, with a profile of its own: ACTIVE at once,
/// if the project then has at most `most` nodes. Returns the node.
///
/// # Errors
/// A duplicate ([`DbError::is_duplicate`]) when another node has it already; a
/// violation ([`DbError::is_in_use`]) when the host has gone.
pub async fn adopt(
    conn: &mut Conn,
    profile: &NewProfile,
    node: &NewNode,
    adoption: &Adoption,
    most: i64,
    keep: &Keep<'_, Node>,
) -> Result<std::result::Result<Node, Full>> {
    conn.transaction(async |conn| {
        quota::turn(conn, &node.project).await?;
        if let Some(full) = quota::nodes(conn, &node.project, Growth::By(1), most).await? {
            return Ok(Err(full));
        }
        crate::profiles::insert(conn, profile).await?;
        child_actions::insert_nodes(conn, std::slice::from_ref(node)).await?;
        diesel::update(nodes::table.find(node.id.0))
            .set((
                nodes::status.eq(NodeStatus::Active.as_str()),
                nodes::status_reason.eq("Node adopted successfully"),
                nodes::physical_id.eq(&adoption.physical_id),
                nodes::created_at.eq(now),
            ))
            .run(conn)
            .await?;
        if let Some(place) = &adoption.place {
            placement::occupy(conn, node.id, place).await?;
        }
        if let Some(info) = &adoption.info {
            diesel::insert_into(hosts::table)
                .values((
                    hosts::node_id.eq(node.id.0),
                    hosts::endpoint.eq(&adoption.physical_id),
                    hosts::state.eq(HostState::Up.as_str()),
                ))
                .run(conn)
                .await?;
            crate::hosts::answered(conn, node.id, info).await?;
        }
        let made = get(conn, node.id).await?.ok_or(diesel::result::Error::NotFound)?;
        keep.settle(conn, &made).await?;
        Ok(Ok(made))
    })
    .await
}

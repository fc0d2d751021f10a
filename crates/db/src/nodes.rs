//! Nodes.

use std::collections::HashMap;

use diesel::sql_types::{Array, Bool, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use senlin_core::{
    Time,
    action::NewAction,
    caller::Scope,
    host::HostInfo,
    ids::*,
    node::{Attempt, Node, NodeStatus},
};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    Conn, DbError, Result,
    child_actions::{self, NewNode},
    hosts,
    idempotency::Keep,
    object,
    page::{self, Filter, Page, Rows},
    placement::{self, Place},
    profiles::{self, NewProfile},
    quota::{self, Full, Growth},
    run::Run,
    sql::{Bind, Sql, row},
};

row! { NodeRow {
    id: Uuid = SqlUuid,
    name: String = Text,
    cluster_id: Option<Uuid> = Nullable<SqlUuid>,
    physical_id: Option<String> = Nullable<Text>,
    profile_id: Uuid = SqlUuid,
    profile_name: String = Text,
    profile_type: String = Text,
    user_id: String = Text,
    project: String = Text,
    domain: Option<String> = Nullable<Text>,
    index: i32 = Integer,
    role: Option<String> = Nullable<Text>,
    init_at: Time = Timestamptz,
    created_at: Option<Time> = Nullable<Timestamptz>,
    updated_at: Option<Time> = Nullable<Timestamptz>,
    status: String = Text,
    status_reason: String = Text,
    metadata: Value = Jsonb,
    data: Value = Jsonb,
    tainted: bool = Bool,
    host_id: Option<Uuid> = Nullable<SqlUuid>,
    generation: i32 = Integer,
    generations: i32 = Integer,
    at_rest: bool = Bool,
    attempt_action: Option<Uuid> = Nullable<SqlUuid>,
    attempt_generation: Option<i32> = Nullable<Integer>,
    attempt_profile: Option<Uuid> = Nullable<SqlUuid>,
    dependent_nodes: Vec<Uuid> = Array<SqlUuid>,
    dependent_profiles: Vec<Uuid> = Array<SqlUuid>,
}}

// Dependents are bounded: a list must not cost what others put on one host.
const ROWS: Rows = Rows {
    name: "t",
    from: "nodes",
    sort: "init_at",
};

const SELECT: &str = "SELECT t.id, t.name, t.cluster_id, t.physical_id, t.profile_id, p.name AS profile_name, \
    p.type AS profile_type, t.user_id, t.project, t.domain, t.index, t.role, t.init_at, t.created_at, t.updated_at, \
    t.status, t.status_reason, t.metadata, t.data, t.tainted, t.host_id, t.generation, \
    greatest(t.generation, t.generations) AS generations, t.at_rest, x.action_id AS attempt_action, \
    x.generation AS attempt_generation, x.profile_id AS attempt_profile, \
    ARRAY(SELECT c.id FROM nodes c WHERE c.host_id = t.id ORDER BY c.id LIMIT 100) AS dependent_nodes, \
    ARRAY(SELECT d.id FROM profiles d WHERE d.host_node_id = t.id ORDER BY d.id LIMIT 100) AS dependent_profiles \
    FROM nodes t JOIN profiles p ON p.id = t.profile_id LEFT JOIN node_attempts x ON x.node_id = t.id";

impl TryFrom<NodeRow> for Node {
    type Error = DbError;

    fn try_from(row: NodeRow) -> Result<Self> {
        let attempt = row.attempt_action.zip(row.attempt_generation).zip(row.attempt_profile);
        Ok(Self {
            id: row.id.into(),
            name: row.name,
            cluster_id: row.cluster_id.map(Into::into),
            physical_id: row.physical_id,
            profile_id: row.profile_id.into(),
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
            status: NodeStatus::parse(&row.status).ok_or(DbError::Corrupt {
                column: "nodes.status",
                value: row.status,
            })?,
            status_reason: row.status_reason,
            metadata: object(row.metadata),
            data: object(row.data),
            tainted: row.tainted,
            host_id: row.host_id.map(Into::into),
            generation: row.generation,
            generations: row.generations,
            at_rest: row.at_rest,
            attempt: attempt.map(|((action, generation), profile)| Attempt {
                action: action.into(),
                generation,
                profile_id: profile.into(),
            }),
            dependent_nodes: row.dependent_nodes.into_iter().map(Into::into).collect(),
            dependent_profiles: row.dependent_profiles.into_iter().map(Into::into).collect(),
        })
    }
}

/// The node with that id, whoever's it is: for the engine.
///
/// # Errors
/// When the database does not answer.
pub async fn get(conn: &mut Conn, id: NodeId) -> Result<Option<Node>> {
    let row: Option<NodeRow> = Sql::new(SELECT)
        .push(" WHERE t.id = ?")
        .bind(id)
        .fetch_optional(conn)
        .await?;
    row.map(TryInto::try_into).transpose()
}

/// The nodes with these ids, in their order: for the engine.
///
/// # Errors
/// When the database does not answer.
pub async fn get_all(conn: &mut Conn, ids: &[NodeId]) -> Result<Vec<Option<Node>>> {
    let rows: Vec<NodeRow> = Sql::new(SELECT)
        .push(" WHERE t.id = ANY (?)")
        .bind(ids)
        .fetch_all(conn)
        .await?;
    let nodes: Vec<Node> = rows.into_iter().map(TryInto::try_into).collect::<Result<_>>()?;
    let nodes: HashMap<NodeId, Node> = nodes.into_iter().map(|n| (n.id, n)).collect();
    Ok(ids.iter().map(|id| nodes.get(id).cloned()).collect())
}

/// The node with that id, name or short id.
///
/// # Errors
/// [`DbError::MultipleChoices`].
pub async fn find(conn: &mut Conn, scope: &Scope, identity: &str) -> Result<Option<Node>> {
    let rows: Vec<NodeRow> = page::identified("t", scope, identity)
        .of(SELECT)
        .fetch_all(conn)
        .await?;
    page::choose(rows, identity, |r| r.id, |r| r.name.clone())?
        .map(TryInto::try_into)
        .transpose()
}

/// A page of nodes.
///
/// # Errors
/// When the database does not answer.
pub async fn list(conn: &mut Conn, scope: &Scope, filters: &[Filter], page: &Page) -> Result<Vec<Node>> {
    let sql = page::page(conn, ROWS, scope, filters, page).await?.of(SELECT);
    let rows: Vec<NodeRow> = sql.fetch_all(conn).await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

row! { IndexRow { index: i32 = Integer } }

/// The next index of a cluster, used up.
///
/// # Errors
/// When the database does not answer.
pub async fn next_index(conn: &mut Conn, cluster: ClusterId) -> Result<Option<i32>> {
    let row: Option<IndexRow> =
        Sql::new("UPDATE clusters SET next_index = next_index + 1 WHERE id = ? RETURNING next_index - 1 AS index")
            .bind(cluster)
            .fetch_optional(conn)
            .await?;
    Ok(row.map(|r| r.index))
}

/// The nodes that several identities mean, in their order, in one statement.
/// None for one that means no node, or more than one.
///
/// # Errors
/// When the database does not answer.
pub async fn find_all(conn: &mut Conn, scope: &Scope, identities: &[String]) -> Result<Vec<Option<Node>>> {
    let ids: Vec<Uuid> = identities.iter().filter_map(|i| i.parse().ok()).collect();
    let (min, max): (Vec<Uuid>, Vec<Uuid>) = identities
        .iter()
        .filter(|i| i.parse::<Uuid>().is_err())
        .filter_map(|i| page::id_prefix_range(i))
        .unzip();
    let project = match scope {
        Scope::Project(project) => Some(project.as_str()),
        Scope::All => None,
    };
    let own = if project.is_some() {
        "project = ?"
    } else {
        "?::text IS NULL"
    };
    // Two of each tell whether it is the only one.
    let sql = Sql::new(SELECT)
        .push(&format!(
            " WHERE t.id IN (SELECT id FROM nodes WHERE id = ANY (?) AND {own}
            UNION SELECT n.id FROM unnest(?) AS w(name)
                CROSS JOIN LATERAL (SELECT id FROM nodes WHERE name = w.name AND {own} LIMIT 2) n
            UNION SELECT n.id FROM unnest(?, ?) AS r(least, most)
                CROSS JOIN LATERAL (SELECT id FROM nodes WHERE id BETWEEN r.least AND r.most AND {own} LIMIT 2) n)"
        ))
        .bind(ids)
        .bind(project)
        .bind(Bind::Texts(identities.to_vec()))
        .bind(project)
        .bind(min)
        .bind(max)
        .bind(project);
    let rows: Vec<NodeRow> = sql.fetch_all(conn).await?;
    let nodes: Vec<Node> = rows.into_iter().map(TryInto::try_into).collect::<Result<_>>()?;
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
///
/// # Errors
/// When the database does not answer.
pub async fn members(conn: &mut Conn, cluster: ClusterId) -> Result<Vec<Node>> {
    let rows: Vec<NodeRow> = Sql::new(SELECT)
        .push(" WHERE t.cluster_id = ? ORDER BY t.index, t.id")
        .bind(cluster)
        .fetch_all(conn)
        .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Names of the containers placed on any of these hosts.
///
/// # Errors
/// When the database does not answer.
pub async fn containers_on(conn: &mut Conn, hosts: &[NodeId]) -> Result<Vec<String>> {
    let rows: Vec<NameRow> = Sql::new("SELECT name FROM nodes WHERE host_id = ANY (?) ORDER BY name")
        .bind(hosts)
        .fetch_all(conn)
        .await?;
    Ok(rows.into_iter().map(|r| r.name).collect())
}

row! { NameRow { name: String = Text } }

/// Records a node and its NODE_CREATE together.
///
/// # Errors
/// When the database refuses.
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
/// `most` nodes, and answers the node. In a cluster it gets the next index, and
/// the name that `name` gives to that.
///
/// # Errors
/// When the database refuses.
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
        profiles::insert(conn, profile).await?;
        child_actions::insert_nodes(conn, std::slice::from_ref(node)).await?;
        Sql::new(
            "UPDATE nodes SET status = 'ACTIVE', status_reason = 'Node adopted successfully', physical_id = ?,
                created_at = now() WHERE id = ?",
        )
        .bind(adoption.physical_id.as_str())
        .bind(node.id)
        .run(conn)
        .await?;
        if let Some(place) = &adoption.place {
            placement::occupy(conn, node.id, place).await?;
        }
        if let Some(info) = &adoption.info {
            Sql::new("INSERT INTO hosts (node_id, endpoint, state) VALUES (?, ?, 'UP')")
                .bind(node.id)
                .bind(adoption.physical_id.as_str())
                .run(conn)
                .await?;
            hosts::answered(conn, node.id, info).await?;
        }
        let made = get(conn, node.id).await?.ok_or(diesel::result::Error::NotFound)?;
        keep.settle(conn, &made).await?;
        Ok(Ok(made))
    })
    .await
}

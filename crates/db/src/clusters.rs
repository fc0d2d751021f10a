//! Clusters.

use diesel::sql_types::{Array, BigInt, Bool, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use senlin_core::{
    Map, Time,
    action::NewAction,
    caller::Scope,
    cluster::{Cluster, ClusterStatus},
    ids::*,
};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    Conn, DbError, Result, child_actions,
    idempotency::Keep,
    object,
    page::{self, Filter, Page, Rows},
    quota::{self, Full, Growth},
    run::Run,
    sql::{Sql, row},
};

row! { ClusterRow {
    id: Uuid = SqlUuid,
    name: String = Text,
    profile_id: Uuid = SqlUuid,
    profile_name: String = Text,
    profile_type: String = Text,
    user_id: String = Text,
    project: String = Text,
    domain: Option<String> = Nullable<Text>,
    init_at: Time = Timestamptz,
    created_at: Option<Time> = Nullable<Timestamptz>,
    updated_at: Option<Time> = Nullable<Timestamptz>,
    min_size: i32 = Integer,
    max_size: i32 = Integer,
    desired_capacity: i32 = Integer,
    next_index: i32 = Integer,
    timeout: i32 = Integer,
    status: String = Text,
    status_reason: String = Text,
    metadata: Value = Jsonb,
    data: Value = Jsonb,
    config: Value = Jsonb,
    shared_with: Vec<String> = Array<Text>,
    nodes: Vec<Uuid> = Array<SqlUuid>,
    policies: Vec<Uuid> = Array<SqlUuid>,
    dependent_profiles: Vec<Uuid> = Array<SqlUuid>,
}}

// Dependents are bounded: a list must not cost what others make of one cluster.
const ROWS: Rows = Rows {
    name: "t",
    from: "clusters",
    sort: "init_at",
};

const SELECT: &str = "SELECT t.id, t.name, t.profile_id, p.name AS profile_name, p.type AS profile_type, t.user_id, \
    t.project, t.domain, t.init_at, t.created_at, t.updated_at, t.min_size, t.max_size, t.desired_capacity, \
    t.next_index, t.timeout, t.status, t.status_reason, t.metadata, t.data, t.config, t.shared_with, \
    ARRAY(SELECT n.id FROM nodes n WHERE n.cluster_id = t.id ORDER BY n.index, n.id) AS nodes, \
    ARRAY(SELECT b.id FROM cluster_policies b WHERE b.cluster_id = t.id ORDER BY b.id) AS policies, \
    ARRAY(SELECT d.id FROM profiles d WHERE d.host_cluster_id = t.id ORDER BY d.id LIMIT 100) AS dependent_profiles \
    FROM clusters t JOIN profiles p ON p.id = t.profile_id";

impl TryFrom<ClusterRow> for Cluster {
    type Error = DbError;

    fn try_from(row: ClusterRow) -> Result<Self> {
        Ok(Self {
            id: row.id.into(),
            name: row.name,
            profile_id: row.profile_id.into(),
            profile_name: row.profile_name,
            profile_type: row.profile_type,
            user: row.user_id,
            project: row.project,
            domain: row.domain,
            init_at: row.init_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
            min_size: row.min_size,
            max_size: row.max_size,
            desired_capacity: row.desired_capacity,
            next_index: row.next_index,
            timeout: row.timeout,
            status: ClusterStatus::parse(&row.status).ok_or(DbError::Corrupt {
                column: "clusters.status",
                value: row.status,
            })?,
            status_reason: row.status_reason,
            metadata: object(row.metadata),
            data: object(row.data),
            config: object(row.config),
            shared_with: row.shared_with,
            nodes: row.nodes.into_iter().map(Into::into).collect(),
            policies: row.policies.into_iter().map(Into::into).collect(),
            dependent_profiles: row.dependent_profiles.into_iter().map(Into::into).collect(),
        })
    }
}

/// The cluster with that id, whoever's it is: for the engine.
///
/// # Errors
/// When the database does not answer.
pub async fn get(conn: &mut Conn, id: ClusterId) -> Result<Option<Cluster>> {
    let row: Option<ClusterRow> = Sql::new(SELECT)
        .push(" WHERE t.id = ?")
        .bind(id)
        .fetch_optional(conn)
        .await?;
    row.map(TryInto::try_into).transpose()
}

/// The cluster with that id, name or short id.
///
/// # Errors
/// [`DbError::MultipleChoices`].
pub async fn find(conn: &mut Conn, scope: &Scope, identity: &str) -> Result<Option<Cluster>> {
    let rows: Vec<ClusterRow> = page::identified("t", scope, identity)
        .of(SELECT)
        .fetch_all(conn)
        .await?;
    page::choose(rows, identity, |r| r.id, |r| r.name.clone())?
        .map(TryInto::try_into)
        .transpose()
}

/// A cluster of hosts that an admin shared with this project.
///
/// # Errors
/// [`DbError::MultipleChoices`].
pub async fn find_shared(conn: &mut Conn, project: &str, identity: &str) -> Result<Option<Cluster>> {
    let mut choice = page::identified("t", &Scope::All, identity);
    let anybodys = vec![project.to_owned(), "*".to_owned()];
    choice.filter = choice.filter.push(" AND t.shared_with && ?").bind(anybodys);
    let rows: Vec<ClusterRow> = choice.of(SELECT).fetch_all(conn).await?;
    page::choose(rows, identity, |r| r.id, |r| r.name.clone())?
        .map(TryInto::try_into)
        .transpose()
}

/// A page of clusters.
///
/// # Errors
/// When the database does not answer.
pub async fn list(conn: &mut Conn, scope: &Scope, filters: &[Filter], page: &Page) -> Result<Vec<Cluster>> {
    let sql = page::page(conn, ROWS, scope, filters, page).await?.of(SELECT);
    let rows: Vec<ClusterRow> = sql.fetch_all(conn).await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// A cluster to be recorded.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "columns of the same names")]
pub struct NewCluster {
    pub id: ClusterId,
    pub name: String,
    pub profile_id: ProfileId,
    pub user: String,
    pub project: String,
    pub domain: Option<String>,
    pub min_size: i32,
    pub max_size: i32,
    pub desired_capacity: i32,
    pub timeout: i32,
    pub metadata: Map,
    pub config: Map,
}

/// Records a cluster, in INIT.
///
/// # Errors
/// When the database refuses.
pub async fn insert(conn: &mut Conn, new: &NewCluster) -> Result<()> {
    Sql::new(
        "INSERT INTO clusters (id, name, profile_id, user_id, project, domain, min_size, max_size, desired_capacity,
            timeout, metadata, config, status, status_reason)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'INIT', 'Initializing')",
    )
    .bind(new.id)
    .bind(new.name.as_str())
    .bind(new.profile_id)
    .bind(new.user.as_str())
    .bind(new.project.as_str())
    .bind(new.domain.as_deref())
    .bind(new.min_size)
    .bind(new.max_size)
    .bind(new.desired_capacity)
    .bind(new.timeout)
    .bind(&new.metadata)
    .bind(&new.config)
    .run(conn)
    .await?;
    Ok(())
}

/// Records a cluster and its CLUSTER_CREATE together.
///
/// # Errors
/// When the database refuses.
pub async fn create(conn: &mut Conn, new: &NewCluster, action: &NewAction) -> Result<()> {
    conn.transaction(async |conn| {
        insert(conn, new).await?;
        child_actions::insert_actions(conn, std::slice::from_ref(action), "").await
    })
    .await
}

/// Why a cluster was not recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The project has as many clusters as it may have.
    TooMany,
    /// The project has no room for the cluster's nodes.
    NoRoom(Full),
    /// The project has a cluster of that name, and names are to be unique.
    NameTaken,
    /// The profile has gone meanwhile.
    ProfileGone,
}

row! { RoomRow { n: i64 = BigInt, taken: bool = Bool } }

/// What a project may have.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Clusters.
    pub clusters: i64,
    /// Nodes, in clusters or not.
    pub nodes: i64,
    /// Whether each cluster has a name of its own.
    pub unique_names: bool,
}

/// Records a cluster and its CLUSTER_CREATE together, within the project's
/// limits, and answers the cluster.
///
/// # Errors
/// When the database refuses.
pub async fn create_within(
    conn: &mut Conn,
    new: &NewCluster,
    action: &NewAction,
    limits: Limits,
    keep: &Keep<'_, Cluster>,
) -> Result<std::result::Result<Cluster, Refusal>> {
    let recorded = conn
        .transaction(async |conn| {
            quota::turn(conn, &new.project).await?;
            let room: Option<RoomRow> = Sql::new(
                "SELECT count(*) AS n, coalesce(bool_or(name = ?), false) AS taken FROM clusters WHERE project = ?",
            )
            .bind(new.name.as_str())
            .bind(new.project.as_str())
            .fetch_optional(conn)
            .await?;
            let room = room.unwrap_or(RoomRow { n: 0, taken: false });
            if room.n >= limits.clusters {
                return Ok(Err(Refusal::TooMany));
            }
            if limits.unique_names && room.taken {
                return Ok(Err(Refusal::NameTaken));
            }
            let growth = Growth::By(new.desired_capacity);
            if let Some(full) = quota::nodes(conn, &new.project, growth, limits.nodes).await? {
                return Ok(Err(Refusal::NoRoom(full)));
            }
            insert(conn, new).await?;
            child_actions::insert_actions(conn, std::slice::from_ref(action), "").await?;
            let made = get(conn, new.id).await?.ok_or(diesel::result::Error::NotFound)?;
            keep.settle(conn, &made).await?;
            Ok(Ok(made))
        })
        .await;
    match recorded {
        Err(error) if DbError::is_in_use(&error) => Ok(Err(Refusal::ProfileGone)),
        other => other,
    }
}

/// Sets the projects that may use a cluster's hosts.
///
/// # Errors
/// When the database refuses.
pub async fn share(conn: &mut Conn, id: ClusterId, projects: &[String]) -> Result<()> {
    Sql::new("UPDATE clusters SET shared_with = ?, updated_at = now() WHERE id = ?")
        .bind(projects.to_vec())
        .bind(id)
        .run(conn)
        .await?;
    Ok(())
}

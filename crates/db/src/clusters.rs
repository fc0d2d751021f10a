//! Clusters.

use diesel::{
    dsl::{array, auto_type, count_star, now},
    prelude::*,
    query_source::Alias,
    sql_types::{Bool, Uuid as SqlUuid},
};
use senlin_core::{
    Map, Time,
    action::NewAction,
    caller::Scope,
    cluster::{Cluster, ClusterStatus},
    ids::*,
};
use uuid::Uuid;

use crate::{
    Conn, DbError, Result, child_actions,
    idempotency::Keep,
    page::{self, Filter, Page, Rows},
    quota::{self, Full, Growth},
    run::Run,
    schema::{cluster_policies, clusters, nodes, profiles},
    sql::Term,
    stored::{Document, Word},
};

const ROWS: Rows = Rows::of("clusters", "init_at");

#[derive(Queryable, Selectable)]
#[diesel(table_name = clusters, check_for_backend(diesel::pg::Pg))]
struct ClusterRow {
    #[diesel(deserialize_as = Uuid)]
    id: ClusterId,
    name: String,
    #[diesel(deserialize_as = Uuid)]
    profile_id: ProfileId,
    #[diesel(select_expression = profiles::name)]
    profile_name: String,
    #[diesel(select_expression = profiles::type_name)]
    profile_type: String,
    user_id: String,
    project: String,
    domain: Option<String>,
    init_at: Time,
    created_at: Option<Time>,
    updated_at: Option<Time>,
    min_size: i32,
    max_size: i32,
    desired_capacity: i32,
    next_index: i32,
    timeout: i32,
    #[diesel(deserialize_as = Word<ClusterStatus>)]
    status: ClusterStatus,
    status_reason: String,
    #[diesel(deserialize_as = Document<Map>)]
    metadata: Map,
    #[diesel(deserialize_as = Document<Map>)]
    data: Map,
    #[diesel(deserialize_as = Document<Map>)]
    config: Map,
    shared_with: Vec<String>,
    #[diesel(select_expression = array(member_ids()), select_expression_type = Ids<member_ids>)]
    nodes: Vec<Uuid>,
    #[diesel(select_expression = array(binding_ids()), select_expression_type = Ids<binding_ids>)]
    policies: Vec<Uuid>,
    #[diesel(select_expression = array(dependent_ids()), select_expression_type = Ids<dependent_ids>)]
    dependent_profiles: Vec<Uuid>,
}

/// The ids that a query finds for a cluster, in one column.
type Ids<Query> = array<SqlUuid, Query>;

#[auto_type]
fn member_ids() -> _ {
    let members = nodes::table.filter(nodes::cluster_id.eq(clusters::id.nullable()));
    members.order((nodes::index, nodes::id)).select(nodes::id)
}

#[auto_type]
fn binding_ids() -> _ {
    let bindings = cluster_policies::table.filter(cluster_policies::cluster_id.eq(clusters::id));
    bindings.order(cluster_policies::id).select(cluster_policies::id)
}

diesel::alias! { const DEPENDENTS: Alias<Dependents> = profiles as dependents; }

#[auto_type]
fn dependent_ids() -> _ {
    // A list must not cost what others make of one cluster.
    let (all, most): (Alias<Dependents>, i64) = (DEPENDENTS, 100);
    let dependents = all.filter(all.field(profiles::host_cluster_id).eq(clusters::id.nullable()));
    let first = dependents.order(all.field(profiles::id)).limit(most);
    first.select(all.field(profiles::id))
}

impl From<ClusterRow> for Cluster {
    fn from(row: ClusterRow) -> Self {
        Self {
            id: row.id,
            name: row.name,
            profile_id: row.profile_id,
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
            status: row.status,
            status_reason: row.status_reason,
            metadata: row.metadata,
            data: row.data,
            config: row.config,
            shared_with: row.shared_with,
            nodes: row.nodes.into_iter().map(Into::into).collect(),
            policies: row.policies.into_iter().map(Into::into).collect(),
            dependent_profiles: row.dependent_profiles.into_iter().map(Into::into).collect(),
        }
    }
}

#[auto_type]
fn with_profiles() -> _ {
    clusters::table.inner_join(profiles::table)
}

/// The cluster with that id, whoever's it is: for the engine.
pub async fn get(conn: &mut Conn, id: ClusterId) -> Result<Option<Cluster>> {
    let query = with_profiles().filter(clusters::id.eq(id.0));
    let row: Option<ClusterRow> = query.select(ClusterRow::as_select()).fetch_optional(conn).await?;
    Ok(row.map(Into::into))
}

/// The cluster with that id, name or short id.
///
/// # Errors
/// [`DbError::MultipleChoices`].
pub async fn find(conn: &mut Conn, scope: &Scope, identity: &str) -> Result<Option<Cluster>> {
    let choice = page::identified("clusters", scope, identity);
    let query = with_profiles().filter(Term(choice.filter)).order(Term(choice.tail));
    let rows: Vec<ClusterRow> = query.select(ClusterRow::as_select()).fetch_all(conn).await?;
    Ok(page::choose(rows, identity, |r| r.id.0, |r| r.name.clone())?.map(Into::into))
}

/// A cluster of hosts that an admin shared with this project.
///
/// # Errors
/// [`DbError::MultipleChoices`].
pub async fn find_shared(conn: &mut Conn, project: &str, identity: &str) -> Result<Option<Cluster>> {
    let choice = page::identified("clusters", &Scope::All, identity);
    let query = with_profiles()
        .filter(Term(choice.filter))
        .filter(clusters::shared_with.overlaps_with(vec![project, "*"]))
        .order(Term(choice.tail));
    let rows: Vec<ClusterRow> = query.select(ClusterRow::as_select()).fetch_all(conn).await?;
    Ok(page::choose(rows, identity, |r| r.id.0, |r| r.name.clone())?.map(Into::into))
}

/// A page of clusters.
pub async fn list(conn: &mut Conn, scope: &Scope, filters: &[Filter], page: &Page) -> Result<Vec<Cluster>> {
    let choice = page::page(conn, ROWS, scope, filters, page).await?;
    let query = with_profiles().filter(Term(choice.filter)).order(Term(choice.tail));
    let rows: Vec<ClusterRow> = query.select(ClusterRow::as_select()).fetch_all(conn).await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// A cluster to be recorded.
#[derive(Debug, Clone, Insertable)]
#[diesel(table_name = clusters)]
#[expect(missing_docs, reason = "columns of the same names")]
pub struct NewCluster {
    #[diesel(serialize_as = Uuid)]
    pub id: ClusterId,
    pub name: String,
    #[diesel(serialize_as = Uuid)]
    pub profile_id: ProfileId,
    #[diesel(column_name = user_id)]
    pub user: String,
    pub project: String,
    pub domain: Option<String>,
    pub min_size: i32,
    pub max_size: i32,
    pub desired_capacity: i32,
    pub timeout: i32,
    #[diesel(serialize_as = Document<Map>)]
    pub metadata: Map,
    #[diesel(serialize_as = Document<Map>)]
    pub config: Map,
}

/// Records a cluster, in INIT.
pub async fn insert(conn: &mut Conn, new: &NewCluster) -> Result<()> {
    let status = clusters::status.eq(ClusterStatus::Init.as_str());
    diesel::insert_into(clusters::table)
        .values((new.clone(), status, clusters::status_reason.eq("Initializing")))
        .run(conn)
        .await?;
    Ok(())
}

/// Records a cluster and its CLUSTER_CREATE together.
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

diesel::define_sql_function! {
    /// Whether it holds for any row; null when there is none.
    #[aggregate]
    fn bool_or(it: Bool) -> Nullable<Bool>
}

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
/// limits, and returns the cluster.
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
            let room: Option<(i64, Option<bool>)> = clusters::table
                .filter(clusters::project.eq(&new.project))
                .select((count_star(), bool_or(clusters::name.eq(&new.name))))
                .fetch_optional(conn)
                .await?;
            let (count, taken) = room.unwrap_or_default();
            if count >= limits.clusters {
                return Ok(Err(Refusal::TooMany));
            }
            if limits.unique_names && taken == Some(true) {
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
pub async fn share(conn: &mut Conn, id: ClusterId, projects: &[String]) -> Result<()> {
    diesel::update(clusters::table.find(id.0))
        .set((clusters::shared_with.eq(projects), clusters::updated_at.eq(now)))
        .run(conn)
        .await?;
    Ok(())
}

//! Profiles.

use diesel::{dsl::now, prelude::*};
use senlin_core::{
    Map, Time,
    caller::Scope,
    ids::*,
    profile::{Profile, Spec},
};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    Conn, Result,
    idempotency::Keep,
    page::{self, Filter, Page, Rows},
    run::Run,
    schema::profiles,
    sql::Term,
    stored::{Document, MaybeId},
};

const ROWS: Rows = Rows::of("profiles", "created_at");

#[derive(Queryable, Selectable)]
#[diesel(table_name = profiles, check_for_backend(diesel::pg::Pg))]
struct ProfileRow {
    #[diesel(deserialize_as = Uuid)]
    id: ProfileId,
    name: String,
    type_name: String,
    #[diesel(deserialize_as = Document<Spec>)]
    spec: Spec,
    user_id: String,
    project: String,
    domain: Option<String>,
    #[diesel(deserialize_as = Document<Map>)]
    metadata: Map,
    created_at: Time,
    updated_at: Option<Time>,
}

impl From<ProfileRow> for Profile {
    fn from(row: ProfileRow) -> Self {
        Self {
            id: row.id,
            name: row.name,
            type_name: row.type_name,
            spec: row.spec,
            user: row.user_id,
            project: row.project,
            domain: row.domain,
            metadata: row.metadata,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// The profile with that id, whoever's it is: for the engine.
pub async fn get(conn: &mut Conn, id: ProfileId) -> Result<Option<Profile>> {
    let query = profiles::table.find(id.0).select(ProfileRow::as_select());
    let row: Option<ProfileRow> = query.fetch_optional(conn).await?;
    Ok(row.map(Into::into))
}

/// The profile with that id, name or short id.
///
/// # Errors
/// [`crate::DbError::MultipleChoices`].
pub async fn find(conn: &mut Conn, scope: &Scope, identity: &str) -> Result<Option<Profile>> {
    let choice = page::identified("profiles", scope, identity);
    let query = profiles::table.filter(Term(choice.filter)).order(Term(choice.tail));
    let rows: Vec<ProfileRow> = query.select(ProfileRow::as_select()).fetch_all(conn).await?;
    Ok(page::choose(rows, identity, |r| r.id.0, |r| r.name.clone())?.map(Into::into))
}

/// A page of profiles.
pub async fn list(conn: &mut Conn, scope: &Scope, filters: &[Filter], page: &Page) -> Result<Vec<Profile>> {
    let choice = page::page(conn, ROWS, scope, filters, page).await?;
    let query = profiles::table.filter(Term(choice.filter)).order(Term(choice.tail));
    let rows: Vec<ProfileRow> = query.select(ProfileRow::as_select()).fetch_all(conn).await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// What the profile's `host_node` and `host_cluster` resolved to.
pub async fn hosts(conn: &mut Conn, id: ProfileId) -> Result<(Option<NodeId>, Option<ClusterId>)> {
    let query = profiles::table.find(id.0);
    let row: Option<(Option<Uuid>, Option<Uuid>)> = query
        .select((profiles::host_node_id, profiles::host_cluster_id))
        .fetch_optional(conn)
        .await?;
    let (node, cluster) = row.unwrap_or_default();
    Ok((node.map(Into::into), cluster.map(Into::into)))
}

/// A profile to be recorded; secrets in `spec` are sealed already.
#[derive(Debug, Clone, Insertable)]
#[diesel(table_name = profiles)]
#[expect(missing_docs, reason = "columns of the same names")]
pub struct NewProfile {
    #[diesel(serialize_as = Uuid)]
    pub id: ProfileId,
    pub name: String,
    pub type_name: String,
    pub spec: Value,
    #[diesel(column_name = user_id)]
    pub user: String,
    pub project: String,
    pub domain: Option<String>,
    #[diesel(serialize_as = Document<Map>)]
    pub metadata: Map,
    #[diesel(column_name = host_node_id, serialize_as = MaybeId)]
    pub host_node: Option<NodeId>,
    #[diesel(column_name = host_cluster_id, serialize_as = MaybeId)]
    pub host_cluster: Option<ClusterId>,
}

/// Records a profile.
pub async fn insert(conn: &mut Conn, new: &NewProfile) -> Result<()> {
    let new = new.clone();
    diesel::insert_into(profiles::table).values(new).run(conn).await?;
    Ok(())
}

/// Records a profile, and returns it.
///
/// # Errors
/// A violation ([`crate::DbError::is_in_use`]) when the host or cluster that it
/// names has gone.
pub async fn create(conn: &mut Conn, new: &NewProfile, keep: &Keep<'_, Profile>) -> Result<Profile> {
    conn.transaction(async |conn| {
        let insert = diesel::insert_into(profiles::table).values(new.clone());
        let row: Option<ProfileRow> = insert.returning(ProfileRow::as_select()).fetch_optional(conn).await?;
        let made = row.ok_or(diesel::result::Error::NotFound)?.into();
        keep.settle(conn, &made).await?;
        Ok(made)
    })
    .await
}

/// Changes name or metadata.
pub async fn update(conn: &mut Conn, id: ProfileId, name: Option<&str>, metadata: Option<&Map>) -> Result<()> {
    diesel::update(profiles::table.find(id.0))
        .set((
            name.map(|name| profiles::name.eq(name)),
            metadata.map(|metadata| profiles::metadata.eq(Document(metadata))),
            profiles::updated_at.eq(now),
        ))
        .run(conn)
        .await?;
    Ok(())
}

/// Removes a profile.
///
/// # Errors
/// In use ([`crate::DbError::is_in_use`]) while nodes or clusters have it.
pub async fn delete(conn: &mut Conn, id: ProfileId) -> Result<()> {
    diesel::delete(profiles::table.find(id.0)).run(conn).await?;
    Ok(())
}

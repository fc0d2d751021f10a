//! Profiles.

use diesel::sql_types::{Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use senlin_core::{
    Map, Time,
    caller::Scope,
    ids::*,
    profile::{Profile, Spec},
};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    Conn, DbError, Result,
    idempotency::Keep,
    object,
    page::{self, Filter, Page, Rows},
    run::Run,
    sql::{Sql, row},
};

row! { ProfileRow {
    id: Uuid = SqlUuid,
    name: String = Text,
    type_name: String = Text,
    spec: Value = Jsonb,
    user_id: String = Text,
    project: String = Text,
    domain: Option<String> = Nullable<Text>,
    metadata: Value = Jsonb,
    created_at: Time = Timestamptz,
    updated_at: Option<Time> = Nullable<Timestamptz>,
}}

const ROWS: Rows = Rows {
    name: "t",
    from: "profiles",
    sort: "created_at",
};

const SELECT: &str = "SELECT t.id, t.name, t.type AS type_name, t.spec, t.user_id, t.project, t.domain, t.metadata, \
                      t.created_at, t.updated_at FROM profiles t";

impl TryFrom<ProfileRow> for Profile {
    type Error = DbError;

    fn try_from(row: ProfileRow) -> Result<Self> {
        let spec: Spec = serde_json::from_value(row.spec).map_err(|e| DbError::Corrupt {
            column: "profiles.spec",
            value: e.to_string(),
        })?;
        Ok(Self {
            id: row.id.into(),
            name: row.name,
            type_name: row.type_name,
            spec,
            user: row.user_id,
            project: row.project,
            domain: row.domain,
            metadata: object(row.metadata),
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// The profile with that id, whoever's it is: for the engine.
///
/// # Errors
/// When the database does not answer.
pub async fn get(conn: &mut Conn, id: ProfileId) -> Result<Option<Profile>> {
    let row: Option<ProfileRow> = Sql::new(SELECT)
        .push(" WHERE t.id = ?")
        .bind(id)
        .fetch_optional(conn)
        .await?;
    row.map(TryInto::try_into).transpose()
}

/// The profile with that id, name or short id.
///
/// # Errors
/// [`DbError::MultipleChoices`].
pub async fn find(conn: &mut Conn, scope: &Scope, identity: &str) -> Result<Option<Profile>> {
    let rows: Vec<ProfileRow> = page::identified("t", scope, identity)
        .of(SELECT)
        .fetch_all(conn)
        .await?;
    page::choose(rows, identity, |r| r.id, |r| r.name.clone())?
        .map(TryInto::try_into)
        .transpose()
}

/// A page of profiles.
///
/// # Errors
/// When the database does not answer.
pub async fn list(conn: &mut Conn, scope: &Scope, filters: &[Filter], page: &Page) -> Result<Vec<Profile>> {
    let sql = page::page(conn, ROWS, scope, filters, page).await?.of(SELECT);
    let rows: Vec<ProfileRow> = sql.fetch_all(conn).await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

row! { HostsRow {
    host_node_id: Option<Uuid> = Nullable<SqlUuid>,
    host_cluster_id: Option<Uuid> = Nullable<SqlUuid>,
}}

/// What the profile's `host_node` and `host_cluster` resolved to.
///
/// # Errors
/// When the database does not answer.
pub async fn hosts(conn: &mut Conn, id: ProfileId) -> Result<(Option<NodeId>, Option<ClusterId>)> {
    let row: Option<HostsRow> = Sql::new("SELECT host_node_id, host_cluster_id FROM profiles WHERE id = ?")
        .bind(id)
        .fetch_optional(conn)
        .await?;
    Ok(row.map_or((None, None), |r| {
        (r.host_node_id.map(Into::into), r.host_cluster_id.map(Into::into))
    }))
}

/// A profile to be recorded; secrets in `spec` are sealed already.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "columns of the same names")]
pub struct NewProfile {
    pub id: ProfileId,
    pub name: String,
    pub type_name: String,
    pub spec: Value,
    pub user: String,
    pub project: String,
    pub domain: Option<String>,
    pub metadata: Map,
    pub host_node: Option<NodeId>,
    pub host_cluster: Option<ClusterId>,
}

/// Records a profile.
///
/// # Errors
/// When the database refuses.
pub async fn insert(conn: &mut Conn, new: &NewProfile) -> Result<()> {
    Sql::new(
        "INSERT INTO profiles (id, name, type, spec, user_id, project, domain, metadata, host_node_id, host_cluster_id)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(new.id)
    .bind(new.name.as_str())
    .bind(new.type_name.as_str())
    .bind(new.spec.clone())
    .bind(new.user.as_str())
    .bind(new.project.as_str())
    .bind(new.domain.as_deref())
    .bind(&new.metadata)
    .bind(new.host_node)
    .bind(new.host_cluster)
    .run(conn)
    .await?;
    Ok(())
}

/// Records a profile, and answers it.
///
/// # Errors
/// A violation ([`DbError::is_in_use`]) when the host or cluster that it names
/// has gone.
pub async fn create(conn: &mut Conn, new: &NewProfile, keep: &Keep<'_, Profile>) -> Result<Profile> {
    conn.transaction(async |conn| {
        insert(conn, new).await?;
        let made = get(conn, new.id).await?.ok_or(diesel::result::Error::NotFound)?;
        keep.settle(conn, &made).await?;
        Ok(made)
    })
    .await
}

/// Changes name or metadata.
///
/// # Errors
/// When the database refuses.
pub async fn update(conn: &mut Conn, id: ProfileId, name: Option<&str>, metadata: Option<&Map>) -> Result<()> {
    Sql::new(
        "UPDATE profiles SET name = coalesce(?, name), metadata = coalesce(?, metadata), updated_at = now() WHERE id = ?",
    )
    .bind(name)
    .bind(metadata.map(|m| Value::Object(m.clone())))
    .bind(id)
    .run(conn)
    .await?;
    Ok(())
}

/// Removes a profile.
///
/// # Errors
/// In use ([`DbError::is_in_use`]) while nodes or clusters have it.
pub async fn delete(conn: &mut Conn, id: ProfileId) -> Result<()> {
    Sql::new("DELETE FROM profiles WHERE id = ?").bind(id).run(conn).await?;
    Ok(())
}

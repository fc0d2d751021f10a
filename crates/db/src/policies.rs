//! Policies.

use diesel::sql_types::{Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use senlin_core::{Time, caller::Scope, ids::*, policy::Policy, profile::Spec};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    Conn, DbError, Result,
    idempotency::Keep,
    object,
    page::{self, Filter, Page},
    sql::{Sql, row},
};

row! { PolicyRow {
    id: Uuid = SqlUuid,
    name: String = Text,
    type_name: String = Text,
    spec: Value = Jsonb,
    data: Value = Jsonb,
    user_id: String = Text,
    project: String = Text,
    domain: Option<String> = Nullable<Text>,
    created_at: Time = Timestamptz,
    updated_at: Option<Time> = Nullable<Timestamptz>,
}}

const SELECT: &str = "SELECT t.id, t.name, t.type AS type_name, t.spec, t.data, t.user_id, t.project, t.domain, \
                      t.created_at, t.updated_at FROM policies t";

impl TryFrom<PolicyRow> for Policy {
    type Error = DbError;

    fn try_from(row: PolicyRow) -> Result<Self> {
        let spec: Spec = serde_json::from_value(row.spec).map_err(|e| DbError::Corrupt {
            column: "policies.spec",
            value: e.to_string(),
        })?;
        Ok(Self {
            id: row.id.into(),
            name: row.name,
            type_name: row.type_name,
            spec,
            data: object(row.data),
            user: row.user_id,
            project: row.project,
            domain: row.domain,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// The policy with that id, name or short id.
///
/// # Errors
/// [`DbError::MultipleChoices`].
pub async fn find(conn: &mut Conn, scope: &Scope, identity: &str) -> Result<Option<Policy>> {
    let rows: Vec<PolicyRow> = page::identified(SELECT, scope, identity).load(conn).await?;
    page::choose(rows, identity, |r| r.id, |r| r.name.clone())?
        .map(TryInto::try_into)
        .transpose()
}

/// A page of policies.
///
/// # Errors
/// When the database does not answer.
pub async fn list(conn: &mut Conn, scope: &Scope, filters: &[Filter], page: &Page) -> Result<Vec<Policy>> {
    let sql = page::page(conn, SELECT, "policies", scope, filters, page, "created_at").await?;
    let rows: Vec<PolicyRow> = sql.load(conn).await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// A policy to be recorded.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "columns of the same names")]
pub struct NewPolicy {
    pub id: PolicyId,
    pub name: String,
    pub type_name: String,
    pub spec: Value,
    pub user: String,
    pub project: String,
    pub domain: Option<String>,
}

/// Records a policy.
///
/// # Errors
/// When the database refuses.
pub async fn insert(conn: &mut Conn, new: &NewPolicy) -> Result<()> {
    Sql::new("INSERT INTO policies (id, name, type, spec, user_id, project, domain) VALUES (?, ?, ?, ?, ?, ?, ?)")
        .bind(new.id)
        .bind(new.name.as_str())
        .bind(new.type_name.as_str())
        .bind(new.spec.clone())
        .bind(new.user.as_str())
        .bind(new.project.as_str())
        .bind(new.domain.as_deref())
        .execute(conn)
        .await?;
    Ok(())
}

/// Records a policy, and answers it.
///
/// # Errors
/// When the database refuses.
pub async fn create(conn: &mut Conn, new: &NewPolicy, keep: &Keep<'_, Policy>) -> Result<Policy> {
    conn.transaction(async |conn| {
        insert(conn, new).await?;
        let row: Option<PolicyRow> = Sql::new(SELECT)
            .push(" WHERE t.id = ?")
            .bind(new.id)
            .first(conn)
            .await?;
        let made = row.ok_or(diesel::result::Error::NotFound)?.try_into()?;
        keep.settle(conn, &made).await?;
        Ok(made)
    })
    .await
}

/// Renames a policy.
///
/// # Errors
/// When the database refuses.
pub async fn rename(conn: &mut Conn, id: PolicyId, name: &str) -> Result<()> {
    Sql::new("UPDATE policies SET name = ?, updated_at = now() WHERE id = ?")
        .bind(name)
        .bind(id)
        .execute(conn)
        .await?;
    Ok(())
}

/// Removes a policy.
///
/// # Errors
/// In use ([`DbError::is_in_use`]) while it is attached.
pub async fn delete(conn: &mut Conn, id: PolicyId) -> Result<()> {
    Sql::new("DELETE FROM policies WHERE id = ?")
        .bind(id)
        .execute(conn)
        .await?;
    Ok(())
}

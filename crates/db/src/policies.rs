//! Policies.

use diesel::prelude::*;
use senlin_core::{Map, Time, caller::Scope, ids::*, policy::Policy, profile::Spec};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    Conn, Result,
    idempotency::Keep,
    page::{self, Filter, Page, Rows},
    run::Run,
    schema::policies,
    sql::Term,
    stored::Document,
};

const ROWS: Rows = Rows::of("policies", "created_at");

#[derive(Queryable, Selectable)]
#[diesel(table_name = policies, check_for_backend(diesel::pg::Pg))]
struct PolicyRow {
    #[diesel(deserialize_as = Uuid)]
    id: PolicyId,
    name: String,
    type_name: String,
    #[diesel(deserialize_as = Document<Spec>)]
    spec: Spec,
    #[diesel(deserialize_as = Document<Map>)]
    data: Map,
    user_id: String,
    project: String,
    domain: Option<String>,
    created_at: Time,
    updated_at: Option<Time>,
}

impl From<PolicyRow> for Policy {
    fn from(row: PolicyRow) -> Self {
        Self {
            id: row.id,
            name: row.name,
            type_name: row.type_name,
            spec: row.spec,
            data: row.data,
            user: row.user_id,
            project: row.project,
            domain: row.domain,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// The policy with that id, name or short id.
///
/// # Errors
/// [`crate::DbError::MultipleChoices`].
pub async fn find(conn: &mut Conn, scope: &Scope, identity: &str) -> Result<Option<Policy>> {
    let choice = page::identified("policies", scope, identity);
    let query = policies::table.filter(Term(choice.filter)).order(Term(choice.tail));
    let rows: Vec<PolicyRow> = query.select(PolicyRow::as_select()).fetch_all(conn).await?;
    Ok(page::choose(rows, identity, |r| r.id.0, |r| r.name.clone())?.map(Into::into))
}

/// A page of policies.
pub async fn list(conn: &mut Conn, scope: &Scope, filters: &[Filter], page: &Page) -> Result<Vec<Policy>> {
    let choice = page::page(conn, ROWS, scope, filters, page).await?;
    let query = policies::table.filter(Term(choice.filter)).order(Term(choice.tail));
    let rows: Vec<PolicyRow> = query.select(PolicyRow::as_select()).fetch_all(conn).await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// A policy to be recorded.
#[derive(Debug, Clone, Insertable)]
#[diesel(table_name = policies)]
#[expect(missing_docs, reason = "columns of the same names")]
pub struct NewPolicy {
    #[diesel(serialize_as = Uuid)]
    pub id: PolicyId,
    pub name: String,
    pub type_name: String,
    pub spec: Value,
    #[diesel(column_name = user_id)]
    pub user: String,
    pub project: String,
    pub domain: Option<String>,
}

/// Records a policy.
pub async fn insert(conn: &mut Conn, new: &NewPolicy) -> Result<()> {
    let new = new.clone();
    diesel::insert_into(policies::table).values(new).run(conn).await?;
    Ok(())
}

/// Records a policy, and returns it.
pub async fn create(conn: &mut Conn, new: &NewPolicy, keep: &Keep<'_, Policy>) -> Result<Policy> {
    conn.transaction(async |conn| {
        let insert = diesel::insert_into(policies::table).values(new.clone());
        let row: Option<PolicyRow> = insert.returning(PolicyRow::as_select()).fetch_optional(conn).await?;
        let made = row.ok_or(diesel::result::Error::NotFound)?.into();
        keep.settle(conn, &made).await?;
        Ok(made)
    })
    .await
}

/// Renames a policy.
pub async fn rename(conn: &mut Conn, id: PolicyId, name: &str) -> Result<()> {
    diesel::update(policies::table.find(id.0))
        .set((policies::name.eq(name), policies::updated_at.eq(diesel::dsl::now)))
        .run(conn)
        .await?;
    Ok(())
}

/// Removes a policy.
///
/// # Errors
/// In use ([`crate::DbError::is_in_use`]) while it is attached.
pub async fn delete(conn: &mut Conn, id: PolicyId) -> Result<()> {
    diesel::delete(policies::table.find(id.0)).run(conn).await?;
    Ok(())
}

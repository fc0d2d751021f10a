//! Receivers.

use diesel::sql_types::{Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use senlin_core::{Map, Time, caller::Scope, ids::*, receiver::Receiver};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    Conn, Result,
    idempotency::Keep,
    object,
    page::{self, Filter, Page, Rows},
    run::Run,
    sql::{Sql, row},
};

row! { ReceiverRow {
    id: Uuid = SqlUuid,
    name: String = Text,
    type_name: String = Text,
    user_id: String = Text,
    project: String = Text,
    domain: Option<String> = Nullable<Text>,
    cluster_id: Option<Uuid> = Nullable<SqlUuid>,
    action: Option<String> = Nullable<Text>,
    actor: Value = Jsonb,
    params: Value = Jsonb,
    channel: Value = Jsonb,
    options: Value = Jsonb,
    key: String = Text,
    created_at: Time = Timestamptz,
    updated_at: Option<Time> = Nullable<Timestamptz>,
    expires_at: Option<Time> = Nullable<Timestamptz>,
}}

const ROWS: Rows = Rows {
    name: "t",
    from: "receivers",
    sort: "name",
};

const SELECT: &str = "SELECT t.id, t.name, t.type AS type_name, t.user_id, t.project, t.domain, t.cluster_id, \
                      t.action, t.actor, t.params, t.channel, t.options, t.key, t.created_at, t.updated_at, t.expires_at \
                      FROM receivers t";

impl From<ReceiverRow> for Receiver {
    fn from(row: ReceiverRow) -> Self {
        Self {
            id: row.id.into(),
            name: row.name,
            type_name: row.type_name,
            user: row.user_id,
            project: row.project,
            domain: row.domain,
            cluster_id: row.cluster_id.map(Into::into),
            action: row.action,
            actor: object(row.actor),
            params: object(row.params),
            channel: object(row.channel),
            options: object(row.options),
            key: row.key,
            created_at: row.created_at,
            updated_at: row.updated_at,
            expires_at: row.expires_at,
        }
    }
}

/// The receiver with that id, name or short id.
///
/// # Errors
/// [`crate::DbError::MultipleChoices`].
pub async fn find(conn: &mut Conn, scope: &Scope, identity: &str) -> Result<Option<Receiver>> {
    let rows: Vec<ReceiverRow> = page::identified("t", scope, identity)
        .of(SELECT)
        .fetch_all(conn)
        .await?;
    Ok(page::choose(rows, identity, |r| r.id, |r| r.name.clone())?.map(Into::into))
}

/// The receiver with that id, whoever's it is: for whoever holds its key.
///
/// # Errors
/// When the database does not answer.
pub async fn get(conn: &mut Conn, id: ReceiverId) -> Result<Option<Receiver>> {
    let row: Option<ReceiverRow> = Sql::new(SELECT)
        .push(" WHERE t.id = ?")
        .bind(id)
        .fetch_optional(conn)
        .await?;
    Ok(row.map(Into::into))
}

/// A page of receivers.
///
/// # Errors
/// When the database does not answer.
pub async fn list(conn: &mut Conn, scope: &Scope, filters: &[Filter], page: &Page) -> Result<Vec<Receiver>> {
    let sql = page::page(conn, ROWS, scope, filters, page).await?.of(SELECT);
    let rows: Vec<ReceiverRow> = sql.fetch_all(conn).await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// Records a receiver, and answers it; its times are the database's own.
///
/// # Errors
/// A violation ([`crate::DbError::is_in_use`]) when the cluster has gone.
pub async fn create(conn: &mut Conn, new: &Receiver, keep: &Keep<'_, Receiver>) -> Result<Receiver> {
    conn.transaction(async |conn| {
        insert(conn, new).await?;
        let made = get(conn, new.id).await?.ok_or(diesel::result::Error::NotFound)?;
        keep.settle(conn, &made).await?;
        Ok(made)
    })
    .await
}

async fn insert(conn: &mut Conn, new: &Receiver) -> Result<()> {
    Sql::new(
        "INSERT INTO receivers (id, name, type, user_id, project, domain, cluster_id, action, actor, params, channel,
            options, key, expires_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(new.id)
    .bind(new.name.as_str())
    .bind(new.type_name.as_str())
    .bind(new.user.as_str())
    .bind(new.project.as_str())
    .bind(new.domain.as_deref())
    .bind(new.cluster_id)
    .bind(new.action.as_deref())
    .bind(&new.actor)
    .bind(&new.params)
    .bind(&new.channel)
    .bind(&new.options)
    .bind(new.key.as_str())
    .bind(new.expires_at)
    .run(conn)
    .await?;
    Ok(())
}

/// What an update changes; none leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(missing_docs, reason = "columns of the same names")]
pub struct Change {
    pub name: Option<String>,
    pub action: Option<String>,
    pub params: Option<Map>,
    pub options: Option<Map>,
    pub key: Option<String>,
    pub expires_at: Option<Time>,
}

/// Changes a receiver.
///
/// # Errors
/// When the database refuses.
pub async fn update(conn: &mut Conn, id: ReceiverId, change: &Change) -> Result<()> {
    Sql::new(
        "UPDATE receivers SET name = coalesce(?, name), action = coalesce(?, action), params = coalesce(?, params),
            options = coalesce(?, options),
            key = coalesce(?, key), expires_at = coalesce(?, expires_at), updated_at = now() WHERE id = ?",
    )
    .bind(change.name.as_deref())
    .bind(change.action.as_deref())
    .bind(change.params.clone().map(Value::Object))
    .bind(change.options.clone().map(Value::Object))
    .bind(change.key.as_deref())
    .bind(change.expires_at)
    .bind(id)
    .run(conn)
    .await?;
    Ok(())
}

/// Removes a receiver and what came in through it.
///
/// # Errors
/// When the database refuses.
pub async fn delete(conn: &mut Conn, id: ReceiverId) -> Result<()> {
    Sql::new("WITH came AS (DELETE FROM deliveries WHERE receiver_id = ?) DELETE FROM receivers WHERE id = ?")
        .bind(id)
        .bind(id)
        .run(conn)
        .await?;
    Ok(())
}

//! Receivers.

use diesel::{dsl::now, prelude::*};
use senlin_core::{Map, Time, caller::Scope, ids::*, receiver::Receiver};
use uuid::Uuid;

use crate::{
    Conn, Result,
    idempotency::Keep,
    page::{self, Filter, Page, Rows},
    run::Run,
    schema::receivers,
    sql::Term,
    statements::delete_receiver::delete_receiver,
    stored::{Document, MaybeId},
};

const ROWS: Rows = Rows::of("receivers", "name");

#[derive(Queryable, Selectable)]
#[diesel(table_name = receivers, check_for_backend(diesel::pg::Pg))]
struct ReceiverRow {
    #[diesel(deserialize_as = Uuid)]
    id: ReceiverId,
    name: String,
    type_name: String,
    user_id: String,
    project: String,
    domain: Option<String>,
    #[diesel(deserialize_as = MaybeId)]
    cluster_id: Option<ClusterId>,
    action: Option<String>,
    #[diesel(deserialize_as = Document<Map>)]
    actor: Map,
    #[diesel(deserialize_as = Document<Map>)]
    params: Map,
    #[diesel(deserialize_as = Document<Map>)]
    channel: Map,
    #[diesel(deserialize_as = Document<Map>)]
    options: Map,
    key: String,
    created_at: Time,
    updated_at: Option<Time>,
    expires_at: Option<Time>,
}

impl From<ReceiverRow> for Receiver {
    fn from(row: ReceiverRow) -> Self {
        Self {
            id: row.id,
            name: row.name,
            type_name: row.type_name,
            user: row.user_id,
            project: row.project,
            domain: row.domain,
            cluster_id: row.cluster_id,
            action: row.action,
            actor: row.actor,
            params: row.params,
            channel: row.channel,
            options: row.options,
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
    let choice = page::identified("receivers", scope, identity);
    let query = receivers::table.filter(Term(choice.filter)).order(Term(choice.tail));
    let rows: Vec<ReceiverRow> = query.select(ReceiverRow::as_select()).fetch_all(conn).await?;
    Ok(page::choose(rows, identity, |r| r.id.0, |r| r.name.clone())?.map(Into::into))
}

/// The receiver with that id, whoever's it is: for whoever holds its key.
pub async fn get(conn: &mut Conn, id: ReceiverId) -> Result<Option<Receiver>> {
    let query = receivers::table.find(id.0).select(ReceiverRow::as_select());
    let row: Option<ReceiverRow> = query.fetch_optional(conn).await?;
    Ok(row.map(Into::into))
}

/// A page of receivers.
pub async fn list(conn: &mut Conn, scope: &Scope, filters: &[Filter], page: &Page) -> Result<Vec<Receiver>> {
    let choice = page::page(conn, ROWS, scope, filters, page).await?;
    let query = receivers::table.filter(Term(choice.filter)).order(Term(choice.tail));
    let rows: Vec<ReceiverRow> = query.select(ReceiverRow::as_select()).fetch_all(conn).await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// Records a receiver, and returns it; its times are the database's own.
///
/// # Errors
/// A violation ([`crate::DbError::is_in_use`]) when the cluster has gone.
pub async fn create(conn: &mut Conn, new: &Receiver, keep: &Keep<'_, Receiver>) -> Result<Receiver> {
    conn.transaction(async |conn| {
        let insert = diesel::insert_into(receivers::table).values((
            receivers::id.eq(new.id.0),
            receivers::name.eq(&new.name),
            receivers::type_name.eq(&new.type_name),
            receivers::user_id.eq(&new.user),
            receivers::project.eq(&new.project),
            receivers::domain.eq(&new.domain),
            receivers::cluster_id.eq(MaybeId::from(new.cluster_id)),
            receivers::action.eq(&new.action),
            receivers::actor.eq(Document(&new.actor)),
            receivers::params.eq(Document(&new.params)),
            receivers::channel.eq(Document(&new.channel)),
            receivers::options.eq(Document(&new.options)),
            receivers::key.eq(&new.key),
            receivers::expires_at.eq(new.expires_at),
        ));
        let row: Option<ReceiverRow> = insert.returning(ReceiverRow::as_select()).fetch_optional(conn).await?;
        let made = row.ok_or(diesel::result::Error::NotFound)?.into();
        keep.settle(conn, &made).await?;
        Ok(made)
    })
    .await
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
pub async fn update(conn: &mut Conn, id: ReceiverId, change: &Change) -> Result<()> {
    diesel::update(receivers::table.find(id.0))
        .set((
            change.name.as_ref().map(|name| receivers::name.eq(name)),
            change.action.as_ref().map(|action| receivers::action.eq(action)),
            change
                .params
                .as_ref()
                .map(|params| receivers::params.eq(Document(params))),
            change
                .options
                .as_ref()
                .map(|options| receivers::options.eq(Document(options))),
            change.key.as_ref().map(|key| receivers::key.eq(key)),
            change.expires_at.map(|at| receivers::expires_at.eq(at)),
            receivers::updated_at.eq(now),
        ))
        .run(conn)
        .await?;
    Ok(())
}

/// Removes a receiver and what came in through it.
pub async fn delete(conn: &mut Conn, id: ReceiverId) -> Result<()> {
    delete_receiver(conn, id).await
}

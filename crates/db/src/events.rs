//! Events.

use diesel::sql_types::{Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use senlin_core::{Time, caller::Scope, event::Event};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    Conn, Result, object,
    page::{self, Filter, Page},
    sql::{Sql, row},
};

row! { EventRow {
    id: Uuid = SqlUuid,
    timestamp: Time = Timestamptz,
    oid: Uuid = SqlUuid,
    oname: String = Text,
    otype: String = Text,
    cluster_id: Option<Uuid> = Nullable<SqlUuid>,
    level: String = Text,
    user_id: String = Text,
    project: String = Text,
    action: String = Text,
    status: String = Text,
    status_reason: String = Text,
    meta_data: Value = Jsonb,
}}

const SELECT: &str = "SELECT t.id, t.timestamp, t.oid, t.oname, t.otype, t.cluster_id, t.level, t.user_id, \
                      t.project, t.action, t.status, t.status_reason, t.meta_data FROM events t";

impl From<EventRow> for Event {
    fn from(row: EventRow) -> Self {
        Self {
            id: row.id.into(),
            timestamp: row.timestamp,
            oid: row.oid,
            oname: row.oname,
            otype: row.otype,
            cluster_id: row.cluster_id.map(Into::into),
            level: row.level,
            user: row.user_id,
            project: row.project,
            action: row.action,
            status: row.status,
            status_reason: row.status_reason,
            meta_data: object(row.meta_data),
        }
    }
}

/// The event with that id or short id.
///
/// # Errors
/// [`crate::DbError::MultipleChoices`].
pub async fn find(conn: &mut Conn, scope: &Scope, identity: &str) -> Result<Option<Event>> {
    let (least, most) = match identity.parse::<Uuid>() {
        Ok(id) => (id, id),
        Err(_) => match page::beginning(identity) {
            Some(range) => range,
            None => return Ok(None),
        },
    };
    let mut sql = Sql::new(SELECT)
        .push(" WHERE t.id BETWEEN ? AND ?")
        .bind(least)
        .bind(most);
    if let Scope::Project(project) = scope {
        sql = sql.push(" AND t.project = ?").bind(project.as_str());
    }
    let rows: Vec<EventRow> = sql.push(" LIMIT 2").load(conn).await?;
    Ok(page::choose(rows, identity, |r| r.id, |r| r.id.to_string())?.map(Into::into))
}

/// A page of events.
///
/// # Errors
/// When the database does not answer.
pub async fn list(conn: &mut Conn, scope: &Scope, filters: &[Filter], page: &Page) -> Result<Vec<Event>> {
    let sql = page::page(conn, SELECT, "events", scope, filters, page, "timestamp").await?;
    let rows: Vec<EventRow> = sql.load(conn).await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

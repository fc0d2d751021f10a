//! Requests that came with an `Idempotency-Key`, and what they were answered.

use diesel::sql_types::{Integer, Jsonb, Nullable, Text};
use serde_json::Value;

use crate::{
    Conn, Result,
    sql::{Sql, row},
};

/// What was answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// HTTP status.
    pub status: u16,
    /// Where the action is, if there is one.
    pub location: Option<String>,
    /// The body.
    pub body: Value,
}

/// What is known of a key.
#[derive(Debug, Clone, PartialEq)]
pub enum Begun {
    /// Nothing: it is taken from now on.
    New,
    /// The same request was answered so.
    Answered(Stored),
    /// The same request has no answer yet, or never got one.
    Unanswered,
    /// It was used for another request.
    Other,
}

row! { KeyRow {
    fingerprint: String = Text,
    status: Option<i32> = Nullable<Integer>,
    location: Option<String> = Nullable<Text>,
    body: Option<Value> = Nullable<Jsonb>,
}}

/// Takes a key for a request, unless it is taken.
///
/// # Errors
/// When the database does not answer.
pub async fn begin(conn: &mut Conn, project: &str, key: &str, fingerprint: &str) -> Result<Begun> {
    let taken =
        Sql::new("INSERT INTO idempotency_keys (project, key, fingerprint) VALUES (?, ?, ?) ON CONFLICT DO NOTHING")
            .bind(project)
            .bind(key)
            .bind(fingerprint)
            .execute(conn)
            .await?;
    if taken == 1 {
        return Ok(Begun::New);
    }
    let row: Option<KeyRow> =
        Sql::new("SELECT fingerprint, status, location, body FROM idempotency_keys WHERE project = ? AND key = ?")
            .bind(project)
            .bind(key)
            .first(conn)
            .await?;
    Ok(match row {
        // Forgotten this moment: the next try finds it free.
        None => Begun::Unanswered,
        Some(row) if row.fingerprint != fingerprint => Begun::Other,
        Some(row) => match row.status.and_then(|s| u16::try_from(s).ok()) {
            Some(status) => Begun::Answered(Stored {
                status,
                location: row.location,
                body: row.body.unwrap_or_default(),
            }),
            None => Begun::Unanswered,
        },
    })
}

/// Keeps what a request was answered.
///
/// # Errors
/// When the database does not answer.
pub async fn finish(conn: &mut Conn, project: &str, key: &str, answer: &Stored) -> Result<()> {
    Sql::new("UPDATE idempotency_keys SET status = ?, location = ?, body = ? WHERE project = ? AND key = ?")
        .bind(i32::from(answer.status))
        .bind(answer.location.as_deref())
        .bind(answer.body.clone())
        .bind(project)
        .bind(key)
        .execute(conn)
        .await?;
    Ok(())
}

/// Gives a key back: nothing was done under it.
///
/// # Errors
/// When the database does not answer.
pub async fn forget(conn: &mut Conn, project: &str, key: &str) -> Result<()> {
    Sql::new("DELETE FROM idempotency_keys WHERE project = ? AND key = ?")
        .bind(project)
        .bind(key)
        .execute(conn)
        .await?;
    Ok(())
}

/// Forgets keys older than so many hours.
///
/// # Errors
/// When the database does not answer.
pub async fn purge(conn: &mut Conn, hours: i32) -> Result<usize> {
    Sql::new("DELETE FROM idempotency_keys WHERE created_at < now() - make_interval(hours => ?)")
        .bind(hours)
        .execute(conn)
        .await
}

//! Requests that came with an `Idempotency-Key`, and what they were answered.
//!
//! The transaction that does what was asked also records the answer
//! (`Keep::settle`): either both are there or none is, so that a repeat
//! never does it again, whatever became of the first answer on its way.

use diesel::sql_types::{Integer, Nullable, Text};
use senlin_core::seal::Sealer;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    Conn, DbError, Result,
    run::Run,
    sql::{Sql, row},
};

/// Seconds after which a request that has recorded no answer may be made
/// anew; longer than any request takes.
const PATIENCE: f64 = 60.0;

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

/// A key in the hands of one request.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The project of the caller.
    pub project: String,
    /// The caller: a key is their own.
    pub user: String,
    /// The key.
    pub key: String,
    /// This very request.
    pub token: Uuid,
    /// Seals answers, which can hold secrets.
    pub sealer: Sealer,
}

/// What is known of a key.
#[derive(Debug, Clone, PartialEq)]
pub enum Begun {
    /// Nothing, or nothing for long: it is this request's from now on.
    New,
    /// The same request was answered so.
    Answered(Stored),
    /// The same request has no answer yet.
    Unanswered,
    /// It was used for another request.
    Other,
}

row! { KeyRow {
    fingerprint: String = Text,
    status: Option<i32> = Nullable<Integer>,
    location: Option<String> = Nullable<Text>,
    body: Option<String> = Nullable<Text>,
}}

/// Takes a key for a request, unless it is taken.
///
/// # Errors
/// When the database does not answer, or the answer cannot be opened.
pub async fn begin(conn: &mut Conn, claim: &Claim, fingerprint: &str) -> Result<Begun> {
    let taken = Sql::new(
        "INSERT INTO idempotency_keys AS k (project, user_id, key, fingerprint, token) VALUES (?, ?, ?, ?, ?)
        ON CONFLICT (project, user_id, key) DO UPDATE SET token = excluded.token, begun_at = now()
        WHERE k.status IS NULL AND k.fingerprint = excluded.fingerprint
            AND k.begun_at < now() - make_interval(secs => ?)",
    )
    .bind(claim.project.as_str())
    .bind(claim.user.as_str())
    .bind(claim.key.as_str())
    .bind(fingerprint)
    .bind(claim.token)
    .bind(PATIENCE)
    .run(conn)
    .await?;
    if taken == 1 {
        return Ok(Begun::New);
    }
    let row: Option<KeyRow> = Sql::new(
        "SELECT fingerprint, status, location, body FROM idempotency_keys
        WHERE project = ? AND user_id = ? AND key = ?",
    )
    .bind(claim.project.as_str())
    .bind(claim.user.as_str())
    .bind(claim.key.as_str())
    .fetch_optional(conn)
    .await?;
    Ok(match row {
        // Forgotten this moment: the next try finds it free.
        None => Begun::Unanswered,
        Some(row) if row.fingerprint != fingerprint => Begun::Other,
        Some(row) => match row.status.and_then(|s| u16::try_from(s).ok()) {
            Some(status) => Begun::Answered(Stored {
                status,
                location: row.location,
                body: opened(&claim.sealer, row.body.as_deref())?,
            }),
            None => Begun::Unanswered,
        },
    })
}

fn unusable(error: impl std::fmt::Display) -> DbError {
    DbError::Corrupt {
        column: "idempotency_keys.body",
        value: error.to_string(),
    }
}

fn opened(sealer: &Sealer, body: Option<&str>) -> Result<Value> {
    let Some(sealed) = body else { return Ok(Value::Null) };
    let text = sealer.open(sealed).map_err(unusable)?;
    serde_json::from_str(text.expose()).map_err(unusable)
}

/// Keeps what a request was answered that has changed nothing, such as a
/// refusal. Nothing happens to an answer that is there.
///
/// # Errors
/// When the database does not answer.
pub async fn finish(conn: &mut Conn, claim: &Claim, answer: &Stored) -> Result<bool> {
    let sealed = claim.sealer.seal(&answer.body.to_string()).map_err(unusable)?;
    let touched = Sql::new(
        "UPDATE idempotency_keys SET status = ?, location = ?, body = ?
        WHERE project = ? AND user_id = ? AND key = ? AND token = ? AND status IS NULL",
    )
    .bind(i32::from(answer.status))
    .bind(answer.location.as_deref())
    .bind(sealed)
    .bind(claim.project.as_str())
    .bind(claim.user.as_str())
    .bind(claim.key.as_str())
    .bind(claim.token)
    .run(conn)
    .await?;
    Ok(touched == 1)
}

/// Gives a key back under which nothing was done. One with an answer stays.
///
/// # Errors
/// When the database does not answer.
pub async fn forget(conn: &mut Conn, claim: &Claim) -> Result<()> {
    Sql::new(
        "DELETE FROM idempotency_keys
        WHERE project = ? AND user_id = ? AND key = ? AND token = ? AND status IS NULL",
    )
    .bind(claim.project.as_str())
    .bind(claim.user.as_str())
    .bind(claim.key.as_str())
    .bind(claim.token)
    .run(conn)
    .await?;
    Ok(())
}

/// What a request will be answered once its work, which makes a `T`, is done.
pub struct Keep<'a, T: ?Sized> {
    claim: Option<&'a Claim>,
    answer: &'a (dyn Fn(&T) -> Stored + Sync),
}

impl<'a, T: ?Sized> Keep<'a, T> {
    /// The answer to a request; without a claim it is kept nowhere.
    #[must_use]
    pub fn new(claim: Option<&'a Claim>, answer: &'a (dyn Fn(&T) -> Stored + Sync)) -> Self {
        Self { claim, answer }
    }

    /// Records the answer. Call it last in the transaction that does the work.
    ///
    /// # Errors
    /// [`DbError::KeyLost`] when another request holds the key by now.
    pub(crate) async fn settle(&self, conn: &mut Conn, made: &T) -> Result<()> {
        let Some(claim) = self.claim else { return Ok(()) };
        if finish(conn, claim, &(self.answer)(made)).await? {
            Ok(())
        } else {
            Err(DbError::KeyLost)
        }
    }
}

/// Forgets keys older than so many hours.
///
/// # Errors
/// When the database does not answer.
pub async fn purge(conn: &mut Conn, hours: i32) -> Result<usize> {
    Sql::new("DELETE FROM idempotency_keys WHERE created_at < now() - make_interval(hours => ?)")
        .bind(hours)
        .run(conn)
        .await
}

//! Requests that came with an `Idempotency-Key`, and what they were answered.
//!
//! The transaction that does what was asked also records the answer
//! (`Keep::settle`): either both are there or none is, so that a repeat
//! never does it again, whatever became of the first answer on its way.

use diesel::{
    dsl::{IntervalDsl, now},
    prelude::*,
    upsert::excluded,
};
use senlin_core::seal::Sealer;
use serde_json::Value;
use uuid::Uuid;

use crate::{Conn, DbError, Result, functions::ago, run::Run, schema::idempotency_keys};

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

#[derive(Queryable, Selectable)]
#[diesel(table_name = idempotency_keys, check_for_backend(diesel::pg::Pg))]
struct KeyRow {
    fingerprint: String,
    status: Option<i32>,
    location: Option<String>,
    body: Option<String>,
}

/// Takes a key for a request, unless it is taken.
///
/// # Errors
/// [`DbError::Corrupt`] when the answer cannot be opened.
pub async fn begin(conn: &mut Conn, claim: &Claim, fingerprint: &str) -> Result<Begun> {
    // Only here: beside diesel's prelude it makes the `filter` of a table ambiguous.
    use diesel::query_dsl::methods::FilterDsl;

    let key = (claim.project.as_str(), claim.user.as_str(), claim.key.as_str());
    let free = idempotency_keys::status
        .is_null()
        .and(idempotency_keys::fingerprint.eq(excluded(idempotency_keys::fingerprint)))
        .and(idempotency_keys::begun_at.lt(ago(PATIENCE.seconds())));
    let taken = diesel::insert_into(idempotency_keys::table)
        .values((
            idempotency_keys::project.eq(&claim.project),
            idempotency_keys::user_id.eq(&claim.user),
            idempotency_keys::key.eq(&claim.key),
            idempotency_keys::fingerprint.eq(fingerprint),
            idempotency_keys::token.eq(claim.token),
        ))
        .on_conflict(idempotency_keys::table.primary_key())
        .do_update()
        .set((
            idempotency_keys::token.eq(excluded(idempotency_keys::token)),
            idempotency_keys::begun_at.eq(now),
        ))
        .filter(free)
        .run(conn)
        .await?;
    if taken == 1 {
        return Ok(Begun::New);
    }
    let known = idempotency_keys::table.find(key).select(KeyRow::as_select());
    let row: Option<KeyRow> = known.fetch_optional(conn).await?;
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

/// The key while it is this request's, and has no answer.
#[diesel::dsl::auto_type(no_type_alias)]
fn held<'a>(claim: &'a Claim) -> _ {
    let (project, user, key): (&'a str, &'a str, &'a str) = (&claim.project, &claim.user, &claim.key);
    let token: Uuid = claim.token;
    let known = idempotency_keys::table.find((project, user, key));
    known
        .filter(idempotency_keys::token.eq(token))
        .filter(idempotency_keys::status.is_null())
}

/// Keeps what a request was answered that has changed nothing, such as a
/// refusal. Nothing happens to an answer that is there.
pub async fn finish(conn: &mut Conn, claim: &Claim, answer: &Stored) -> Result<bool> {
    let sealed = claim.sealer.seal(&answer.body.to_string()).map_err(unusable)?;
    let touched = diesel::update(held(claim))
        .set((
            idempotency_keys::status.eq(i32::from(answer.status)),
            idempotency_keys::location.eq(answer.location.as_deref()),
            idempotency_keys::body.eq(sealed),
        ))
        .run(conn)
        .await?;
    Ok(touched == 1)
}

/// Gives a key back under which nothing was done. One with an answer stays.
pub async fn forget(conn: &mut Conn, claim: &Claim) -> Result<()> {
    diesel::delete(held(claim)).run(conn).await?;
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
pub async fn purge(conn: &mut Conn, hours: i32) -> Result<usize> {
    let old = idempotency_keys::created_at.lt(ago(hours.hours()));
    diesel::delete(idempotency_keys::table.filter(old)).run(conn).await
}

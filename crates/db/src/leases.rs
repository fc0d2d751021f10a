//! Leases: what an engine owns, it owns for a time, and renews by name. What
//! it owns and does not know of goes back to the queue.

use diesel::sql_types::{Bool, Integer, Uuid as SqlUuid};
use senlin_core::ids::*;
use uuid::Uuid;

use crate::{
    Conn, Result,
    events::Record,
    queue::end,
    run::Run,
    sql::{Sql, row},
};

/// A claim: the action, and which time it was claimed.
pub type Claim = (ActionId, i32);

row! { ClaimRow { id: Uuid = SqlUuid, attempt: i32 = Integer } }
row! { HeldRow { id: Uuid = SqlUuid, attempt: i32 = Integer, cancel: bool = Bool, renewed: bool = Bool } }
row! { IdRow { id: Uuid = SqlUuid } }

fn split(claims: &[Claim]) -> (Vec<Uuid>, Vec<i64>) {
    claims.iter().map(|(id, attempt)| (id.0, i64::from(*attempt))).unzip()
}

/// A claim that is still its owner's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Which.
    pub claim: Claim,
    /// Its lease was renewed; not while a statement of its own holds its row.
    pub renewed: bool,
    /// Its end was asked for.
    pub cancel: bool,
}

/// Renews exactly these claims of `owner` for `lease` seconds. Returns those
/// that are still its own.
///
/// # Errors
/// When the database does not answer.
pub async fn renew(conn: &mut Conn, owner: ServiceId, claims: &[Claim], lease: i32) -> Result<Vec<Held>> {
    let (ids, attempts) = split(claims);
    let rows: Vec<HeldRow> = Sql::new(
        "WITH ours AS (
            SELECT a.id, a.attempt, a.control IS NOT NULL AS cancel
            FROM actions a JOIN unnest(?, ?) AS h(id, attempt) ON a.id = h.id AND a.attempt = h.attempt
            WHERE a.owner = ? AND a.status = 'RUNNING'),
        free AS (
            SELECT a.id FROM actions a JOIN ours USING (id, attempt)
            WHERE a.owner = ? AND a.status = 'RUNNING' ORDER BY a.id FOR NO KEY UPDATE OF a SKIP LOCKED),
        renewed AS (
            UPDATE actions a SET lease_expires_at = now() + make_interval(secs => ?)
            FROM free WHERE a.id = free.id RETURNING a.id)
        SELECT ours.id, attempt, cancel, renewed.id IS NOT NULL AS renewed FROM ours LEFT JOIN renewed USING (id)",
    )
    .bind(ids)
    .bind(attempts)
    .bind(owner)
    .bind(owner)
    .bind(f64::from(lease))
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| Held {
            claim: (r.id.into(), r.attempt),
            renewed: r.renewed,
            cancel: r.cancel,
        })
        .collect())
}

/// Hands back what `owner` owns beside `claims`: nobody works on it. A claim
/// younger than `grace` seconds may not have come to its engine's knowledge
/// yet, and stays. Returns what was handed back.
///
/// # Errors
/// When the database does not answer.
pub async fn hand_back_others(
    conn: &mut Conn,
    owner: ServiceId,
    claims: &[Claim],
    lease: i32,
    grace: f64,
) -> Result<Vec<ActionId>> {
    let (ids, attempts) = split(claims);
    let rows: Vec<IdRow> = Sql::new(
        "WITH stray AS (
            SELECT a.id FROM actions a
            WHERE a.owner = ? AND a.status = 'RUNNING'
                AND a.lease_expires_at < now() + make_interval(secs => ?)
                AND NOT EXISTS (SELECT 1 FROM unnest(?, ?) AS h(id, attempt)
                    WHERE h.id = a.id AND h.attempt = a.attempt)
            ORDER BY a.id FOR UPDATE OF a SKIP LOCKED),",
    )
    .push(&back())
    .bind(owner)
    .bind(f64::from(lease) - grace)
    .bind(ids)
    .bind(attempts)
    .bind("Its engine lost track of it.")
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|r| r.id.into()).collect())
}

/// Hands one claim back at once: its work broke off without an end.
///
/// # Errors
/// When the database does not answer.
pub async fn release(conn: &mut Conn, owner: ServiceId, claim: Claim, reason: &str) -> Result<bool> {
    let rows: Vec<IdRow> = Sql::new(
        "WITH stray AS (
            SELECT a.id FROM actions a
            WHERE a.owner = ? AND a.status = 'RUNNING' AND a.id = ? AND a.attempt = ? FOR UPDATE),",
    )
    .push(&back())
    .bind(owner)
    .bind(claim.0)
    .bind(claim.1)
    .bind(reason)
    .fetch_all(conn)
    .await?;
    Ok(!rows.is_empty())
}

/// What `stray` names is READY again, later each time, and its locks stay.
pub(crate) fn back() -> String {
    let told = Record {
        from: "back",
        level: "'WARN'",
        status: "'retry'",
        ..Record::ACTION
    };
    format!(
        "
back AS (
    UPDATE actions a SET status = 'READY', owner = NULL, lease_expires_at = NULL, retries = retries + 1,
        status_reason = ?, updated_at = now(),
        run_after = {}
    FROM stray WHERE a.id = stray.id RETURNING a.*),
told AS ({})
SELECT id FROM back",
        end::due("least(60, power(2, least(retries, 6)) - 1)"),
        told.of_actions()
    )
}

/// Those of these claims whose end was asked for.
///
/// # Errors
/// When the database does not answer.
pub async fn cancelled(conn: &mut Conn, owner: ServiceId, claims: &[Claim]) -> Result<Vec<Claim>> {
    let (ids, _) = split(claims);
    let rows: Vec<ClaimRow> = Sql::new(
        "SELECT id, attempt FROM actions
        WHERE id = ANY (?) AND owner = ? AND status = 'RUNNING' AND control IS NOT NULL",
    )
    .bind(ids)
    .bind(owner)
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|r| (r.id.into(), r.attempt)).collect())
}

/// Hands back everything of `owner`, untouched, when it shuts down.
///
/// # Errors
/// When the database does not answer.
pub async fn release_all(conn: &mut Conn, owner: ServiceId) -> Result<usize> {
    Sql::new(
        "WITH mine AS (
            SELECT id FROM actions WHERE owner = ? AND status = 'RUNNING' ORDER BY id FOR UPDATE)
        UPDATE actions a SET status = 'READY', owner = NULL, lease_expires_at = NULL, updated_at = now(),
            status_reason = 'Handed back by an engine that shut down.'
        FROM mine WHERE a.id = mine.id",
    )
    .bind(owner)
    .run(conn)
    .await
}

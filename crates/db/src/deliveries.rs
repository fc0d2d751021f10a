//! What came in through receivers, and what became of it.

use diesel::sql_types::{Bool, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use senlin_core::{Time, ids::*};
use uuid::Uuid;

use crate::{
    Conn, Result,
    history::all_actions,
    run::Run,
    sql::{Sql, row},
};

/// Deliveries that are kept per receiver.
const KEPT: i64 = 100;

/// One alert of a delivery, and what became of it.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// When.
    pub received_at: Time,
    /// Its name, for people.
    pub alert: String,
    /// `FIRING`, `RESOLVED` or `OTHER`.
    pub state: String,
    /// `BEGUN`, `ACTED`, `REPEATED`, `IGNORED` or `REFUSED`.
    pub outcome: String,
    /// Why.
    pub reason: String,
    /// What it led to.
    pub action: Option<ActionId>,
    /// How that stands now.
    pub action_status: Option<String>,
    /// Why.
    pub action_reason: Option<String>,
}

row! { DeliveryRow {
    received_at: Time = Timestamptz,
    alert: String = Text,
    state: String = Text,
    outcome: String = Text,
    reason: String = Text,
    action_id: Option<Uuid> = Nullable<SqlUuid>,
    action_status: Option<String> = Nullable<Text>,
    action_reason: Option<String> = Nullable<Text>,
}}

/// The latest deliveries of a receiver, newest first.
///
/// # Errors
/// When the database does not answer.
pub async fn list(conn: &mut Conn, receiver: ReceiverId) -> Result<Vec<Delivery>> {
    let rows: Vec<DeliveryRow> = Sql::new(concat!(
        "SELECT d.received_at, d.alert, d.state, d.outcome, d.reason, d.action_id, a.status AS action_status,
            a.status_reason AS action_reason
        FROM deliveries d LEFT JOIN ",
        all_actions!(),
        " a ON a.id = d.action_id
        WHERE d.receiver_id = ? ORDER BY d.received_at DESC, d.id LIMIT ?",
    ))
    .bind(receiver)
    .bind(KEPT)
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| Delivery {
            received_at: r.received_at,
            alert: r.alert,
            state: r.state,
            outcome: r.outcome,
            reason: r.reason,
            action: r.action_id.map(Into::into),
            action_status: r.action_status,
            action_reason: r.action_reason,
        })
        .collect())
}

/// An alert as it came.
#[derive(Debug, Clone)]
pub struct Noted {
    /// What repeats of it have in common.
    pub fingerprint: String,
    /// Its name, for people.
    pub alert: String,
    /// `FIRING`, `RESOLVED` or `OTHER`.
    pub state: &'static str,
}

/// Whose it is to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// Ours; this is the delivery.
    Mine(Uuid),
    /// It has acted lately, or is about to.
    Repeated,
}

row! { SeenRow { seen: bool = Bool } }
row! { IdRow { id: Uuid = SqlUuid } }

/// Claims the right to act on an alert that has not acted within `window`
/// seconds. Holds the receiver's row: of two deliveries at once one gets it.
/// A claim that came to nothing counts for half a minute.
///
/// # Errors
/// When the database does not answer.
pub async fn claim(conn: &mut Conn, receiver: ReceiverId, noted: &Noted, window: f64) -> Result<Claim> {
    conn.transaction(async |conn| {
        Sql::new("SELECT id FROM receivers WHERE id = ? FOR UPDATE")
            .bind(receiver)
            .run(conn)
            .await?;
        let row: Option<SeenRow> = Sql::new(
            "SELECT EXISTS (SELECT 1 FROM deliveries WHERE receiver_id = ? AND fingerprint = ? AND (
                (outcome = 'ACTED' AND received_at > now() - make_interval(secs => ?))
                OR (outcome = 'BEGUN' AND received_at > now() - interval '30 seconds'))) AS seen",
        )
        .bind(receiver)
        .bind(noted.fingerprint.as_str())
        .bind(window)
        .fetch_optional(conn)
        .await?;
        if row.is_some_and(|r| r.seen) {
            return Ok(Claim::Repeated);
        }
        Ok(Claim::Mine(insert(conn, receiver, noted, "BEGUN", "").await?))
    })
    .await
}

async fn insert(conn: &mut Conn, receiver: ReceiverId, noted: &Noted, outcome: &str, reason: &str) -> Result<Uuid> {
    let id = Uuid::new_v4();
    Sql::new(
        "INSERT INTO deliveries (id, receiver_id, fingerprint, alert, state, outcome, reason)
        VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(id)
    .bind(receiver)
    .bind(noted.fingerprint.as_str())
    .bind(noted.alert.as_str())
    .bind(noted.state)
    .bind(outcome)
    .bind(reason)
    .run(conn)
    .await?;
    Ok(id)
}

/// Records an alert that does nothing, and forgets the oldest beyond those
/// kept; one that has acted is kept for a day, for its window.
///
/// # Errors
/// When the database does not answer.
pub async fn note(conn: &mut Conn, receiver: ReceiverId, noted: &Noted, outcome: &str, reason: &str) -> Result<()> {
    insert(conn, receiver, noted, outcome, reason).await?;
    trim(conn, receiver).await
}

async fn trim(conn: &mut Conn, receiver: ReceiverId) -> Result<()> {
    Sql::new(
        "DELETE FROM deliveries WHERE receiver_id = ? AND id IN (SELECT id FROM deliveries WHERE receiver_id = ?
                ORDER BY received_at DESC, id OFFSET ?)
            AND (outcome <> 'ACTED' OR received_at < now() - interval '1 day')",
    )
    .bind(receiver)
    .bind(receiver)
    .bind(KEPT)
    .run(conn)
    .await?;
    Ok(())
}

/// What became of a claim.
///
/// # Errors
/// When the database does not answer.
pub async fn became(
    conn: &mut Conn,
    delivery: Uuid,
    outcome: &str,
    reason: &str,
    action: Option<ActionId>,
) -> Result<()> {
    let row: Option<IdRow> = Sql::new(
        "UPDATE deliveries SET outcome = ?, reason = ?, action_id = ? WHERE id = ? RETURNING receiver_id AS id",
    )
    .bind(outcome)
    .bind(reason)
    .bind(action)
    .bind(delivery)
    .fetch_optional(conn)
    .await?;
    match row {
        Some(row) => trim(conn, row.id.into()).await,
        None => Ok(()),
    }
}

/// A claim that could not be followed up.
///
/// # Errors
/// When the database does not answer.
pub async fn forget(conn: &mut Conn, delivery: Uuid) -> Result<()> {
    Sql::new("DELETE FROM deliveries WHERE id = ?")
        .bind(delivery)
        .run(conn)
        .await?;
    Ok(())
}

//! What came in through receivers, and what became of it.

use diesel::sql_types::{Bool, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use senlin_core::{Time, ids::*};
use uuid::Uuid;

use crate::{
    Conn, Result,
    sql::{Sql, row},
};

/// Deliveries that are kept per receiver.
const KEPT: i64 = 100;

/// One alert of a delivery.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// When; set by the database.
    pub received_at: Time,
    /// What repeats of one alert have in common.
    pub fingerprint: String,
    /// Its name, for people.
    pub alert: String,
    /// `FIRING`, `RESOLVED` or `OTHER`.
    pub state: String,
    /// `ACTED`, `REPEATED`, `IGNORED` or `REFUSED`.
    pub outcome: String,
    /// Why.
    pub reason: String,
    /// What it led to.
    pub action: Option<ActionId>,
}

row! { DeliveryRow {
    received_at: Time = Timestamptz,
    fingerprint: String = Text,
    alert: String = Text,
    state: String = Text,
    outcome: String = Text,
    reason: String = Text,
    action_id: Option<Uuid> = Nullable<SqlUuid>,
}}

/// The latest deliveries of a receiver, newest first.
///
/// # Errors
/// When the database does not answer.
pub async fn list(conn: &mut Conn, receiver: ReceiverId) -> Result<Vec<Delivery>> {
    let rows: Vec<DeliveryRow> = Sql::new(
        "SELECT received_at, fingerprint, alert, state, outcome, reason, action_id FROM deliveries
        WHERE receiver_id = ? ORDER BY received_at DESC, id LIMIT ?",
    )
    .bind(receiver)
    .bind(KEPT)
    .load(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| Delivery {
            received_at: r.received_at,
            fingerprint: r.fingerprint,
            alert: r.alert,
            state: r.state,
            outcome: r.outcome,
            reason: r.reason,
            action: r.action_id.map(Into::into),
        })
        .collect())
}

row! { SeenRow { seen: bool = Bool } }

/// Whether the alert has acted within the last `window` seconds. Holds the
/// receiver's row until the transaction ends, so that two deliveries at once
/// take turns.
///
/// # Errors
/// When the database does not answer.
pub async fn acted(conn: &mut Conn, receiver: ReceiverId, fingerprint: &str, window: f64) -> Result<bool> {
    Sql::new("SELECT id FROM receivers WHERE id = ? FOR UPDATE")
        .bind(receiver)
        .execute(conn)
        .await?;
    let row: Option<SeenRow> = Sql::new(
        "SELECT EXISTS (SELECT 1 FROM deliveries WHERE receiver_id = ? AND fingerprint = ? AND outcome = 'ACTED'
            AND received_at > now() - make_interval(secs => ?)) AS seen",
    )
    .bind(receiver)
    .bind(fingerprint)
    .bind(window)
    .first(conn)
    .await?;
    Ok(row.is_some_and(|r| r.seen))
}

/// Records what became of an alert, and forgets the oldest beyond those kept.
///
/// # Errors
/// When the database does not answer.
pub async fn record(conn: &mut Conn, receiver: ReceiverId, delivery: &Delivery) -> Result<()> {
    Sql::new(
        "INSERT INTO deliveries (receiver_id, fingerprint, alert, state, outcome, reason, action_id)
        VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(receiver)
    .bind(delivery.fingerprint.as_str())
    .bind(delivery.alert.as_str())
    .bind(delivery.state.as_str())
    .bind(delivery.outcome.as_str())
    .bind(delivery.reason.as_str())
    .bind(delivery.action)
    .execute(conn)
    .await?;
    Sql::new(
        "DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries WHERE receiver_id = ?
            ORDER BY received_at DESC, id OFFSET ?)",
    )
    .bind(receiver)
    .bind(KEPT)
    .execute(conn)
    .await?;
    Ok(())
}

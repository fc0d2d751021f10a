//! What came in through receivers, and what became of it.

use diesel::{
    dsl::{IntervalDsl, exists, not},
    prelude::*,
};
use senlin_core::{Time, ids::*};
use uuid::Uuid;

use crate::{
    Conn, Result,
    functions::ago,
    run::Run,
    schema::{deliveries, receivers},
    statements::list_deliveries::list_deliveries,
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

/// The latest deliveries of a receiver, newest first.
pub async fn list(conn: &mut Conn, receiver: ReceiverId) -> Result<Vec<Delivery>> {
    let rows = list_deliveries(conn, receiver, KEPT).await?;
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

/// Claims the right to act on an alert that has not acted within `window`
/// seconds. Holds the receiver's row: of two deliveries at once one gets it.
/// A claim that came to nothing counts for half a minute.
pub async fn claim(conn: &mut Conn, receiver: ReceiverId, noted: &Noted, window: f64) -> Result<Claim> {
    conn.transaction(async |conn| {
        let held = receivers::table.find(receiver.0).select(receivers::id).for_update();
        held.run(conn).await?;
        let acted = deliveries::outcome
            .eq("ACTED")
            .and(deliveries::received_at.gt(ago(window.seconds())));
        let begun = deliveries::outcome
            .eq("BEGUN")
            .and(deliveries::received_at.gt(ago(30.seconds())));
        let lately = deliveries::table
            .filter(deliveries::receiver_id.eq(receiver.0))
            .filter(deliveries::fingerprint.eq(&noted.fingerprint))
            .filter(acted.or(begun));
        let seen: Option<bool> = diesel::select(exists(lately)).fetch_optional(conn).await?;
        if seen == Some(true) {
            return Ok(Claim::Repeated);
        }
        Ok(Claim::Mine(insert(conn, receiver, noted, "BEGUN", "").await?))
    })
    .await
}

async fn insert(conn: &mut Conn, receiver: ReceiverId, noted: &Noted, outcome: &str, reason: &str) -> Result<Uuid> {
    let id = Uuid::new_v4();
    diesel::insert_into(deliveries::table)
        .values((
            deliveries::id.eq(id),
            deliveries::receiver_id.eq(receiver.0),
            deliveries::fingerprint.eq(&noted.fingerprint),
            deliveries::alert.eq(&noted.alert),
            deliveries::state.eq(noted.state),
            deliveries::outcome.eq(outcome),
            deliveries::reason.eq(reason),
        ))
        .run(conn)
        .await?;
    Ok(id)
}

/// Records an alert that does nothing, and forgets the oldest beyond those
/// kept; one that has acted is kept for a day, for its window.
pub async fn note(conn: &mut Conn, receiver: ReceiverId, noted: &Noted, outcome: &str, reason: &str) -> Result<()> {
    insert(conn, receiver, noted, outcome, reason).await?;
    trim(conn, receiver).await
}

async fn trim(conn: &mut Conn, receiver: ReceiverId) -> Result<()> {
    let latest = diesel::alias!(deliveries as latest);
    let beyond = latest
        .filter(latest.field(deliveries::receiver_id).eq(receiver.0))
        .order((
            latest.field(deliveries::received_at).desc(),
            latest.field(deliveries::id),
        ))
        .offset(KEPT)
        .select(latest.field(deliveries::id));
    let in_use = deliveries::outcome
        .eq("ACTED")
        .and(deliveries::received_at.ge(ago(1.day())));
    let old = deliveries::table
        .filter(deliveries::receiver_id.eq(receiver.0))
        .filter(deliveries::id.eq_any(beyond))
        .filter(not(in_use));
    diesel::delete(old).run(conn).await?;
    Ok(())
}

/// What became of a claim.
pub async fn became(
    conn: &mut Conn,
    delivery: Uuid,
    outcome: &str,
    reason: &str,
    action: Option<ActionId>,
) -> Result<()> {
    let receiver: Option<Uuid> = diesel::update(deliveries::table.filter(deliveries::id.eq(delivery)))
        .set((
            deliveries::outcome.eq(outcome),
            deliveries::reason.eq(reason),
            deliveries::action_id.eq(action.map(|a| a.0)),
        ))
        .returning(deliveries::receiver_id)
        .fetch_optional(conn)
        .await?;
    match receiver {
        Some(receiver) => trim(conn, receiver.into()).await,
        None => Ok(()),
    }
}

/// A claim that could not be followed up.
pub async fn forget(conn: &mut Conn, delivery: Uuid) -> Result<()> {
    diesel::delete(deliveries::table.filter(deliveries::id.eq(delivery)))
        .run(conn)
        .await?;
    Ok(())
}

//! Leases: what an engine owns, it owns for a time, and renews by name. What
//! it owns and does not know of goes back to the queue.

use diesel::prelude::*;
use senlin_core::{action::ActionStatus, ids::*};
use uuid::Uuid;

use crate::{
    Conn, Result,
    run::Run,
    schema::actions,
    statements::{
        release_claims::{Stray, release_claims},
        renew_leases::renew_leases,
    },
};

pub use crate::statements::release_all::release_all;

/// A claim: the action, and which time it was claimed. The same engine may
/// hold two of one action for a moment.
pub type Claim = (ActionId, i32);

/// As a statement takes them.
pub(crate) fn split(claims: &[Claim]) -> (Vec<Uuid>, Vec<i64>) {
    claims.iter().map(|(id, attempt)| (id.0, i64::from(*attempt))).unzip()
}

/// A claim that is still its owner's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnedClaim {
    /// Which.
    pub claim: Claim,
    /// Its lease was renewed; not while a statement of its own holds its row.
    pub renewed: bool,
    /// Its end was asked for.
    pub cancel: bool,
}

/// Renews exactly these claims of `owner` for `lease` seconds. Returns those
/// that are still its own.
pub async fn renew(conn: &mut Conn, owner: ServiceId, claims: &[Claim], lease: i32) -> Result<Vec<OwnedClaim>> {
    let rows = renew_leases(conn, owner, claims, lease).await?;
    Ok(rows
        .into_iter()
        .map(|r| OwnedClaim {
            claim: (r.id.into(), r.attempt),
            renewed: r.renewed,
            cancel: r.cancel,
        })
        .collect())
}

/// Releases what `owner` owns beside `claims`: nobody works on it. A claim
/// younger than `grace` seconds may not have come to its engine's knowledge
/// yet, and stays. Returns what was released.
pub async fn release_others(
    conn: &mut Conn,
    owner: ServiceId,
    claims: &[Claim],
    lease: i32,
    grace: f64,
) -> Result<Vec<ActionId>> {
    let others = Stray::Unknown {
        owner,
        known: claims,
        left: f64::from(lease) - grace,
    };
    release_claims(conn, others, "Its engine lost track of it.").await
}

/// Releases one claim at once: its work broke off without an end. False when
/// it is not the owner's any more.
pub async fn release(conn: &mut Conn, owner: ServiceId, claim: Claim, reason: &str) -> Result<bool> {
    let released = release_claims(conn, Stray::One(owner, claim), reason).await?;
    Ok(!released.is_empty())
}

/// Those of these actions that are `owner`'s and whose end was asked for.
pub async fn cancelled(conn: &mut Conn, owner: ServiceId, claims: &[Claim]) -> Result<Vec<Claim>> {
    let rows: Vec<(Uuid, i32)> = actions::table
        .filter(actions::id.eq_any(claims.iter().map(|(id, _)| id.0)))
        .filter(actions::owner.eq(owner.0))
        .filter(actions::status.eq(ActionStatus::Running.as_str()))
        .filter(actions::control.is_not_null())
        .select((actions::id, actions::attempt))
        .fetch_all(conn)
        .await?;
    Ok(rows.into_iter().map(|(id, attempt)| (id.into(), attempt)).collect())
}

//! Releases claims that nobody works on, and tells of each: READY again, later
//! each time, with their locks. Rows are locked before they are changed, in the
//! order of ids.

use senlin_core::ids::*;

use crate::{
    Conn, Result,
    events::Record,
    leases::{Claim, split},
    queue::{IdRow, end, ids},
    run::Run,
    sql::Sql,
};

/// Which claims.
pub(crate) enum Stray<'a> {
    /// Those whose leases have run out; what others have locked is left to them.
    Expired,
    /// One, if it is still its owner's.
    One(ServiceId, Claim),
    /// What an owner has beside `known`, unless the lease still holds for more
    /// than `left` seconds: its engine may not know of it yet.
    Unknown {
        owner: ServiceId,
        known: &'a [Claim],
        left: f64,
    },
}

impl Stray<'_> {
    fn locked(&self) -> Sql {
        match *self {
            Self::Expired => Sql::new(
                "SELECT id FROM actions WHERE status = 'RUNNING' AND lease_expires_at < now()
                ORDER BY id FOR UPDATE SKIP LOCKED",
            ),
            Self::One(owner, (id, attempt)) => Sql::new(
                "SELECT a.id FROM actions a
                WHERE a.owner = :owner AND a.status = 'RUNNING' AND a.id = :id AND a.attempt = :attempt FOR UPDATE",
            )
            .set("owner", owner)
            .set("id", id)
            .set("attempt", attempt),
            Self::Unknown { owner, known, left } => {
                let (ids, attempts) = split(known);
                Sql::new(
                    "SELECT a.id FROM actions a
                    WHERE a.owner = :owner AND a.status = 'RUNNING'
                        AND a.lease_expires_at < now() + make_interval(secs => :left)
                        AND NOT EXISTS (SELECT 1 FROM unnest(:ids, :attempts) AS h(id, attempt)
                            WHERE h.id = a.id AND h.attempt = a.attempt)
                    ORDER BY a.id FOR UPDATE OF a SKIP LOCKED",
                )
                .set("owner", owner)
                .set("left", left)
                .set("ids", ids)
                .set("attempts", attempts)
            }
        }
    }
}

/// Returns those that were released.
pub(crate) async fn release_claims(conn: &mut Conn, which: Stray<'_>, reason: &str) -> Result<Vec<ActionId>> {
    let told = Record {
        from: "back",
        level: "'WARN'",
        status: "'retry'",
        ..Record::ACTION
    };
    let back: Vec<IdRow> = Sql::new("WITH stray AS (")
        .append(which.locked())
        .push(
            "),
        back AS (
            UPDATE actions a SET status = 'READY', owner = NULL, lease_expires_at = NULL, retries = retries + 1,
                status_reason = :reason, updated_at = now(), run_after = ",
        )
        .push(&end::due("least(60, power(2, least(retries, 6)) - 1)"))
        .push(" FROM stray WHERE a.id = stray.id RETURNING a.*), told AS (")
        .push(&told.of_actions())
        .push(") SELECT id FROM back")
        .set("reason", reason)
        .fetch_all(conn)
        .await?;
    Ok(ids(back))
}

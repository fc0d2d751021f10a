//! Renews leases without waiting: a claim whose row another statement holds is
//! still known as its owner's in the answer, and is not renewed.

use diesel::sql_types::{Bool, Integer, Uuid as SqlUuid};
use senlin_core::ids::ServiceId;
use uuid::Uuid;

use crate::{
    Conn, Result,
    leases::{Claim, split},
    run::Run,
    sql::{Sql, row},
};

row! { HeldRow { id: Uuid = SqlUuid, attempt: i32 = Integer, cancel: bool = Bool, renewed: bool = Bool } }

/// Renews exactly these claims for `lease` seconds. Returns those that are
/// still the owner's.
pub(crate) async fn renew_leases(
    conn: &mut Conn,
    owner: ServiceId,
    claims: &[Claim],
    lease: i32,
) -> Result<Vec<HeldRow>> {
    let (ids, attempts) = split(claims);
    Sql::new(
        "WITH ours AS (
            SELECT a.id, a.attempt, a.control IS NOT NULL AS cancel
            FROM actions a JOIN unnest(:ids, :attempts) AS h(id, attempt) ON a.id = h.id AND a.attempt = h.attempt
            WHERE a.owner = :owner AND a.status = 'RUNNING'),
        free AS (
            SELECT a.id FROM actions a JOIN ours USING (id, attempt)
            WHERE a.owner = :owner AND a.status = 'RUNNING' ORDER BY a.id FOR NO KEY UPDATE OF a SKIP LOCKED),
        renewed AS (
            UPDATE actions a SET lease_expires_at = now() + make_interval(secs => :lease)
            FROM free WHERE a.id = free.id RETURNING a.id)
        SELECT ours.id, attempt, cancel, renewed.id IS NOT NULL AS renewed FROM ours LEFT JOIN renewed USING (id)",
    )
    .set("ids", ids)
    .set("attempts", attempts)
    .set("owner", owner)
    .set("lease", f64::from(lease))
    .fetch_all(conn)
    .await
}

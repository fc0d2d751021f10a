//! Puts an action to wait for its dependencies and tells so, if it is still
//! ours. What went wrong so far is forgotten.

use crate::{
    Conn, Result,
    events::Record,
    fence::{self, FENCED, Fence, Fenced},
    run::Run,
    sql::Sql,
};

const PARKED: &str = "
WITH parked AS (
    UPDATE actions a SET status = 'WAITING', phase = :phase, owner = NULL, lease_expires_at = NULL,
        status_reason = :reason, updated_at = now(), retries = 0,
        data = a.data - '{failing_since,waits_for}'::text[]
    WHERE";

pub(crate) async fn park_action(conn: &mut Conn, fence: Fence, phase: &str, reason: &str) -> Result<()> {
    let told = Record {
        from: "parked",
        status: "'wait'",
        ..Record::ACTION
    };
    let touched = Sql::new(PARKED)
        .push(FENCED)
        .push("RETURNING a.*)")
        .push(&told.of_actions())
        .fence(fence)
        .set("phase", phase)
        .set("reason", reason)
        .run(conn)
        .await?;
    fence::ours(touched)
}

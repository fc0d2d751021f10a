//! An action that waits for an answer goes on, and an event says so: both or
//! neither.

use senlin_core::ids::*;

use crate::{Conn, Result, events::Record, run::Run, sql::Sql};

/// Follows a list of actions `answered`.
pub(super) fn told() -> String {
    let told = Record {
        from: "answered",
        status: "'lifecycle'",
        ..Record::ACTION
    };
    format!(", told AS ({}) SELECT id FROM answered", told.of_actions())
}

/// False when it did not wait for one.
pub(crate) async fn answer_hook(conn: &mut Conn, action: ActionId, reason: &str) -> Result<bool> {
    let answered = Sql::new(
        "WITH answered AS (
            UPDATE actions SET status = 'READY', run_after = now(), updated_at = now(), status_reason = :reason
            WHERE id = :action AND status = 'WAITING_LIFECYCLE_COMPLETION' RETURNING *)",
    )
    .push(&told())
    .set("reason", reason)
    .set("action", action)
    .run(conn)
    .await?;
    Ok(answered > 0)
}

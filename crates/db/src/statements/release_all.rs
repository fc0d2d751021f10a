//! Releases all that an engine owns, untouched: it counts as no failure. Rows
//! are locked before they are changed, in the order of ids.

use senlin_core::ids::ServiceId;

use crate::{Conn, Result, run::Run, sql::Sql};

/// Releases everything of `owner`, untouched, when it shuts down. Returns how much there was.
pub async fn release_all(conn: &mut Conn, owner: ServiceId) -> Result<usize> {
    Sql::new(
        "WITH mine AS (
            SELECT id FROM actions WHERE owner = :owner AND status = 'RUNNING' ORDER BY id FOR UPDATE)
        UPDATE actions a SET status = 'READY', owner = NULL, lease_expires_at = NULL, updated_at = now(),
            status_reason = 'Handed back by an engine that shut down.'
        FROM mine WHERE a.id = mine.id",
    )
    .set("owner", owner)
    .run(conn)
    .await
}

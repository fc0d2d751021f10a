//! Makes events that carry numbers of transactions yet to come here, those of a
//! database that this one was restored from, older than all of ours. It judges
//! by one snapshot: an event written meanwhile is none of them.

use crate::{Conn, Result, run::Run, sql::Sql};

/// Returns how many of at most `most` there were.
pub(crate) async fn settle_restored_events(conn: &mut Conn, most: i64) -> Result<usize> {
    Sql::new(
        "UPDATE events SET xid = '0' WHERE (id, timestamp) IN (SELECT id, timestamp FROM events
            WHERE xid > pg_snapshot_xmax(pg_current_snapshot()) LIMIT :most)",
    )
    .set("most", most)
    .run(conn)
    .await
}

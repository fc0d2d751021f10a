//! Says of a node why its recovery does not happen, and records that as an
//! event. The same reason again touches nothing, so it is told once.

use senlin_core::ids::NodeId;

use crate::{Conn, Result, events::Record, run::Run, sql::Sql};

pub(crate) async fn hold_back_recovery(conn: &mut Conn, node: NodeId, reason: &str, unknown: bool) -> Result<()> {
    let told = Record {
        from: "told",
        level: "'WARN'",
        action: "'NODE_RECOVER'",
        status: "'held back'",
        reason: "status_reason",
    };
    Sql::new(
        "WITH told AS (
            UPDATE nodes SET status_reason = :reason, condition = CASE WHEN :unknown THEN 'UNKNOWN' ELSE condition END
            WHERE id = :node AND status_reason IS DISTINCT FROM :reason RETURNING *)",
    )
    .push(&told.of_nodes())
    .set("reason", reason)
    .set("unknown", unknown)
    .set("node", node)
    .run(conn)
    .await?;
    Ok(())
}

//! A host that has been silent for 30 s becomes unknown together with its
//! node. True when it was not before.

use senlin_core::ids::NodeId;

use crate::{Conn, Result, run::Run, sql::Sql};

pub(crate) async fn note_silence(conn: &mut Conn, host: NodeId, reason: &str) -> Result<bool> {
    let touched = Sql::new(
        "WITH host AS (
            UPDATE hosts SET state = 'UNKNOWN' WHERE node_id = :host AND state = 'UP'
                AND last_seen < now() - interval '30 seconds' RETURNING node_id),
        node AS (
            UPDATE nodes n SET status = 'WARNING', status_reason = :reason, condition = 'UNKNOWN' FROM host
            WHERE n.id = host.node_id AND n.status = 'ACTIVE')
        SELECT node_id FROM host",
    )
    .set("host", host)
    .set("reason", reason)
    .run(conn)
    .await?;
    Ok(touched > 0)
}

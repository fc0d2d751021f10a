//! Writes what was seen of a member, with its event, only while the member is
//! still what was looked at and nobody holds it. True when it did.

use senlin_core::node::{Condition, NodeStatus};

use crate::{Conn, Result, events::Record, health::Member, run::Run, sql::Sql};

pub(crate) async fn observe_member(
    conn: &mut Conn,
    seen: &Member,
    status: NodeStatus,
    condition: Condition,
    reason: &str,
) -> Result<bool> {
    let event = Record {
        from: "seen",
        level: "CASE status WHEN 'ACTIVE' THEN 'INFO' ELSE 'WARN' END",
        action: "'NODE_HEALTH'",
        status: "CASE status WHEN 'ACTIVE' THEN 'end' ELSE 'error' END",
        reason: "status_reason",
    };
    let touched = Sql::new(
        "WITH seen AS (
            UPDATE nodes n SET status = :status, status_reason = :reason, condition = :condition
            WHERE n.id = :node AND n.status <> :status AND n.status IN ('ACTIVE', 'WARNING', 'ERROR')
                AND n.generation = :generation AND n.physical_id IS NOT DISTINCT FROM :physical_id
                AND n.status = :was AND n.status_reason = :was_reason
                AND NOT EXISTS (SELECT 1 FROM node_locks l WHERE l.node_id = n.id)
            RETURNING n.*)",
    )
    .push(&event.of_nodes())
    .set("status", status.as_str())
    .set("reason", reason)
    .set("condition", condition.as_str())
    .set("node", seen.id)
    .set("generation", seen.generation)
    .set("physical_id", seen.physical_id.as_deref())
    .set("was", seen.status.as_str())
    .set("was_reason", seen.status_reason.as_str())
    .run(conn)
    .await?;
    Ok(touched > 0)
}

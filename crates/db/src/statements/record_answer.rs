//! A host has answered: it is up, and its node too if it was not before. Returns
//! what it was before, and whether something must still go from it; no row when
//! the host is gone.

use diesel::sql_types::Bool;
use senlin_core::ids::NodeId;
use serde_json::Value;

use crate::{
    Conn, Result,
    run::Run,
    sql::{Sql, row},
};

row! { BeforeRow { up: bool = Bool, leftovers: bool = Bool } }

pub(crate) async fn record_answer(conn: &mut Conn, host: NodeId, info: Value) -> Result<Option<BeforeRow>> {
    Sql::new(
        "WITH before AS (SELECT coalesce(state = 'UP' AND last_seen > now() - interval '30 seconds', false) AS up
            FROM hosts WHERE node_id = :host),
        host AS (UPDATE hosts SET state = 'UP', last_seen = now(), info = :info WHERE node_id = :host),
        node AS (UPDATE nodes SET status = 'ACTIVE', status_reason = 'The host answers again.'
            WHERE id = :host AND status = 'WARNING' AND EXISTS (SELECT 1 FROM before WHERE NOT up))
        SELECT up, EXISTS (SELECT 1 FROM leftovers WHERE host_id = :host) OR EXISTS (SELECT 1
                FROM unaccounted_containers WHERE host_id = :host AND remove_asked_at IS NOT NULL) AS leftovers
        FROM before",
    )
    .set("host", host)
    .set("info", info)
    .fetch_optional(conn)
    .await
}

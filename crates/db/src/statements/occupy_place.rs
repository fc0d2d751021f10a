//! Records the place of one container that runs already, with its ports. A port
//! that is taken stays whose it is: the container has it, whatever the record says.

use senlin_core::ids::NodeId;
use serde_json::Value;

use super::keep_ports::{KEEP, rows};
use crate::{Conn, Result, placement::Place, run::Run, sql::Sql};

pub(crate) async fn occupy_place(conn: &mut Conn, node: NodeId, place: &Place) -> Result<()> {
    Sql::new("WITH ports AS (")
        .push(KEEP)
        .push(
            " ON CONFLICT DO NOTHING)
            UPDATE nodes SET host_id = :host, cpu_millis = :cpu_millis, memory = :memory,
                placed_at = clock_timestamp()
            WHERE id = :node",
        )
        .set("ports", Value::Array(rows([(node, place)])))
        .set("host", place.host)
        .set("cpu_millis", place.cpu_millis)
        .set("memory", place.memory)
        .set("node", node)
        .run(conn)
        .await?;
    Ok(())
}

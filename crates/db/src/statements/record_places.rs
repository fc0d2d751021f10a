//! Records the hosts and sizes of any number of nodes. One that stays on its
//! host keeps the time at which it came there.

use senlin_core::ids::NodeId;
use serde_json::{Value, json};

use crate::{Conn, Result, placement::Place, run::Run, sql::Sql};

pub(crate) async fn record_places(conn: &mut Conn, places: &[(NodeId, Place)]) -> Result<()> {
    let rows: Vec<Value> = places
        .iter()
        .map(|(node, p)| json!({"id": node, "host_id": p.host, "cpu_millis": p.cpu_millis, "memory": p.memory}))
        .collect();
    Sql::new(
        "UPDATE nodes n SET host_id = r.host_id, cpu_millis = r.cpu_millis, memory = r.memory,
            placed_at = CASE WHEN n.host_id IS DISTINCT FROM r.host_id THEN clock_timestamp() ELSE n.placed_at END
        FROM jsonb_to_recordset(:places) AS r(id uuid, host_id uuid, cpu_millis bigint, memory bigint)
        WHERE n.id = r.id",
    )
    .set("places", Value::Array(rows))
    .run(conn)
    .await?;
    Ok(())
}

//! Records the ports of any number of places. One that is taken is an error,
//! and none is recorded then.

use senlin_core::ids::NodeId;
use serde_json::{Value, json};

use crate::{Conn, Result, placement::Place, run::Run, sql::Sql};

/// The ports of `:ports`, which [`rows`] makes.
pub(super) const KEEP: &str = "INSERT INTO host_ports (host_id, port, protocol, node_id)
    SELECT host_id, port, protocol, node_id
    FROM jsonb_to_recordset(:ports) AS r(host_id uuid, port integer, protocol text, node_id uuid)";

pub(super) fn rows<'a>(places: impl IntoIterator<Item = (NodeId, &'a Place)>) -> Vec<Value> {
    let of = |(node, place): (NodeId, &'a Place)| {
        place.ports.iter().map(
            move |(port, protocol)| json!({"host_id": place.host, "port": port, "protocol": protocol, "node_id": node}),
        )
    };
    places.into_iter().flat_map(of).collect()
}

pub(crate) async fn keep_ports(conn: &mut Conn, places: &[(NodeId, Place)]) -> Result<()> {
    let ports = rows(places.iter().map(|(node, place)| (*node, place)));
    if !ports.is_empty() {
        Sql::new(KEEP).set("ports", Value::Array(ports)).run(conn).await?;
    }
    Ok(())
}

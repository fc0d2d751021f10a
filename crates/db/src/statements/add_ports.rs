//! Keeps ports of a host for a node, all of them or none. Those that the node
//! has already are not asked for again.

use senlin_core::ids::NodeId;
use serde_json::{Value, json};

use crate::{Conn, Result, run::Run, sql::Sql};

const STATEMENT: &str = "
INSERT INTO host_ports (host_id, port, protocol, node_id)
SELECT :host, r.port, r.protocol, :node FROM jsonb_to_recordset(:ports) AS r(port integer, protocol text)
WHERE NOT EXISTS (SELECT 1 FROM host_ports t
    WHERE t.node_id = :node AND t.port = r.port AND t.protocol = r.protocol)";

pub(crate) async fn add_ports(conn: &mut Conn, node: NodeId, host: NodeId, ports: &[(u16, String)]) -> Result<()> {
    let ports = ports
        .iter()
        .map(|(port, protocol)| json!({"port": port, "protocol": protocol}));
    Sql::new(STATEMENT)
        .set("host", host)
        .set("node", node)
        .set("ports", Value::Array(ports.collect()))
        .run(conn)
        .await?;
    Ok(())
}

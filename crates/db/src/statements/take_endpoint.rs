//! Makes a node the host of the first endpoint of a pool that is free. Another
//! may take the same one at the same moment: then none is taken, and `more` says
//! that there was one to take.

use diesel::sql_types::{Bool, Nullable, Text};
use senlin_core::ids::NodeId;

use crate::{
    Conn, Result,
    run::Run,
    sql::{Sql, row},
};

row! { TakenRow { endpoint: Option<String> = Nullable<Text>, more: bool = Bool } }

pub(crate) async fn take_endpoint(conn: &mut Conn, node: NodeId, pool: &[String]) -> Result<Option<TakenRow>> {
    Sql::new(
        "WITH free AS MATERIALIZED (
            SELECT p.url FROM unnest(:pool) WITH ORDINALITY AS p(url, nth)
            WHERE NOT EXISTS (SELECT 1 FROM hosts h WHERE h.endpoint = p.url) ORDER BY p.nth LIMIT 1),
        taken AS (
            INSERT INTO hosts (node_id, endpoint) SELECT :node, url FROM free ON CONFLICT DO NOTHING
            RETURNING endpoint)
        SELECT (SELECT endpoint FROM taken) AS endpoint, EXISTS (SELECT 1 FROM free) AS more",
    )
    .set("pool", pool.to_vec())
    .set("node", node)
    .fetch_optional(conn)
    .await
}

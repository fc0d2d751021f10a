//! Renews what an engine watches and takes on more, up to its share: every host
//! has one watcher, and an engine that has said nothing for `lease` seconds is
//! none. Returns the hosts that `owner` watches now.

use diesel::sql_types::Uuid as SqlUuid;
use senlin_core::ids::{NodeId, ServiceId};
use uuid::Uuid;

use crate::{
    Conn, Result,
    run::Run,
    sql::{Sql, row},
};

row! { WatchedRow { node_id: Uuid = SqlUuid } }

pub(crate) async fn watch_hosts(conn: &mut Conn, owner: ServiceId, lease: f64) -> Result<Vec<NodeId>> {
    let rows: Vec<WatchedRow> = Sql::new(
        "WITH alive AS (UPDATE services SET updated_at = now() WHERE id = :owner),
        share AS (
            SELECT ceil(count(*)::float8 / greatest(1, (SELECT count(*) FROM services s WHERE s.id = :owner
                OR (s.\"binary\" = 'senlin-engine' AND s.updated_at > now() - make_interval(secs => :lease)))))::bigint AS n
            FROM hosts),
        kept AS (
            SELECT node_id FROM hosts WHERE watcher = :owner AND watch_until > now() ORDER BY node_id
            LIMIT (SELECT n FROM share)),
        free AS (
            SELECT node_id FROM hosts WHERE watch_until <= now() OR watcher IS NULL ORDER BY node_id
            LIMIT (SELECT greatest(0, n - (SELECT count(*) FROM kept)) FROM share) FOR UPDATE SKIP LOCKED)
        UPDATE hosts h SET watcher = :owner, watch_until = now() + make_interval(secs => :lease)
        WHERE node_id IN (SELECT node_id FROM kept UNION SELECT node_id FROM free)
        RETURNING node_id",
    )
    .set("owner", owner)
    .set("lease", lease)
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|r| r.node_id.into()).collect())
}

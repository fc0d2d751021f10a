//! The members of a cluster as choosing among them needs them, as of one
//! moment: with their profiles, their hosts and what their hosts say of them.

use senlin_core::ids::ClusterId;

use crate::{Conn, Result, members::Member, run::Run, sql::Sql};

const STATEMENT: &str = "
SELECT n.id, n.name, n.status, n.host_id, n.profile_id, n.tainted, n.created_at, p.created_at AS profile_created_at,
    (SELECT count(*)::int FROM nodes c WHERE c.host_id = n.id) AS containers,
    coalesce(n.protected_until > now(), false) AS protected,
    coalesce(hp.spec #>> '{properties,zone}', h.info #>> '{labels,zone}') AS zone,
    coalesce(hp.spec #>> '{properties,labels,region}', h.info #>> '{labels,region}') AS region
FROM nodes n JOIN profiles p ON p.id = n.profile_id
LEFT JOIN hosts h ON h.node_id = coalesce(n.host_id, n.id)
LEFT JOIN nodes hn ON hn.id = h.node_id LEFT JOIN profiles hp ON hp.id = hn.profile_id
WHERE n.cluster_id = :cluster ORDER BY n.index, n.id";

pub(crate) async fn list_members(conn: &mut Conn, cluster: ClusterId) -> Result<Vec<Member>> {
    Sql::new(STATEMENT).set("cluster", cluster).fetch_all(conn).await
}

//! Who is where: hosts as a placement decision sees them, and its outcome.
//!
//! A decision is made on what hosts look like, without a lock. The hosts that
//! it chose are then locked, in order of id, and looked at again: when they no
//! longer take what was decided, everything is rolled back and decided anew.
//! The last of a few tries locks all hosts first, and cannot miss.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use diesel::sql_types::{Array, BigInt, Bool, Double, Jsonb, Nullable, Text, Uuid as SqlUuid};
use senlin_core::{
    host::{HostInfo, HostState},
    ids::*,
    placement::{HostSnapshot, Requirements},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    Conn, DbError, Result,
    fence::{self, Fence},
    sql::{Sql, row},
};

/// A place on a host, with what is kept free for the container there.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// The host.
    pub host: NodeId,
    /// Thousandths of a processor.
    pub cpu_millis: i64,
    /// Bytes.
    pub memory: i64,
    /// Host ports and protocols.
    pub ports: Vec<(u16, String)>,
}

impl Place {
    /// The place that these requirements take on `host`.
    #[must_use]
    pub fn on(host: NodeId, needs: &Requirements) -> Self {
        Self {
            host,
            cpu_millis: needs.cpu_millis,
            memory: needs.memory,
            ports: needs.ports.clone(),
        }
    }

    fn needs(&self) -> Requirements {
        Requirements {
            cpu_millis: self.cpu_millis,
            memory: self.memory,
            ports: self.ports.clone(),
            ..Requirements::default()
        }
    }
}

row! { SnapshotRow {
    id: Uuid = SqlUuid,
    name: String = Text,
    cluster_id: Option<Uuid> = Nullable<SqlUuid>,
    up: bool = Bool,
    closed: bool = Bool,
    info: Value = Jsonb,
    zone: Option<String> = Nullable<Text>,
    labels: Option<Value> = Nullable<Jsonb>,
    cpu_used: i64 = BigInt,
    memory_used: i64 = BigInt,
    containers: i64 = BigInt,
    siblings: i64 = BigInt,
    ports: Vec<i64> = Array<BigInt>,
    protocols: Vec<String> = Array<Text>,
    cpu_load: Option<f64> = Nullable<Double>,
    memory_load: Option<f64> = Nullable<Double>,
    cpu_since: i64 = BigInt,
    memory_since: i64 = BigInt,
    failures: i64 = BigInt,
}}

/// Seconds after which a measure says nothing any more.
pub const MEASURE_AGE: f64 = 60.0;

/// How a try to place begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Try {
    /// Decide, then lock what was chosen.
    Light,
    /// Lock every host that may be chosen, then decide.
    Sure,
}

/// The tries, in order.
pub(crate) const TRIES: [Try; 5] = [Try::Light, Try::Light, Try::Light, Try::Light, Try::Sure];

/// What was decided on, to be held against what is true under a lock.
pub(crate) struct Seen {
    how: Try,
    cluster: Option<ClusterId>,
    siblings: HashMap<NodeId, i64>,
}

/// The hosts that the requirements let in by identity (`host_node`,
/// `host_cluster`), as they are now, for a decision that [`Seen::holds`] then
/// confirms in the same transaction. `cluster` is the container's own cluster.
///
/// # Errors
/// When the database does not answer.
pub(crate) async fn snapshot(
    conn: &mut Conn,
    needs: &Requirements,
    cluster: Option<ClusterId>,
    how: Try,
) -> Result<(Vec<HostSnapshot>, Seen)> {
    if how == Try::Sure {
        Sql::new(
            "SELECT u.host_id FROM host_use u JOIN hosts h ON h.node_id = u.host_id JOIN nodes n ON n.id = u.host_id",
        )
        .push(LET_IN)
        .push(" ORDER BY u.host_id FOR NO KEY UPDATE OF u")
        .bind(needs.host_node)
        .bind(needs.host_node)
        .bind(needs.host_cluster)
        .bind(needs.host_cluster)
        .execute(conn)
        .await?;
    }
    let hosts = look(conn, needs, cluster).await?;
    let siblings = hosts.iter().map(|h| (h.id, h.siblings)).collect();
    Ok((hosts, Seen { how, cluster, siblings }))
}

impl Seen {
    /// Locks the hosts that were chosen until the transaction ends. False when
    /// they do not take these containers any more: roll back and decide anew.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn holds(&self, conn: &mut Conn, places: &[(NodeId, Place)]) -> Result<bool> {
        if self.how == Try::Sure || places.is_empty() {
            return Ok(true);
        }
        let chosen: BTreeSet<NodeId> = places.iter().map(|(_, p)| p.host).collect();
        let chosen: Vec<NodeId> = chosen.into_iter().collect();
        Sql::new("SELECT host_id FROM host_use WHERE host_id = ANY (?) ORDER BY host_id FOR NO KEY UPDATE")
            .bind(chosen.as_slice())
            .execute(conn)
            .await?;
        let ports: Vec<_> = places.iter().flat_map(|(_, p)| p.ports.iter().cloned()).collect();
        let now = read(conn, Whom::These(&chosen), &ports, self.cluster).await?;
        let mut now: HashMap<NodeId, HostSnapshot> = now.into_iter().map(|h| (h.id, h)).collect();
        let as_seen =
            |h: &HostSnapshot| h.state == HostState::Up && !h.closed && self.siblings.get(&h.id) == Some(&h.siblings);
        if chosen.iter().any(|id| !now.get(id).is_some_and(as_seen)) {
            return Ok(false);
        }
        Ok(places.iter().all(|(_, place)| {
            let needs = place.needs();
            let host = now.get_mut(&place.host).filter(|h| h.has_room(&needs));
            host.map(|h| h.take(&needs)).is_some()
        }))
    }
}

/// As [`snapshot`], for one who only wants to know. `sibling_cluster` is the
/// container's own cluster.
///
/// # Errors
/// When the database does not answer.
pub async fn look(
    conn: &mut Conn,
    needs: &Requirements,
    sibling_cluster: Option<ClusterId>,
) -> Result<Vec<HostSnapshot>> {
    read(conn, Whom::LetIn(needs), &needs.ports, sibling_cluster).await
}

/// Which hosts.
enum Whom<'a> {
    LetIn(&'a Requirements),
    These(&'a [NodeId]),
}

/// The hosts that requirements let in by identity.
const LET_IN: &str = " WHERE (?::uuid IS NULL OR h.node_id = ?) AND (?::uuid IS NULL OR n.cluster_id = ?)";

/// Hosts as they are now. Of their ports only those are told of that matter.
async fn read(
    conn: &mut Conn,
    whom: Whom<'_>,
    ports: &[(u16, String)],
    sibling_cluster: Option<ClusterId>,
) -> Result<Vec<HostSnapshot>> {
    let ports: BTreeSet<u16> = ports.iter().map(|(port, _)| *port).collect();
    let sql = Sql::new(
        "SELECT n.id, n.name, n.cluster_id, n.status <> 'ACTIVE' AND n.status <> 'WARNING' AS closed, h.info,
            hp.spec #>> '{properties,zone}' AS zone, hp.spec #> '{properties,labels}' AS labels,
            coalesce(h.state = 'UP' AND h.last_seen > now() - interval '30 seconds', false) AS up,
            u.cpu_millis AS cpu_used, u.memory AS memory_used, u.containers, coalesce(s.n, 0) AS siblings,
            p.ports, p.protocols, l.cpu AS cpu_load, l.memory AS memory_load, since.cpu_since, since.memory_since,
            (SELECT count(*) FROM actions f WHERE f.host_id = n.id AND f.status = 'FAILED' AND f.action = 'NODE_CREATE'
                AND f.ended_at > now() - interval '10 minutes') AS failures
        FROM hosts h
        -- One probe per host, however many nodes there are.
        CROSS JOIN LATERAL (
            SELECT id, name, cluster_id, status, profile_id FROM nodes WHERE id = h.node_id LIMIT 1) n
        JOIN profiles hp ON hp.id = n.profile_id
        JOIN host_use u ON u.host_id = n.id
        LEFT JOIN host_loads l ON l.host_id = n.id AND l.measured_at > now() - make_interval(secs => ?)
        LEFT JOIN (SELECT host_id, count(*) AS n FROM nodes WHERE cluster_id = ? GROUP BY host_id) s
            ON s.host_id = n.id
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(greatest(c.cpu_millis, ?)), 0)::bigint AS cpu_since,
                coalesce(sum(greatest(c.memory, ?)), 0)::bigint AS memory_since
            FROM nodes c WHERE c.host_id = n.id AND c.placed_at > l.measured_at) since
        CROSS JOIN LATERAL (
            SELECT coalesce(array_agg(t.port::bigint ORDER BY t.port, t.protocol), '{}') AS ports,
                coalesce(array_agg(t.protocol ORDER BY t.port, t.protocol), '{}') AS protocols
            FROM host_ports t
            WHERE t.host_id = n.id AND t.port = ANY (ARRAY(SELECT jsonb_array_elements_text(?)::integer))) p",
    )
    .bind(MEASURE_AGE)
    .bind(sibling_cluster)
    .bind(HostSnapshot::LEAST_CPU)
    .bind(HostSnapshot::LEAST_MEMORY)
    .bind(json!(ports));
    let sql = match whom {
        Whom::LetIn(needs) => sql
            .push(LET_IN)
            .bind(needs.host_node)
            .bind(needs.host_node)
            .bind(needs.host_cluster)
            .bind(needs.host_cluster),
        Whom::These(ids) => sql.push(" WHERE h.node_id = ANY (?)").bind(ids),
    };
    let rows: Vec<SnapshotRow> = sql.push(" ORDER BY n.id").load(conn).await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// A host's labels. What the profile says of it goes before what its engine says.
pub(crate) fn labels(
    mut labels: BTreeMap<String, String>,
    own: Option<Value>,
    zone: Option<String>,
) -> BTreeMap<String, String> {
    let own = own.and_then(|l| serde_json::from_value::<BTreeMap<_, _>>(l).ok());
    labels.extend(own.unwrap_or_default());
    labels.extend(zone.map(|zone| ("zone".to_owned(), zone)));
    labels
}

impl From<SnapshotRow> for HostSnapshot {
    fn from(row: SnapshotRow) -> Self {
        let mut info: HostInfo = serde_json::from_value(row.info).unwrap_or_default();
        let labels = labels(std::mem::take(&mut info.labels), row.labels, row.zone);
        Self {
            id: row.id.into(),
            name: row.name,
            cluster_id: row.cluster_id.map(Into::into),
            state: if row.up { HostState::Up } else { HostState::Unknown },
            closed: row.closed,
            cpu_millis: info.cpus.saturating_mul(1000),
            memory: info.memory,
            cpu_used: row.cpu_used,
            memory_used: row.memory_used,
            containers: row.containers,
            siblings: row.siblings,
            ports: row
                .ports
                .into_iter()
                .filter_map(|port| u16::try_from(port).ok())
                .zip(row.protocols)
                .collect(),
            labels,
            cpu_load: row.cpu_load,
            memory_load: row.memory_load,
            cpu_since: row.cpu_since,
            memory_since: row.memory_since,
            failures: row.failures,
        }
    }
}

/// Records places of nodes that have none yet.
///
/// # Errors
/// When a port was taken meanwhile (unique), or the database does not answer.
pub async fn record(conn: &mut Conn, places: &[(NodeId, Place)]) -> Result<()> {
    if places.is_empty() {
        return Ok(());
    }
    let rows: Vec<Value> = places
        .iter()
        .map(|(node, p)| json!({"id": node, "host_id": p.host, "cpu_millis": p.cpu_millis, "memory": p.memory}))
        .collect();
    Sql::new(
        "UPDATE nodes n SET host_id = r.host_id, cpu_millis = r.cpu_millis, memory = r.memory,
            placed_at = CASE WHEN n.host_id IS DISTINCT FROM r.host_id THEN clock_timestamp() ELSE n.placed_at END
        FROM jsonb_to_recordset(?) AS r(id uuid, host_id uuid, cpu_millis bigint, memory bigint)
        WHERE n.id = r.id",
    )
    .bind(Value::Array(rows))
    .execute(conn)
    .await?;
    let ports: Vec<Value> = places
        .iter()
        .flat_map(|(node, place)| {
            place.ports.iter().map(move |(port, protocol)| {
                json!({"host_id": place.host, "port": port, "protocol": protocol, "node_id": node})
            })
        })
        .collect();
    if !ports.is_empty() {
        Sql::new(
            "INSERT INTO host_ports (host_id, port, protocol, node_id)
            SELECT host_id, port, protocol, node_id
            FROM jsonb_to_recordset(?) AS r(host_id uuid, port integer, protocol text, node_id uuid)",
        )
        .bind(Value::Array(ports))
        .execute(conn)
        .await?;
    }
    Ok(())
}

/// Finds and records a place for one node, in one fenced transaction. `decide`
/// must be pure, for it may be asked again; its refusal leaves everything as it was.
///
/// # Errors
/// [`crate::DbError::LeaseLost`].
pub async fn place<E: Send>(
    conn: &mut Conn,
    fence: Fence,
    node: NodeId,
    cluster: Option<ClusterId>,
    needs: &Requirements,
    mut decide: impl FnMut(Vec<HostSnapshot>) -> std::result::Result<NodeId, E> + Send,
) -> Result<std::result::Result<NodeId, E>> {
    for how in TRIES {
        let decide = &mut decide;
        let placed: Result<Option<_>> = conn
            .transaction(async |conn| {
                fence::hold(conn, fence).await?;
                let (hosts, seen) = snapshot(conn, needs, cluster, how).await?;
                let host = match decide(hosts) {
                    Ok(host) => host,
                    Err(refusal) => return Ok(Some(Err(refusal))),
                };
                let places = [(node, Place::on(host, needs))];
                if !seen.holds(conn, &places).await? {
                    return Ok(None);
                }
                record(conn, &places).await?;
                Sql::new("UPDATE actions SET host_id = ? WHERE id = ?")
                    .bind(host)
                    .bind(fence.action)
                    .execute(conn)
                    .await?;
                Ok(Some(Ok(host)))
            })
            .await;
        if let Some(placed) = placed? {
            return Ok(placed);
        }
    }
    Err(unsure())
}

/// The last try always answers; this is for the compiler, and for a next try.
pub(crate) fn unsure() -> DbError {
    DbError::Unavailable("the hosts changed with every try to place".into())
}

/// Gives a node's place up, in one fenced transaction. What may still run
/// there is noted, to be removed when the host answers again.
///
/// # Errors
/// [`crate::DbError::LeaseLost`].
pub async fn give_up(conn: &mut Conn, fence: Fence, node: NodeId) -> Result<()> {
    conn.transaction(async |conn| {
        fence::hold(conn, fence).await?;
        note_leftover(conn, node).await?;
        Sql::new("DELETE FROM host_ports WHERE node_id = ?")
            .bind(node)
            .execute(conn)
            .await?;
        Sql::new("UPDATE nodes SET host_id = NULL, physical_id = NULL, generation = generation + 1 WHERE id = ?")
            .bind(node)
            .execute(conn)
            .await?;
        Ok(())
    })
    .await
}

/// Frees a node's place, in one fenced transaction: nothing of it is left there.
///
/// # Errors
/// [`crate::DbError::LeaseLost`].
pub async fn free(conn: &mut Conn, fence: Fence, node: NodeId) -> Result<()> {
    conn.transaction(async |conn| {
        fence::hold(conn, fence).await?;
        Sql::new("DELETE FROM host_ports WHERE node_id = ?")
            .bind(node)
            .execute(conn)
            .await?;
        Sql::new("UPDATE nodes SET host_id = NULL, physical_id = NULL WHERE id = ?")
            .bind(node)
            .execute(conn)
            .await?;
        Ok(())
    })
    .await
}

/// Records what an updated node takes on the host it is on.
///
/// # Errors
/// [`crate::DbError::LeaseLost`].
pub async fn resize(conn: &mut Conn, fence: Fence, node: NodeId, host: NodeId, needs: &Requirements) -> Result<()> {
    conn.transaction(async |conn| {
        fence::hold(conn, fence).await?;
        Sql::new("DELETE FROM host_ports WHERE node_id = ?")
            .bind(node)
            .execute(conn)
            .await?;
        record(conn, &[(node, Place::on(host, needs))]).await
    })
    .await
}

/// Notes that the node's containers so far must go from its host.
///
/// # Errors
/// When the database does not answer.
pub async fn note_leftover(conn: &mut Conn, node: NodeId) -> Result<()> {
    Sql::new(
        "INSERT INTO leftovers (node_id, host_id, generation)
        SELECT id, host_id, generation FROM nodes WHERE id = ? AND host_id IS NOT NULL
        ON CONFLICT (node_id, host_id) DO UPDATE SET generation = excluded.generation",
    )
    .bind(node)
    .execute(conn)
    .await?;
    Ok(())
}

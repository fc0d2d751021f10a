//! Who is where: hosts as a placement decision sees them, and its outcome.
//!
//! A decision is made on what hosts look like, without a lock. The hosts that
//! it chose are then locked, in order of id, and looked at again: when they no
//! longer take what was decided, everything is rolled back and decided anew.
//! The last of a few tries locks all hosts first, and cannot miss.

use std::collections::{BTreeSet, HashMap};

use senlin_core::{
    ids::*,
    placement::{HostSnapshot, Requirements},
};
use serde_json::{Value, json};

use crate::{
    Conn, DbError, Result,
    fence::{self, Fence},
    run::Run,
    sql::Sql,
};

mod look;

use look::LET_IN;
pub(crate) use look::labels;
pub use look::look;

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
    hosts: HashMap<NodeId, HostSnapshot>,
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
        .run(conn)
        .await?;
    }
    let hosts = look(conn, needs, cluster).await?;
    let seen = Seen {
        how,
        cluster,
        hosts: hosts.iter().map(|h| (h.id, h.clone())).collect(),
    };
    Ok((hosts, seen))
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
            .run(conn)
            .await?;
        let ports: BTreeSet<i64> = places
            .iter()
            .flat_map(|(_, p)| p.ports.iter().map(|(port, _)| i64::from(*port)))
            .collect();
        let mut now: HashMap<NodeId, HostSnapshot> = HashMap::new();
        for use_of in look::now(conn, &chosen, &ports, self.cluster).await? {
            let Some(seen) = self.hosts.get(&use_of.host) else {
                return Ok(false);
            };
            if !use_of.takes || use_of.siblings != seen.siblings {
                return Ok(false);
            }
            let host = HostSnapshot {
                cpu_used: use_of.cpu_millis,
                memory_used: use_of.memory,
                ports: use_of.ports,
                ..seen.clone()
            };
            now.insert(host.id, host);
        }
        Ok(places.iter().all(|(_, place)| {
            let needs = place.needs();
            let host = now.get_mut(&place.host).filter(|h| h.has_room(&needs));
            host.map(|h| h.take(&needs)).is_some()
        }))
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
    .run(conn)
    .await?;
    keep_ports(conn, places).await
}

/// Records the ports of places.
///
/// # Errors
/// As [`record`].
pub(crate) async fn keep_ports(conn: &mut Conn, places: &[(NodeId, Place)]) -> Result<()> {
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
        .run(conn)
        .await?;
    }
    Ok(())
}

/// Records the place that a container has which runs already: what it takes is
/// its own, whatever is promised to others.
///
/// # Errors
/// When the database does not answer.
pub async fn occupy(conn: &mut Conn, node: NodeId, place: &Place) -> Result<()> {
    let ports: Vec<Value> = place
        .ports
        .iter()
        .map(|(port, protocol)| json!({"port": port, "protocol": protocol}))
        .collect();
    // In the order in which placements lock: hosts, then ports.
    Sql::new(
        "SELECT host_id FROM host_use WHERE host_id = ? OR host_id = (SELECT host_id FROM nodes WHERE id = ?)
        ORDER BY host_id FOR NO KEY UPDATE",
    )
    .bind(place.host)
    .bind(node)
    .run(conn)
    .await?;
    // The ports that it had elsewhere, or with another profile, are free.
    Sql::new("DELETE FROM host_ports WHERE node_id = ?")
        .bind(node)
        .run(conn)
        .await?;
    Sql::new(
        "WITH ports AS (
            INSERT INTO host_ports (host_id, port, protocol, node_id)
            SELECT ?, r.port, r.protocol, ? FROM jsonb_to_recordset(?) AS r(port integer, protocol text)
            ON CONFLICT DO NOTHING)
        UPDATE nodes SET host_id = ?, cpu_millis = ?, memory = ?, placed_at = clock_timestamp() WHERE id = ?",
    )
    .bind(place.host)
    .bind(node)
    .bind(Value::Array(ports))
    .bind(place.host)
    .bind(place.cpu_millis)
    .bind(place.memory)
    .bind(node)
    .run(conn)
    .await?;
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
                fence::lock_action(conn, fence).await?;
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
                    .run(conn)
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
        fence::lock_action(conn, fence).await?;
        note_leftover(conn, node).await?;
        Sql::new("DELETE FROM host_ports WHERE node_id = ?")
            .bind(node)
            .run(conn)
            .await?;
        Sql::new(
            "WITH attempt AS (DELETE FROM node_attempts WHERE node_id = ?)
            UPDATE nodes SET host_id = NULL, physical_id = NULL, generation = greatest(generation, generations) + 1
            WHERE id = ?",
        )
        .bind(node)
        .bind(node)
        .run(conn)
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
        fence::lock_action(conn, fence).await?;
        Sql::new("DELETE FROM host_ports WHERE node_id = ?")
            .bind(node)
            .run(conn)
            .await?;
        Sql::new("UPDATE nodes SET host_id = NULL, physical_id = NULL WHERE id = ?")
            .bind(node)
            .run(conn)
            .await?;
        Ok(())
    })
    .await
}

/// Notes that the node's containers so far must go from its host.
///
/// # Errors
/// When the database does not answer.
pub async fn note_leftover(conn: &mut Conn, node: NodeId) -> Result<()> {
    Sql::new(
        "INSERT INTO leftovers (node_id, host_id, generation, container_id)
        SELECT id, host_id, greatest(generation, generations), physical_id FROM nodes
        WHERE id = ? AND host_id IS NOT NULL
        ON CONFLICT (node_id, host_id) DO UPDATE SET generation = excluded.generation,
            container_id = coalesce(excluded.container_id, leftovers.container_id)",
    )
    .bind(node)
    .run(conn)
    .await?;
    Ok(())
}

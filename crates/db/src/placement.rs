//! Who is where: hosts as a placement decision sees them, and its outcome.
//!
//! A decision is made on what hosts look like, without a lock. The hosts that
//! it chose are then locked, in order of id, and looked at again: when they no
//! longer take what was decided, everything is rolled back and decided anew.
//! The last of a few tries locks all hosts first, and cannot miss.

use std::collections::{BTreeSet, HashMap};

use diesel::{dsl::auto_type, prelude::*, upsert::excluded};
use senlin_core::{
    ids::*,
    placement::{HostSnapshot, Requirements},
};
use uuid::Uuid;

use crate::{
    Conn, DbError, Result,
    fence::{self, Fence},
    functions::{either, greatest},
    run::Run,
    schema::{actions, host_ports, host_use, hosts, leftovers, nodes},
    statements::{leave_host::leave_host, occupy_place::occupy_place, record_places::record_places},
};

mod look;

pub(crate) use crate::statements::keep_ports::keep_ports;
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

/// Locks what is promised on hosts. All who lock several do so in this order.
#[auto_type]
fn by_id() -> _ {
    host_use::table
        .select(host_use::host_id)
        .order(host_use::host_id)
        .for_no_key_update()
}

/// What was decided on, to be held against what is true under a lock.
pub(crate) struct Seen {
    how: Try,
    cluster: Option<ClusterId>,
    hosts: HashMap<NodeId, HostSnapshot>,
}

/// The hosts that the requirements let in by identity (`host_node`,
/// `host_cluster`), as they are now, for a decision that [`Seen::holds`] then
/// confirms in the same transaction. `cluster` is the container's own cluster.
pub(crate) async fn snapshot(
    conn: &mut Conn,
    needs: &Requirements,
    cluster: Option<ClusterId>,
    how: Try,
) -> Result<(Vec<HostSnapshot>, Seen)> {
    if how == Try::Sure {
        let mut let_in = hosts::table.select(hosts::node_id).into_boxed();
        if let Some(host) = needs.host_node {
            let_in = let_in.filter(hosts::node_id.eq(host.0));
        }
        if let Some(cluster) = needs.host_cluster {
            let members = nodes::table.filter(nodes::cluster_id.eq(cluster.0)).select(nodes::id);
            let_in = let_in.filter(hosts::node_id.eq_any(members));
        }
        by_id().filter(host_use::host_id.eq_any(let_in)).run(conn).await?;
    }
    let hosts = look(conn, needs, cluster).await?;
    let seen = Seen {
        how,
        cluster,
        hosts: hosts.iter().map(|h| (h.id, h.clone())).collect(),
    };
    Ok((hosts, seen))
}

/// What a transaction has itself recorded on a host.
#[derive(Debug, Clone, Copy, Default)]
struct Own {
    cpu_millis: i64,
    memory: i64,
    members: i64,
}

impl Seen {
    /// Locks the hosts that were chosen until the transaction ends. False when
    /// they do not take these containers any more: roll back and decide anew.
    pub(crate) async fn holds(&self, conn: &mut Conn, places: &[(NodeId, Place)]) -> Result<bool> {
        if self.how == Try::Sure || places.is_empty() {
            return Ok(true);
        }
        let ids: BTreeSet<_> = places.iter().map(|(_, p)| p.host.0).collect();
        by_id().filter(host_use::host_id.eq_any(ids)).run(conn).await?;
        self.fits(conn, places, &HashMap::new()).await
    }

    /// The same for members of the cluster that this transaction has recorded
    /// with their places, but for their ports: the hosts are locked already.
    pub(crate) async fn held(&self, conn: &mut Conn, places: &[(NodeId, Place)]) -> Result<bool> {
        if self.how == Try::Sure || places.is_empty() {
            return Ok(true);
        }
        let mut own: HashMap<NodeId, Own> = HashMap::new();
        for (_, place) in places {
            let own = own.entry(place.host).or_default();
            own.cpu_millis += place.cpu_millis;
            own.memory += place.memory;
            own.members += 1;
        }
        self.fits(conn, places, &own).await
    }

    async fn fits(&self, conn: &mut Conn, places: &[(NodeId, Place)], own: &HashMap<NodeId, Own>) -> Result<bool> {
        let chosen: BTreeSet<NodeId> = places.iter().map(|(_, p)| p.host).collect();
        let chosen: Vec<NodeId> = chosen.into_iter().collect();
        let ports: BTreeSet<i32> = places
            .iter()
            .flat_map(|(_, p)| p.ports.iter().map(|(port, _)| i32::from(*port)))
            .collect();
        let mut now: HashMap<NodeId, HostSnapshot> = HashMap::new();
        for use_of in look::now(conn, &chosen, &ports, self.cluster).await? {
            let Some(seen) = self.hosts.get(&use_of.host) else {
                return Ok(false);
            };
            let own = own.get(&use_of.host).copied().unwrap_or_default();
            if !use_of.takes || use_of.siblings - own.members != seen.siblings {
                return Ok(false);
            }
            let host = HostSnapshot {
                cpu_used: use_of.cpu_millis - own.cpu_millis,
                memory_used: use_of.memory - own.memory,
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
/// When a port was taken meanwhile (unique).
pub async fn record(conn: &mut Conn, places: &[(NodeId, Place)]) -> Result<()> {
    if places.is_empty() {
        return Ok(());
    }
    record_places(conn, places).await?;
    keep_ports(conn, places).await
}

/// Records the place that a container has which runs already: what it takes is
/// its own, whatever is promised to others.
pub async fn occupy(conn: &mut Conn, node: NodeId, place: &Place) -> Result<()> {
    // In the order in which placements lock: hosts, then ports.
    let until_now = nodes::table.find(node.0).select(nodes::host_id).single_value();
    let here = host_use::host_id.nullable().eq(place.host.0);
    by_id()
        .filter(here.or(host_use::host_id.nullable().eq(until_now)))
        .run(conn)
        .await?;
    // The ports that it had elsewhere, or with another profile, are free.
    free_ports(conn, node).await?;
    occupy_place(conn, node, place).await
}

async fn free_ports(conn: &mut Conn, node: NodeId) -> Result<()> {
    let of_node = host_ports::table.filter(host_ports::node_id.eq(node.0));
    diesel::delete(of_node).run(conn).await?;
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
                diesel::update(actions::table.find(fence.action.0))
                    .set(actions::host_id.eq(host.0))
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

/// The last try always returns; this is for the compiler, and for a next try.
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
        free_ports(conn, node).await?;
        leave_host(conn, node).await
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
        free_ports(conn, node).await?;
        diesel::update(nodes::table.find(node.0))
            .set((nodes::host_id.eq(None::<Uuid>), nodes::physical_id.eq(None::<String>)))
            .run(conn)
            .await?;
        Ok(())
    })
    .await
}

/// Notes that the node's containers so far must go from its host.
pub async fn note_leftover(conn: &mut Conn, node: NodeId) -> Result<()> {
    let placed = nodes::table.find(node.0).filter(nodes::host_id.is_not_null()).select((
        nodes::id,
        nodes::host_id.assume_not_null(),
        greatest(nodes::generation, nodes::generations),
        nodes::physical_id,
    ));
    let container = either(excluded(leftovers::container_id), leftovers::container_id);
    placed
        .insert_into(leftovers::table)
        .into_columns((
            leftovers::node_id,
            leftovers::host_id,
            leftovers::generation,
            leftovers::container_id,
        ))
        .on_conflict((leftovers::node_id, leftovers::host_id))
        .do_update()
        .set((
            leftovers::generation.eq(excluded(leftovers::generation)),
            leftovers::container_id.eq(container),
        ))
        .run(conn)
        .await?;
    Ok(())
}

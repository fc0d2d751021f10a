//! Hosts as a placement decision sees them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use diesel::prelude::*;
use senlin_core::{
    host::{HostInfo, HostState},
    ids::*,
    placement::{HostSnapshot, Requirements},
};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    Conn, Result,
    run::Run,
    schema::host_ports,
    statements::{
        look_again::{NowRow, look_again},
        look_at_hosts::{SnapshotRow, look_at_hosts},
    },
};

/// The hosts that the requirements let in by identity (`host_node`,
/// `host_cluster`), as they are now; takes no lock. `sibling_cluster` is the
/// container's own cluster.
pub async fn look(
    conn: &mut Conn,
    needs: &Requirements,
    sibling_cluster: Option<ClusterId>,
) -> Result<Vec<HostSnapshot>> {
    let rows = look_at_hosts(conn, needs, sibling_cluster).await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// What of a host may have changed since it was looked at.
pub(super) struct Now {
    pub(super) host: NodeId,
    pub(super) cpu_millis: i64,
    pub(super) memory: i64,
    /// It is up, and takes containers.
    pub(super) takes: bool,
    pub(super) siblings: i64,
    pub(super) ports: Vec<(u16, String)>,
}

/// That of these hosts, for a caller that has locked them: others wait for it,
/// so it is little.
pub(super) async fn now(
    conn: &mut Conn,
    hosts: &[NodeId],
    ports: &BTreeSet<i32>,
    sibling_cluster: Option<ClusterId>,
) -> Result<Vec<Now>> {
    let rows = look_again(conn, hosts, sibling_cluster).await?;
    let mut taken: HashMap<Uuid, Vec<(u16, String)>> = HashMap::new();
    if !ports.is_empty() {
        let found: Vec<(Uuid, i32, String)> = host_ports::table
            .filter(host_ports::host_id.eq_any(hosts.iter().map(|host| host.0)))
            .filter(host_ports::port.eq_any(ports))
            .select((host_ports::host_id, host_ports::port, host_ports::protocol))
            .fetch_all(conn)
            .await?;
        for (host, port, protocol) in found {
            let port = u16::try_from(port).unwrap_or_default();
            taken.entry(host).or_default().push((port, protocol));
        }
    }
    let now = |row: NowRow| Now {
        host: row.id.into(),
        cpu_millis: row.cpu_millis,
        memory: row.memory,
        takes: row.takes,
        siblings: row.siblings,
        ports: taken.remove(&row.id).unwrap_or_default(),
    };
    Ok(rows.into_iter().map(now).collect())
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
            seen_lately: row.seen_lately,
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

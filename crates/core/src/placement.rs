//! What a container needs of a host, and what is known of hosts.

use std::collections::BTreeMap;

use crate::{host::HostState, ids::*};

/// What a container needs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Requirements {
    /// Only this host.
    pub host_node: Option<NodeId>,
    /// Only hosts of this cluster.
    pub host_cluster: Option<ClusterId>,
    /// Thousandths of a processor to keep free for it.
    pub cpu_millis: i64,
    /// Bytes to keep free for it.
    pub memory: i64,
    /// Host ports it will publish: port and protocol.
    pub ports: Vec<(u16, String)>,
    /// Labels the host must carry.
    pub labels: BTreeMap<String, String>,
    /// Hosts it must not go to (it failed there, or its old one is gone).
    pub avoid: Vec<NodeId>,
}

/// One host as the decision sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct HostSnapshot {
    /// The node that it is.
    pub id: NodeId,
    /// Its node's name, for explanations.
    pub name: String,
    /// The cluster of hosts it belongs to.
    pub cluster_id: Option<ClusterId>,
    /// Whether it answers.
    pub state: HostState,
    /// Takes no new containers (its node is not ACTIVE).
    pub closed: bool,
    /// Processors, in thousandths.
    pub cpu_millis: i64,
    /// Bytes.
    pub memory: i64,
    /// Promised to containers already.
    pub cpu_used: i64,
    /// Promised to containers already, in bytes.
    pub memory_used: i64,
    /// Containers of ours on it.
    pub containers: i64,
    /// Of the same cluster as the one to be placed.
    pub siblings: i64,
    /// Host ports taken.
    pub ports: Vec<(u16, String)>,
    /// The engine's labels, over them the host profile's, and its zone as `zone`.
    pub labels: BTreeMap<String, String>,
    /// Measured load in percent of its processors, when it is measured.
    pub cpu_load: Option<f64>,
}

/// How to choose among the hosts that fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strategy {
    /// Fewest siblings, then fewest containers.
    #[default]
    Spread,
    /// Any of them, by seed.
    Random,
}

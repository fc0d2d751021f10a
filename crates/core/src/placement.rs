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

/// The host that a container is on.
#[derive(Debug, Clone, PartialEq)]
pub struct Whereabouts {
    /// The container's node's name.
    pub name: String,
    /// The host.
    pub host: NodeId,
    /// Its node's name.
    pub host_name: String,
    /// The cluster of hosts that it belongs to.
    pub cluster_id: Option<ClusterId>,
    /// Its labels, as in [`HostSnapshot`].
    pub labels: BTreeMap<String, String>,
}

impl Whereabouts {
    /// Why a container with such needs may not be there, if it may not. What
    /// it takes of the host is another question.
    #[must_use]
    pub fn misplaced(&self, needs: &Requirements) -> Option<String> {
        let host = &self.host_name;
        if needs.host_node.is_some_and(|id| id != self.host) {
            return Some(format!("it is on host '{host}', which is not the profile's host_node"));
        }
        if needs.host_cluster.is_some() && needs.host_cluster != self.cluster_id {
            return Some(format!("its host '{host}' is not in the profile's host_cluster"));
        }
        let (key, value) = needs
            .labels
            .iter()
            .find(|(key, value)| self.labels.get(*key) != Some(value))?;
        Some(format!("its host '{host}' does not carry the label '{key}={value}'"))
    }
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
    /// It answered within the last [`HostSnapshot::PATIENCE`] seconds: if it does not answer now, it may soon again.
    pub seen_lately: bool,
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
    /// Measured load in percent of its processors; none when it is not known
    /// or was measured too long ago.
    pub cpu_load: Option<f64>,
    /// Measured use of its memory in percent; none as above.
    pub memory_load: Option<f64>,
    /// Thousandths of a processor of containers that came since the measure.
    pub cpu_since: i64,
    /// Bytes of containers that came since the measure.
    pub memory_since: i64,
    /// Containers that could not be made there lately.
    pub failures: i64,
}

impl HostSnapshot {
    /// Seconds for which a host that went silent is waited for.
    pub const PATIENCE: f64 = 180.0;
    /// A container that promised nothing still takes something: a tenth of a
    /// processor, until a measure says what it takes.
    pub const MIN_CPU: i64 = 100;
    /// As above, of memory: 64 MiB.
    pub const MIN_MEMORY: i64 = 64 << 20;

    /// Where it is, as its label `zone` says.
    #[must_use]
    pub fn zone(&self) -> Option<&str> {
        self.labels.get("zone").map(String::as_str)
    }

    /// Where it is, as its label `region` says.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        self.labels.get("region").map(String::as_str)
    }

    /// CPU load to reckon with, in percent: what was measured and what came
    /// since, or what is promised if that is more. None when nothing is measured.
    #[must_use]
    pub fn cpu_expected(&self) -> Option<f64> {
        expected(self.cpu_load, self.cpu_since, self.cpu_used, self.cpu_millis)
    }

    /// Memory in use to reckon with, in percent, as [`Self::cpu_expected`].
    #[must_use]
    pub fn memory_expected(&self) -> Option<f64> {
        expected(self.memory_load, self.memory_since, self.memory_used, self.memory)
    }

    /// Whether that much more is promised within what it has, and the ports are free.
    #[must_use]
    pub fn has_room(&self, needs: &Requirements) -> bool {
        let fits = |used: i64, more: i64, whole: i64| more <= 0 || used.saturating_add(more) <= whole;
        fits(self.memory_used, needs.memory, self.memory)
            && fits(self.cpu_used, needs.cpu_millis, self.cpu_millis)
            && !needs.ports.iter().any(|port| self.ports.contains(port))
    }

    /// Counts a container there.
    pub fn take(&mut self, needs: &Requirements) {
        self.cpu_used = self.cpu_used.saturating_add(needs.cpu_millis);
        self.memory_used = self.memory_used.saturating_add(needs.memory);
        self.cpu_since = self.cpu_since.saturating_add(needs.cpu_millis.max(Self::MIN_CPU));
        self.memory_since = self.memory_since.saturating_add(needs.memory.max(Self::MIN_MEMORY));
        self.containers += 1;
        self.siblings += 1;
        self.ports.extend(needs.ports.iter().cloned());
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share of a whole needs no last digit")]
fn expected(measured: Option<f64>, since: i64, promised: i64, whole: i64) -> Option<f64> {
    let share = |part: i64| 100.0 * part as f64 / whole.max(1) as f64;
    measured.map(|load| (load + share(since)).max(share(promised)))
}

/// How to choose among the hosts that fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strategy {
    /// Fewest siblings, then fewest containers.
    #[default]
    Spread,
    /// Any of them, by seed.
    Random,
    /// Least CPU load, measured and promised.
    LowCpu,
    /// Least memory in use, measured and promised.
    LowMemory,
    /// The fullest that still has room.
    Binpack,
}

/// Whether the members of a cluster go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the contract's own words")]
pub enum Affinity {
    Affinity,
    SoftAffinity,
    AntiAffinity,
    SoftAntiAffinity,
}

/// A limit of CPU load.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold {
    /// Of the host's processors.
    pub percent: f64,
    /// Over it never; else only when no other is left.
    pub never: bool,
}

/// What a cluster's policies say of hosts, beside what the container needs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rules {
    /// How to choose among those that fit; none leaves it to the profile.
    pub strategy: Option<Strategy>,
    /// Hosts over it come last or never.
    pub threshold: Option<Threshold>,
    /// Members of the cluster per host.
    pub most: Option<i64>,
    /// Labels the host must carry.
    pub labels: BTreeMap<String, String>,
    /// Zones the host may be in; empty is every one.
    pub zones: Vec<String>,
    /// Members that still go to each zone; none leaves it open.
    pub zone_shares: Option<BTreeMap<String, i64>>,
    /// Members that still go to each region; none leaves it open.
    pub region_shares: Option<BTreeMap<String, i64>>,
    /// Together or apart.
    pub affinity: Option<Affinity>,
    /// A host has a member of the cluster already.
    pub begun: bool,
    /// Hosts that members are moved away from.
    pub avoid: Vec<NodeId>,
}

impl Rules {
    /// Only a strategy.
    #[must_use]
    pub fn of(strategy: Strategy) -> Self {
        Self {
            strategy: Some(strategy),
            ..Self::default()
        }
    }

    /// Counts a member on `host`.
    pub fn take(&mut self, host: &HostSnapshot) {
        for (shares, place) in [
            (&mut self.zone_shares, host.zone()),
            (&mut self.region_shares, host.region()),
        ] {
            if let Some(left) = shares.as_mut().zip(place).and_then(|(s, p)| s.get_mut(p)) {
                *left -= 1;
            }
        }
        self.begun = true;
    }
}

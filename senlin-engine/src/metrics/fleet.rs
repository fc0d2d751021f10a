//! Size and load of every cluster and host, as last read from the database.
//! Every engine tells the same: take one of them, or `max by (cluster_id)`.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};
use senlin_db::{loads, placement};

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, EncodeLabelSet)]
struct OfCluster {
    cluster_id: String,
    cluster: String,
    project: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, EncodeLabelSet)]
struct OfHost {
    host_id: String,
    host: String,
}

type Of<L> = Family<L, Gauge<f64, AtomicU64>>;

/// The gauges.
#[derive(Debug, Clone, Default)]
pub(crate) struct FleetMetrics {
    members: Of<OfCluster>,
    active: Of<OfCluster>,
    desired: Of<OfCluster>,
    cpu: Of<OfCluster>,
    memory: Of<OfCluster>,
    host_cpu: Of<OfHost>,
    host_memory: Of<OfHost>,
    known: Arc<Mutex<(BTreeSet<OfCluster>, BTreeSet<OfHost>)>>,
}

impl FleetMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        for (name, help, family) in [
            ("senlin_cluster_members", "Members of the cluster", &self.members),
            ("senlin_cluster_active_members", "Members that are ACTIVE", &self.active),
            ("senlin_cluster_desired_capacity", "Members asked for", &self.desired),
            (
                "senlin_cluster_cpu_percent",
                "Mean CPU use of the members, in percent of what each may use",
                &self.cpu,
            ),
            (
                "senlin_cluster_memory_percent",
                "Mean memory use of the members, in percent of what each may use",
                &self.memory,
            ),
        ] {
            registry.register(name, help, family.clone());
        }
        for (name, help, family) in [
            (
                "senlin_host_cpu_percent",
                "CPU load of the host, smoothed",
                &self.host_cpu,
            ),
            (
                "senlin_host_memory_percent",
                "Memory in use of the host, smoothed",
                &self.host_memory,
            ),
        ] {
            registry.register(name, help, family.clone());
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of members fit a double")]
    pub(crate) fn update(&self, clusters: Vec<loads::ClusterLoad>, hosts: Vec<loads::Measured>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut these, mut those) = (BTreeSet::new(), BTreeSet::new());
        for cluster in clusters {
            let labels = OfCluster {
                cluster_id: cluster.id.to_string(),
                cluster: cluster.name,
                project: cluster.project,
            };
            self.members.get_or_create(&labels).set(cluster.members as f64);
            self.active.get_or_create(&labels).set(cluster.active as f64);
            self.desired.get_or_create(&labels).set(cluster.desired as f64);
            put(&self.cpu, &labels, cluster.cpu);
            put(&self.memory, &labels, cluster.memory);
            these.insert(labels);
        }
        for host in hosts.into_iter().filter(|h| h.age < placement::MEASURE_AGE) {
            let labels = OfHost {
                host_id: host.id.to_string(),
                host: host.name,
            };
            put(&self.host_cpu, &labels, host.cpu);
            put(&self.host_memory, &labels, host.memory);
            those.insert(labels);
        }
        for gone in known.0.difference(&these) {
            for family in [&self.members, &self.active, &self.desired, &self.cpu, &self.memory] {
                family.remove(gone);
            }
        }
        for gone in known.1.difference(&those) {
            self.host_cpu.remove(gone);
            self.host_memory.remove(gone);
        }
        *known = (these, those);
    }
}

/// What is not known is not told.
fn put<L: Clone + std::hash::Hash + Eq>(family: &Of<L>, labels: &L, value: Option<f64>) {
    match value {
        Some(value) => {
            family.get_or_create(labels).set(value);
        }
        None => {
            family.remove(labels);
        }
    }
}

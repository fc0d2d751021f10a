//! The tests a host must pass, in order; the first that fails names the reason.

use senlin_core::{
    host::HostState,
    placement::{Affinity, HostSnapshot, Requirements, Rules},
};

/// One test: `true` turns the host away for `reason`.
struct Filter {
    reason: &'static str,
    fails: fn(&HostSnapshot, &Requirements, &Rules) -> bool,
}

const FILTERS: &[Filter] = &[
    Filter {
        reason: "not the host_node asked for",
        fails: |h, n, _| n.host_node.is_some_and(|id| id != h.id),
    },
    Filter {
        reason: "not in the host_cluster asked for",
        fails: |h, n, _| n.host_cluster.is_some() && n.host_cluster != h.cluster_id,
    },
    Filter {
        reason: "unreachable",
        fails: |h, _, _| h.state == HostState::Unknown,
    },
    Filter {
        reason: "not accepting containers",
        fails: |h, _, _| h.closed,
    },
    Filter {
        reason: "tried before",
        fails: |h, n, _| n.avoid.contains(&h.id),
    },
    Filter {
        reason: "members are moved away from it",
        fails: |h, _, r| r.avoid.contains(&h.id),
    },
    Filter {
        reason: "labels do not match",
        fails: |h, n, r| {
            let differs = |(key, value): (&String, &String)| h.labels.get(key) != Some(value);
            n.labels.iter().any(differs) || r.labels.iter().any(differs)
        },
    },
    Filter {
        reason: "not in a zone that the policy allows",
        fails: |h, _, r| !r.zones.is_empty() && !h.zone().is_some_and(|zone| r.zones.iter().any(|z| z == zone)),
    },
    Filter {
        reason: "not enough memory",
        fails: |h, n, _| n.memory > 0 && h.memory_used.saturating_add(n.memory) > h.memory,
    },
    Filter {
        reason: "not enough CPU",
        fails: |h, n, _| n.cpu_millis > 0 && h.cpu_used.saturating_add(n.cpu_millis) > h.cpu_millis,
    },
    Filter {
        reason: "port taken",
        fails: |h, n, _| n.ports.iter().any(|port| h.ports.contains(port)),
    },
    Filter {
        reason: "has as many members of the cluster as the policy allows",
        fails: |h, _, r| r.most.is_some_and(|most| h.siblings >= most),
    },
    Filter {
        reason: "has a member of the cluster, and they go apart",
        fails: |h, _, r| r.affinity == Some(Affinity::AntiAffinity) && h.siblings > 0,
    },
    Filter {
        reason: "not where the members of the cluster are, and they go together",
        fails: |h, _, r| r.affinity == Some(Affinity::Affinity) && r.begun && h.siblings == 0,
    },
    Filter {
        reason: "its zone has its share of the cluster",
        fails: |h, _, r| no_share(r.zone_shares.as_ref(), h.zone()),
    },
    Filter {
        reason: "its region has its share of the cluster",
        fails: |h, _, r| no_share(r.region_shares.as_ref(), h.region()),
    },
    Filter {
        reason: "CPU load over the policy's threshold",
        fails: |h, _, r| {
            r.threshold
                .is_some_and(|t| t.never && h.cpu_expected().is_some_and(|load| load > t.percent))
        },
    },
];

fn no_share(shares: Option<&std::collections::BTreeMap<String, i64>>, place: Option<&str>) -> bool {
    shares.is_some_and(|s| place.and_then(|p| s.get(p)).is_none_or(|left| *left <= 0))
}

/// The reason this host cannot take the container, if there is one.
#[must_use]
pub fn turn_away(host: &HostSnapshot, needs: &Requirements, rules: &Rules) -> Option<&'static str> {
    FILTERS.iter().find(|f| (f.fails)(host, needs, rules)).map(|f| f.reason)
}

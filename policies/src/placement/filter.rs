//! The tests a host must pass, in order; the first that fails names the reason.

use senlin_core::{
    host::HostState,
    placement::{HostSnapshot, Requirements},
};

/// One test: `true` turns the host away for `reason`.
struct Filter {
    reason: &'static str,
    fails: fn(&HostSnapshot, &Requirements) -> bool,
}

const FILTERS: &[Filter] = &[
    Filter {
        reason: "not the host_node asked for",
        fails: |h, n| n.host_node.is_some_and(|id| id != h.id),
    },
    Filter {
        reason: "not in the host_cluster asked for",
        fails: |h, n| n.host_cluster.is_some() && n.host_cluster != h.cluster_id,
    },
    Filter {
        reason: "unreachable",
        fails: |h, _| h.state == HostState::Unknown,
    },
    Filter {
        reason: "not accepting containers",
        fails: |h, _| h.closed,
    },
    Filter {
        reason: "tried before",
        fails: |h, n| n.avoid.contains(&h.id),
    },
    Filter {
        reason: "labels do not match",
        fails: |h, n| n.labels.iter().any(|(key, value)| h.labels.get(key) != Some(value)),
    },
    Filter {
        reason: "not enough memory",
        fails: |h, n| n.memory > 0 && h.memory_used.saturating_add(n.memory) > h.memory,
    },
    Filter {
        reason: "not enough CPU",
        fails: |h, n| n.cpu_millis > 0 && h.cpu_used.saturating_add(n.cpu_millis) > h.cpu_millis,
    },
    Filter {
        reason: "port taken",
        fails: |h, n| n.ports.iter().any(|port| h.ports.contains(port)),
    },
];

/// The reason this host cannot take the container, if there is one.
#[must_use]
pub fn turn_away(host: &HostSnapshot, needs: &Requirements) -> Option<&'static str> {
    FILTERS.iter().find(|f| (f.fails)(host, needs)).map(|f| f.reason)
}

//! Where a container goes: filter, score, explain.
//!
//! Hosts pass a list of tests; those that pass all are compared by a list of
//! scores, first difference wins. A refusal counts which test turned away how
//! many hosts, in words a tenant understands.

use std::{collections::BTreeMap, fmt};

use senlin_core::{
    host::HostState,
    ids::NodeId,
    placement::{HostSnapshot, Requirements, Rules},
};

pub mod filter;
pub mod score;

mod planner;

pub use planner::Planner;

/// Why no host can take the container.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    /// Reason and how many hosts it turned away, most first.
    pub reasons: Vec<(&'static str, usize)>,
    /// Hosts that would take it if they answered, and answered not long ago.
    pub away: usize,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.reasons.is_empty() {
            return f.write_str("there are no hosts to choose from");
        }
        for (position, (reason, hosts)) in self.reasons.iter().enumerate() {
            let separator = if position == 0 { "" } else { "; " };
            let plural = if *hosts == 1 { "host" } else { "hosts" };
            write!(f, "{separator}{hosts} {plural}: {reason}")?;
        }
        Ok(())
    }
}

impl Refusal {
    /// Why each of these hosts turns the container away.
    fn of(hosts: &[HostSnapshot], needs: &Requirements, rules: &Rules) -> Self {
        let mut counts = BTreeMap::new();
        for reason in hosts.iter().filter_map(|h| filter::turn_away(h, needs, rules)) {
            *counts.entry(reason).or_insert(0) += 1;
        }
        let mut reasons: Vec<_> = counts.into_iter().collect();
        reasons.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        let would = |host: &&HostSnapshot| {
            let back = HostSnapshot {
                state: HostState::Up,
                ..(*host).clone()
            };
            filter::turn_away(&back, needs, rules).is_none()
        };
        let lately = |host: &&HostSnapshot| host.state == HostState::Unknown && host.seen_lately;
        Self {
            reasons,
            away: hosts.iter().filter(lately).filter(would).count(),
        }
    }

    /// Whether it may pass by waiting: a host that would take the container
    /// was there a short while ago.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        self.away > 0
    }
}

/// Chooses a host for one container.
///
/// # Errors
/// The refusal, with the count of hosts that failed each test.
pub fn place(hosts: &[HostSnapshot], needs: &Requirements, rules: &Rules, seed: u64) -> Result<NodeId, Refusal> {
    let rules = &Rules {
        begun: rules.begun || hosts.iter().any(|h| h.siblings > 0),
        ..rules.clone()
    };
    hosts
        .iter()
        .filter(|host| filter::turn_away(host, needs, rules).is_none())
        .min_by_key(|host| score::of(host, rules, seed))
        .map(|host| host.id)
        .ok_or_else(|| Refusal::of(hosts, needs, rules))
}

#[cfg(test)]
mod tests;

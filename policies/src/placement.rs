//! Where a container goes: filter, score, explain.
//!
//! Hosts pass a list of tests; those that pass all are compared by a list of
//! scores, first difference wins. A refusal counts which test turned away how
//! many hosts, in words a tenant understands.

use std::{collections::BTreeMap, fmt};

use senlin_core::{
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
    fn of(counts: &BTreeMap<&'static str, usize>) -> Self {
        let mut reasons: Vec<_> = counts.iter().map(|(reason, n)| (*reason, *n)).collect();
        reasons.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        Self { reasons }
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
    let mut counts = BTreeMap::new();
    let mut best: Option<(score::Score, NodeId)> = None;
    for host in hosts {
        match filter::turn_away(host, needs, rules) {
            Some(reason) => *counts.entry(reason).or_insert(0) += 1,
            None => {
                let score = score::of(host, rules, seed);
                if best.as_ref().is_none_or(|(least, _)| score < *least) {
                    best = Some((score, host.id));
                }
            }
        }
    }
    best.map(|(_, id)| id).ok_or_else(|| Refusal::of(&counts))
}

#[cfg(test)]
mod tests;

//! Many containers over one snapshot: each decision counts for the next.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use senlin_core::{
    ids::NodeId,
    placement::{HostSnapshot, Requirements, Strategy},
};

use super::{
    Refusal, filter,
    score::{self, Score},
};

/// Decides as [`super::place`] does, but keeps the hosts in order of score, so
/// that a decision looks at few of them.
pub struct Planner {
    hosts: Vec<HostSnapshot>,
    by_score: BTreeSet<(Score, usize)>,
    by_id: HashMap<NodeId, usize>,
    strategy: Strategy,
    seed: u64,
}

impl Planner {
    /// A planner over these hosts.
    #[must_use]
    pub fn new(hosts: Vec<HostSnapshot>, strategy: Strategy, seed: u64) -> Self {
        let mut planner = Self {
            by_score: BTreeSet::new(),
            by_id: HashMap::new(),
            hosts,
            strategy,
            seed,
        };
        planner.by_id = planner.hosts.iter().enumerate().map(|(at, h)| (h.id, at)).collect();
        planner.rank();
        planner
    }

    /// The seed that the next decision uses.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    fn rank(&mut self) {
        let (strategy, seed) = (self.strategy, self.seed);
        self.by_score = self
            .hosts
            .iter()
            .enumerate()
            .map(|(at, h)| (score::of(h, strategy, seed), at))
            .collect();
    }

    /// Chooses a host for one container and counts it there.
    ///
    /// # Errors
    /// The refusal, with the count of hosts that failed each test.
    pub fn place(&mut self, needs: &Requirements) -> Result<NodeId, Refusal> {
        let found = match needs.host_node {
            Some(id) => self.by_id.get(&id).copied().filter(|at| self.fits(*at, needs)),
            None => self.by_score.iter().map(|(_, at)| *at).find(|at| self.fits(*at, needs)),
        };
        let Some(at) = found else {
            return Err(self.refuse(needs));
        };
        let Some(host) = self.hosts.get_mut(at) else {
            return Err(self.refuse(needs));
        };
        self.by_score.remove(&(score::of(host, self.strategy, self.seed), at));
        host.cpu_used += needs.cpu_millis;
        host.memory_used += needs.memory;
        host.containers += 1;
        host.siblings += 1;
        host.ports.extend(needs.ports.iter().cloned());
        let id = host.id;
        self.by_score.insert((score::of(host, self.strategy, self.seed), at));
        if self.strategy == Strategy::Random {
            // Every choice by chance of its own: another order for the next.
            self.seed = self.seed.wrapping_add(1);
            self.rank();
        }
        Ok(id)
    }

    fn fits(&self, at: usize, needs: &Requirements) -> bool {
        self.hosts
            .get(at)
            .is_some_and(|h| filter::turn_away(h, needs).is_none())
    }

    fn refuse(&self, needs: &Requirements) -> Refusal {
        let mut counts = BTreeMap::new();
        for reason in self.hosts.iter().filter_map(|h| filter::turn_away(h, needs)) {
            *counts.entry(reason).or_insert(0) += 1;
        }
        Refusal::of(&counts)
    }
}

//! Many containers over one snapshot: each decision counts for the next.

use std::collections::{BTreeSet, HashMap};

use senlin_core::{
    ids::NodeId,
    placement::{HostSnapshot, Requirements, Rules, Strategy},
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
    rules: Rules,
    seed: u64,
}

impl Planner {
    /// A planner over these hosts.
    #[must_use]
    pub fn new(hosts: Vec<HostSnapshot>, mut rules: Rules, seed: u64) -> Self {
        rules.begun |= hosts.iter().any(|h| h.siblings > 0);
        let mut planner = Self {
            by_score: BTreeSet::new(),
            by_id: HashMap::new(),
            hosts,
            rules,
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

    /// A host by its id, as it is after the choices so far.
    #[must_use]
    pub fn host(&self, id: NodeId) -> Option<&HostSnapshot> {
        self.by_id.get(&id).and_then(|at| self.hosts.get(*at))
    }

    fn rank(&mut self) {
        let (rules, seed) = (&self.rules, self.seed);
        self.by_score = self
            .hosts
            .iter()
            .enumerate()
            .map(|(at, h)| (score::of(h, rules, seed), at))
            .collect();
    }

    /// Chooses a host for one container and counts it there.
    ///
    /// # Errors
    /// The refusal, with the count of hosts that failed each test.
    pub fn place(&mut self, needs: &Requirements) -> Result<NodeId, Refusal> {
        let found = match needs.host_node {
            Some(id) => self.by_id.get(&id).copied().filter(|at| self.fits(*at, needs)),
            None if self.random() => self.best(needs),
            None => self.by_score.iter().map(|(_, at)| *at).find(|at| self.fits(*at, needs)),
        };
        let Some(at) = found else {
            return Err(self.refuse(needs));
        };
        let Some(host) = self.hosts.get_mut(at) else {
            return Err(self.refuse(needs));
        };
        let before = score::of(host, &self.rules, self.seed);
        host.take(needs);
        self.rules.take(host);
        let id = host.id;
        let after = score::of(host, &self.rules, self.seed);
        if self.random() {
            // Every choice by chance of its own: another order for the next.
            self.seed = self.seed.wrapping_add(1);
        } else {
            self.by_score.remove(&(before, at));
            self.by_score.insert((after, at));
        }
        Ok(id)
    }

    fn random(&self) -> bool {
        self.rules.strategy == Some(Strategy::Random)
    }

    /// The least of all that fit. An order that each choice makes anew is not
    /// worth keeping; few hosts are better than the best so far, and only
    /// those are put to the tests.
    fn best(&self, needs: &Requirements) -> Option<usize> {
        let mut best: Option<(Score, usize)> = None;
        for (at, host) in self.hosts.iter().enumerate() {
            let score = score::of(host, &self.rules, self.seed);
            if best.as_ref().is_none_or(|(least, _)| score < *least) && self.fits(at, needs) {
                best = Some((score, at));
            }
        }
        best.map(|(_, at)| at)
    }

    fn fits(&self, at: usize, needs: &Requirements) -> bool {
        self.hosts
            .get(at)
            .is_some_and(|h| filter::turn_away(h, needs, &self.rules).is_none())
    }

    fn refuse(&self, needs: &Requirements) -> Refusal {
        Refusal::of(&self.hosts, needs, &self.rules)
    }
}

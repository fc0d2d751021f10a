//! Who goes when a cluster shrinks and nobody said who.

use senlin_core::{Time, ids::NodeId};

use crate::chance::Chance;

/// A member that could go.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The member.
    pub id: NodeId,
    /// In ERROR or WARNING, or tainted.
    pub bad: bool,
    /// When it came to be; none for one that never did.
    pub created_at: Option<Time>,
    /// A host with containers: it cannot go without them.
    pub occupied: bool,
}

/// Chooses `count` members: unoccupied before occupied, bad before good, never
/// made before made, then by chance.
#[must_use]
pub fn choose(candidates: &[Candidate], count: usize, seed: u64) -> Vec<NodeId> {
    let mut chance = Chance::new(seed);
    let mut ranked: Vec<_> = candidates
        .iter()
        .map(|c| (c.occupied, !c.bad, c.created_at.is_some(), chance.next(), c.id))
        .collect();
    ranked.sort_unstable();
    ranked.into_iter().take(count).map(|(.., id)| id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(bad: bool, made: bool, occupied: bool) -> Candidate {
        let created_at = made.then(|| "2026-01-01T00:00:00Z".parse().unwrap());
        Candidate {
            id: NodeId::random(),
            bad,
            created_at,
            occupied,
        }
    }

    #[test]
    fn bad_ones_go_first_and_occupied_hosts_last() {
        let good = candidate(false, true, false);
        let bad = candidate(true, true, false);
        let unmade = candidate(true, false, false);
        let occupied = candidate(true, true, true);
        let all = [good.clone(), occupied.clone(), bad.clone(), unmade.clone()];
        for seed in 0..50 {
            assert_eq!(choose(&all, 4, seed), vec![unmade.id, bad.id, good.id, occupied.id]);
        }
    }

    #[test]
    fn chance_decides_among_equals_and_can_be_repeated() {
        let all: Vec<_> = (0..10).map(|_| candidate(false, true, false)).collect();
        assert_eq!(choose(&all, 3, 7), choose(&all, 3, 7));
        let firsts: std::collections::BTreeSet<_> = (0..200).map(|seed| choose(&all, 1, seed)[0]).collect();
        assert_eq!(firsts.len(), 10, "every member can be the one");
    }

    #[test]
    fn never_more_than_there_are() {
        let all = [candidate(false, true, false)];
        assert_eq!(choose(&all, 5, 1).len(), 1);
    }
}

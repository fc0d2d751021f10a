//! Who goes when a cluster shrinks and nobody said who.

use senlin_core::{Time, ids::NodeId};
use serde::Deserialize;
use utoipa::ToSchema;

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
    /// When the profile that it has came to be.
    pub profile_created_at: Option<Time>,
    /// A host with containers: it cannot go without them.
    pub occupied: bool,
    /// Protects itself from going for now.
    pub protected: bool,
    /// The zone of its host, or its own.
    pub zone: Option<String>,
    /// The region of its host, or its own.
    pub region: Option<String>,
}

/// Which of the good ones goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the contract's own words")]
pub enum Criteria {
    OldestFirst,
    OldestProfileFirst,
    YoungestFirst,
    #[default]
    Random,
}

impl Criteria {
    /// Least goes first.
    fn rank(self, c: &Candidate) -> i64 {
        let at = |time: Option<Time>| time.map_or(0, |t| t.timestamp_micros());
        match self {
            Self::OldestFirst => at(c.created_at),
            Self::OldestProfileFirst => at(c.profile_created_at),
            Self::YoungestFirst => at(c.created_at).saturating_neg(),
            Self::Random => 0,
        }
    }
}

/// The members that protect themselves.
#[must_use]
pub fn protected(candidates: &[Candidate]) -> Vec<NodeId> {
    candidates.iter().filter(|c| c.protected).map(|c| c.id).collect()
}

/// Chooses `count` members: unoccupied before occupied, unprotected before
/// protected, bad before good, never made before made, then by the criteria,
/// then by chance.
#[must_use]
pub fn choose(candidates: &[Candidate], count: usize, criteria: Criteria, seed: u64) -> Vec<NodeId> {
    let mut chance = Chance::new(seed);
    let mut ranked: Vec<_> = candidates
        .iter()
        .map(|c| {
            let made = c.created_at.is_some();
            (
                c.occupied,
                c.protected,
                !c.bad,
                made,
                criteria.rank(c),
                chance.next(),
                c.id,
            )
        })
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
            profile_created_at: created_at,
            occupied,
            protected: false,
            zone: None,
            region: None,
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
            assert_eq!(
                choose(&all, 4, Criteria::Random, seed),
                vec![unmade.id, bad.id, good.id, occupied.id]
            );
        }
    }

    #[test]
    fn chance_decides_among_equals_and_can_be_repeated() {
        let all: Vec<_> = (0..10).map(|_| candidate(false, true, false)).collect();
        assert_eq!(
            choose(&all, 3, Criteria::Random, 7),
            choose(&all, 3, Criteria::Random, 7)
        );
        let firsts: std::collections::BTreeSet<_> = (0..200)
            .map(|seed| choose(&all, 1, Criteria::Random, seed)[0])
            .collect();
        assert_eq!(firsts.len(), 10, "every member can be the one");
    }

    #[test]
    fn age_decides_among_the_good() {
        let aged = |day: u8, profile: u8| Candidate {
            created_at: Some(format!("2026-01-0{day}T00:00:00Z").parse().unwrap()),
            profile_created_at: Some(format!("2026-01-0{profile}T00:00:00Z").parse().unwrap()),
            ..candidate(false, true, false)
        };
        let all = [aged(2, 1), aged(1, 3), aged(3, 2)];
        for (criteria, order) in [
            (Criteria::OldestFirst, [1, 0, 2]),
            (Criteria::YoungestFirst, [2, 0, 1]),
            (Criteria::OldestProfileFirst, [0, 2, 1]),
        ] {
            let expected: Vec<_> = order.iter().map(|i| all[*i].id).collect();
            assert_eq!(choose(&all, 3, criteria, 9), expected, "{criteria:?}");
        }
    }

    #[test]
    fn never_more_than_there_are() {
        let all = [candidate(false, true, false)];
        assert_eq!(choose(&all, 5, Criteria::Random, 1).len(), 1);
    }
}

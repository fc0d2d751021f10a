//! How many members each of several places has or gives up, by their weights.

use std::collections::{BTreeMap, BTreeSet};

use senlin_core::{action::ActionKind, host::HostState, placement::HostSnapshot, spec::SpecError};
use serde::de::DeserializeOwned;
use utoipa::ToSchema;

use crate::{
    engine::{AttachedPolicy, Behaviour, ClusterSnapshot, Decision, Request},
    victims::Candidate,
};

/// A place and how much of the cluster it is to have.
#[derive(Debug, Clone)]
pub(crate) struct Share {
    pub(crate) name: String,
    pub(crate) weight: i64,
    /// Most members it may have; -1 for no limit.
    pub(crate) cap: i64,
}

/// Divides `count` more members (or fewer, when it `shrinks`) among places
/// that have `current` members now. None: they do not fit.
///
/// Members in a place that is not listed count as of weight 0: they go first.
pub(crate) fn divide(
    places: &[Share],
    current: &BTreeMap<String, i64>,
    count: i64,
    shrinks: bool,
) -> Option<BTreeMap<String, i64>> {
    let mut all: Vec<Share> = places.to_vec();
    if shrinks {
        let unlisted = current.keys().filter(|name| !places.iter().any(|p| p.name == **name));
        all.extend(unlisted.map(|name| Share {
            name: name.clone(),
            weight: 0,
            cap: -1,
        }));
    }
    let have = |place: &Share| current.get(&place.name).copied().unwrap_or(0);
    let total: i64 = all.iter().map(have).sum::<i64>() + if shrinks { -count } else { count };
    let weights: i64 = all.iter().map(|p| p.weight).sum::<i64>().max(1);
    all.sort_by(|a, b| {
        let by_weight = if shrinks {
            a.weight.cmp(&b.weight)
        } else {
            b.weight.cmp(&a.weight)
        };
        by_weight.then_with(|| a.name.cmp(&b.name))
    });
    let mut plan = BTreeMap::new();
    let mut left = count;
    for place in &all {
        let part = total.max(0).saturating_mul(place.weight);
        let room = if shrinks {
            have(place) - part / weights
        } else {
            let quota = (part + weights - 1) / weights;
            let quota = if place.cap >= 0 { quota.min(place.cap) } else { quota };
            quota - have(place)
        };
        let share = room.min(left);
        if share > 0 {
            plan.insert(place.name.clone(), share);
            left -= share;
        }
    }
    (left == 0).then_some(plan)
}

/// A policy that says how many members each zone, or each region, has.
pub(crate) struct Steering {
    /// Such as `Zone`.
    pub(crate) one: &'static str,
    /// Such as `zones`.
    pub(crate) what: &'static str,
    /// Where a host is.
    pub(crate) of_host: fn(&HostSnapshot) -> Option<&str>,
    /// Where a member is.
    pub(crate) of_member: fn(&Candidate) -> Option<&str>,
}

impl Steering {
    /// What each place gets or gives up; none when the policy has no say. The
    /// reason goes to the decision.
    pub(crate) fn plan(
        &self,
        bound: &AttachedPolicy,
        view: &ClusterSnapshot,
        request: &Request,
        decision: &mut Decision,
        mut places: Vec<Share>,
    ) -> Result<Option<BTreeMap<String, i64>>, String> {
        if !concerns(request.kind) || !decision.victims.is_empty() {
            return Ok(None);
        }
        let answers = |place: &str| {
            let there = |h: &HostSnapshot| h.state == HostState::Up && !h.closed && (self.of_host)(h) == Some(place);
            view.hosts.is_empty() || view.hosts.iter().any(there)
        };
        // A place whose hosts are all away takes nothing now.
        places.retain(|p| request.shrinks || answers(&p.name));
        let mut now = BTreeMap::new();
        for name in view.members.iter().filter_map(self.of_member) {
            *now.entry(name.to_owned()).or_insert(0) += 1;
        }
        let count = i64::from(decision.count.unwrap_or(1));
        let plan = divide(&places, &now, count, request.shrinks)
            .ok_or_else(|| format!("there is no feasible plan to place the members in its {}", self.what))?;
        let told: Vec<String> = plan.iter().map(|(name, n)| format!("{name}: {n}")).collect();
        decision.reasons.push(format!(
            "'{}' divides {count} among {}: {}.",
            bound.name,
            self.what,
            told.join(", ")
        ));
        Ok(Some(plan))
    }
}

/// Properties that share members among places of one kind.
pub(crate) trait Places: DeserializeOwned + ToSchema + 'static {
    /// The kind.
    const STEERING: Steering;

    /// The places and their shares.
    fn shares(&self) -> Vec<Share>;

    /// Records who comes or goes where.
    fn put(decision: &mut Decision, plan: BTreeMap<String, i64>, shrinks: bool);
}

impl<P: Places> Behaviour for P {
    fn check(&self) -> Result<(), SpecError> {
        let mut seen = BTreeSet::new();
        for share in self.shares() {
            if seen.contains(&share.name) {
                let text = format!("{} '{}' is listed twice", P::STEERING.one, share.name);
                return Err(SpecError(text));
            }
            seen.insert(share.name);
        }
        Ok(())
    }

    fn concerns(request: &Request) -> bool {
        concerns(request.kind)
    }

    fn before(
        self,
        bound: &AttachedPolicy,
        view: &ClusterSnapshot,
        request: &Request,
        mut decision: Decision,
    ) -> Result<Decision, String> {
        let plan = P::STEERING.plan(bound, view, request, &mut decision, self.shares())?;
        if let Some(plan) = plan {
            P::put(&mut decision, plan, request.shrinks);
        }
        Ok(decision)
    }
}

/// The weight of a place that has none of its own.
pub(crate) fn hundred() -> i64 {
    100
}

/// Whether a placement policy has a say in such an action.
pub(crate) fn concerns(kind: ActionKind) -> bool {
    matches!(
        kind,
        ActionKind::ClusterScaleOut
            | ActionKind::ClusterScaleIn
            | ActionKind::ClusterResize
            | ActionKind::ClusterRecover
            | ActionKind::ClusterRebalance
            | ActionKind::NodeCreate
            | ActionKind::NodeRecover
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(list: &[(&str, i64, i64)]) -> Vec<Share> {
        list.iter()
            .map(|(name, weight, cap)| Share {
                name: (*name).to_owned(),
                weight: *weight,
                cap: *cap,
            })
            .collect()
    }

    fn map(list: &[(&str, i64)]) -> BTreeMap<String, i64> {
        list.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect()
    }

    /// Worked examples: weights and caps, members now, count, shrinks → plan.
    #[test]
    fn shares_by_example() {
        type Row<'a> = (
            &'a [(&'a str, i64, i64)],
            &'a [(&'a str, i64)],
            i64,
            bool,
            Option<&'a [(&'a str, i64)]>,
        );
        let even: &[(&str, i64, i64)] = &[("a", 100, -1), ("b", 100, -1)];
        let table: &[Row<'_>] = &[
            (even, &[], 4, false, Some(&[("a", 2), ("b", 2)])),
            (even, &[("a", 3)], 3, false, Some(&[("b", 3)])),
            (
                &[("a", 300, -1), ("b", 100, -1)],
                &[],
                4,
                false,
                Some(&[("a", 3), ("b", 1)]),
            ),
            (even, &[("a", 3), ("b", 1)], 2, true, Some(&[("a", 2)])),
            (even, &[("a", 2), ("b", 2), ("c", 1)], 1, true, Some(&[("c", 1)])),
            (&[("a", 100, 1), ("b", 100, -1)], &[], 4, false, None),
            (
                &[("a", 100, 3), ("b", 100, -1)],
                &[],
                4,
                false,
                Some(&[("a", 2), ("b", 2)]),
            ),
        ];
        for (weights, now, count, shrinks, expected) in table {
            let got = divide(&places(weights), &map(now), *count, *shrinks);
            assert_eq!(got, expected.map(map), "{weights:?} {now:?} {count} {shrinks}");
        }
    }

    #[test]
    fn without_caps_every_count_has_a_plan() {
        let mut chance = crate::chance::Chance::new(5);
        let mut any = |most: u64| i64::try_from(chance.next() % (most + 1)).unwrap();
        for _ in 0..2_000 {
            let list = places(&[("a", any(9) + 1, -1), ("b", any(9) + 1, -1), ("c", any(9) + 1, -1)]);
            let now = map(&[("a", any(9)), ("b", any(9)), ("c", any(9)), ("d", any(3))]);
            let shrinks = any(1) == 0;
            let most: i64 = now.values().sum();
            let count = if shrinks {
                any(u64::try_from(most).unwrap())
            } else {
                any(20)
            };
            let plan = divide(&list, &now, count, shrinks).unwrap();
            assert_eq!(plan.values().sum::<i64>(), count);
            if shrinks {
                assert!(
                    plan.iter().all(|(name, n)| now[name] >= *n),
                    "no more go than are there"
                );
            }
        }
    }
}

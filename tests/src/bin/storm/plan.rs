//! What happens when: the same seed makes the same plan.

use std::{fmt, time::Duration};

use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};

/// What is struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    Database,
    Broker,
    Host(usize),
    Engine(usize),
    /// One of the containers of a host.
    Container(usize),
}

/// How.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// SIGSTOP, and SIGCONT at the end.
    Frozen,
    /// SIGKILL, and started again at the end.
    Killed,
    /// Packets between it and the control plane are dropped.
    Unreachable,
    /// A daemon answers 500 and does nothing.
    Refuses,
    /// A daemon does what it is asked and answers 500.
    Forgets,
    /// A daemon answers what nobody can read.
    Babbles,
    /// A daemon answers a few bytes at a time.
    Crawls,
    /// A container is removed.
    Removed,
}

/// One fault.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Blow {
    pub(crate) subject: Subject,
    pub(crate) fault: Fault,
    /// Since the beginning.
    pub(crate) at: Duration,
    pub(crate) lasts: Duration,
    /// Picks among several, as far as there are any.
    pub(crate) pick: usize,
}

impl fmt::Display for Blow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (subject, fault) = (self.subject, format!("{:?}", self.fault).to_lowercase());
        let at = self.at.as_secs_f64();
        write!(f, "{at:6.1} s {subject:?} {fault}")?;
        if !self.lasts.is_zero() {
            write!(f, " for {:.1} s", self.lasts.as_secs_f64())?;
        }
        Ok(())
    }
}

/// A fault, how often it comes before all have come, and between how many seconds it lasts.
type Chance = (Fault, usize, f64, f64);

const DATABASE: &[Chance] = &[
    (Fault::Frozen, 3, 1.0, 10.0),
    (Fault::Frozen, 1, 66.0, 75.0),
    (Fault::Killed, 2, 0.0, 4.0),
    (Fault::Unreachable, 2, 3.0, 40.0),
];
const BROKER: &[Chance] = &[
    (Fault::Frozen, 3, 1.0, 90.0),
    (Fault::Killed, 2, 0.0, 20.0),
    (Fault::Unreachable, 2, 5.0, 60.0),
];
const HOST: &[Chance] = &[
    (Fault::Frozen, 1, 1.0, 40.0),
    (Fault::Frozen, 1, 60.0, 120.0),
    (Fault::Killed, 1, 0.0, 20.0),
    (Fault::Unreachable, 1, 5.0, 60.0),
    (Fault::Unreachable, 1, 60.0, 120.0),
    (Fault::Refuses, 1, 2.0, 30.0),
    (Fault::Forgets, 1, 2.0, 20.0),
    (Fault::Babbles, 1, 2.0, 30.0),
    (Fault::Crawls, 1, 5.0, 40.0),
];
/// The lease of the engines is 6 s.
const ENGINE: &[Chance] = &[
    (Fault::Killed, 2, 1.0, 20.0),
    (Fault::Frozen, 2, 8.0, 30.0),
    (Fault::Frozen, 1, 1.0, 5.0),
];
const CONTAINER: &[Chance] = &[(Fault::Killed, 7, 0.0, 0.0), (Fault::Removed, 3, 0.0, 0.0)];

/// All blows of a storm, in order of time. None outlasts it.
pub(crate) fn plan(seed: u64, length: Duration, hosts: usize, engines: usize) -> Vec<Blow> {
    // Who, what can happen, and the seconds of peace between two blows.
    let mut subjects: Vec<(Subject, &[Chance], f64, f64)> = vec![
        (Subject::Database, DATABASE, 15.0, 70.0),
        (Subject::Broker, BROKER, 15.0, 70.0),
    ];
    for n in 0..hosts {
        subjects.push((Subject::Host(n), HOST, 15.0, 80.0));
        subjects.push((Subject::Container(n), CONTAINER, 2.0, 16.0));
    }
    subjects.extend((0..engines).map(|n| (Subject::Engine(n), ENGINE, 15.0, 70.0)));
    let mut all = Vec::new();
    for (salt, (subject, chances, least, most)) in (1_u64..).zip(subjects) {
        // Each has its own chance, so that one more engine changes no host's fate.
        let mut chance = StdRng::seed_from_u64(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ salt);
        let mut next = chance.random_range(2.0..most.min(40.0));
        let mut deck = Vec::new();
        while next < length.as_secs_f64() {
            if deck.is_empty() {
                deck = shuffled(&mut chance, chances);
            }
            let Some((fault, _, shortest, longest)) = deck.pop() else {
                break;
            };
            let at = Duration::from_secs_f64(next);
            let lasts = Duration::from_secs_f64(chance.random_range(shortest..=longest)).min(length - at);
            next += lasts.as_secs_f64() + chance.random_range(least..most);
            all.push(Blow {
                subject,
                fault,
                at,
                lasts,
                pick: chance.random_range(0..1000),
            });
        }
    }
    all.sort_by_key(|b| (b.at, b.subject));
    all
}

/// Every fault as often as it comes, in a random order: none is left out by chance.
fn shuffled(chance: &mut StdRng, chances: &[Chance]) -> Vec<Chance> {
    let mut deck: Vec<Chance> = chances.iter().flat_map(|c| std::iter::repeat_n(*c, c.1)).collect();
    deck.shuffle(chance);
    deck
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_one_plan_and_no_two_blows_of_one_subject_overlap() {
        let length = Duration::from_secs(600);
        let first = plan(7, length, 3, 3);
        assert_eq!(first, plan(7, length, 3, 3));
        assert_ne!(first, plan(8, length, 3, 3));
        for blow in &first {
            assert!(blow.at + blow.lasts <= length, "{blow}");
            let later = first.iter().find(|b| b.subject == blow.subject && b.at > blow.at);
            assert!(later.is_none_or(|b| b.at >= blow.at + blow.lasts), "{blow}");
        }
    }
}

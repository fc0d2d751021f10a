//! Placement as tables and as properties.

use senlin_core::{host::HostState, placement::Strategy};

use super::*;
use crate::chance::Chance;

pub(super) fn host(n: u128) -> HostSnapshot {
    HostSnapshot {
        id: NodeId(uuid_from(n)),
        name: format!("host-{n}"),
        cluster_id: None,
        state: HostState::Up,
        seen_lately: true,
        closed: false,
        cpu_millis: 4000,
        memory: 1 << 30,
        cpu_used: 0,
        memory_used: 0,
        containers: 0,
        siblings: 0,
        ports: Vec::new(),
        labels: BTreeMap::new(),
        cpu_load: None,
        memory_load: None,
        cpu_since: 0,
        memory_since: 0,
        failures: 0,
    }
}

fn uuid_from(n: u128) -> uuid::Uuid {
    uuid::Uuid::from_u128(n)
}

#[test]
fn each_test_turns_away_and_says_so() {
    let needs = Requirements {
        memory: 1 << 20,
        cpu_millis: 500,
        ports: vec![(80, "tcp".to_owned())],
        labels: BTreeMap::from([("disk".to_owned(), "ssd".to_owned())]),
        ..Requirements::default()
    };
    let fit = || {
        let mut h = host(1);
        h.labels.insert("disk".to_owned(), "ssd".to_owned());
        h
    };
    let cases: Vec<(Box<dyn Fn(&mut HostSnapshot)>, &str)> = vec![
        (Box::new(|h| h.state = HostState::Unknown), "1 host: unreachable"),
        (Box::new(|h| h.closed = true), "1 host: not accepting containers"),
        (Box::new(|h| h.memory_used = h.memory), "1 host: not enough memory"),
        (Box::new(|h| h.cpu_used = 3600), "1 host: not enough CPU"),
        (Box::new(|h| h.ports.push((80, "tcp".to_owned()))), "1 host: port taken"),
        (Box::new(|h| h.labels.clear()), "1 host: labels do not match"),
    ];
    assert!(place(&[fit()], &needs, &Rules::of(Strategy::Spread), 1).is_ok());
    for (spoil, text) in cases {
        let mut h = fit();
        spoil(&mut h);
        assert_eq!(
            place(&[h], &needs, &Rules::of(Strategy::Spread), 1)
                .unwrap_err()
                .to_string(),
            text
        );
    }
}

#[test]
fn the_refusal_counts_most_first() {
    let mut hosts: Vec<_> = (0..4).map(host).collect();
    hosts.iter_mut().take(3).for_each(|h| h.memory_used = h.memory);
    hosts[3].state = HostState::Unknown;
    let needs = Requirements {
        memory: 1,
        ..Requirements::default()
    };
    let refusal = place(&hosts, &needs, &Rules::of(Strategy::Spread), 0).unwrap_err();
    assert_eq!(refusal.to_string(), "3 hosts: not enough memory; 1 host: unreachable");
    assert_eq!(
        place(&[], &needs, &Rules::of(Strategy::Spread), 0)
            .unwrap_err()
            .to_string(),
        "there are no hosts to choose from"
    );
}

#[test]
fn spread_evens_out_and_random_reaches_everyone() {
    let hosts: Vec<_> = (0..7).map(host).collect();
    let needs = Requirements::default();
    let mut planner = Planner::new(hosts.clone(), Rules::of(Strategy::Spread), 3);
    let mut counts = BTreeMap::new();
    for _ in 0..70 {
        *counts.entry(planner.place(&needs).unwrap()).or_insert(0) += 1;
    }
    assert!(counts.values().all(|n| *n == 10), "{counts:?}");

    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..200 {
        seen.insert(place(&hosts, &needs, &Rules::of(Strategy::Random), seed).unwrap());
    }
    assert_eq!(seen.len(), 7);
}

/// The planner is `place` again and again, only faster.
#[test]
fn the_planner_decides_as_place_does() {
    let mut chance = Chance::new(11);
    for round in 0..40 {
        let mut hosts: Vec<_> = (0..20).map(host).collect();
        for h in &mut hosts {
            h.containers = i64::try_from(chance.next() % 5).unwrap();
            h.siblings = i64::try_from(chance.next() % 3).unwrap();
            h.memory = 1000 + i64::try_from(chance.next() % 3000).unwrap();
            if chance.next().is_multiple_of(7) {
                h.state = HostState::Unknown;
            }
        }
        let strategy = if round % 2 == 0 {
            Strategy::Spread
        } else {
            Strategy::Random
        };
        let mut planner = Planner::new(hosts.clone(), Rules::of(strategy), round);
        let ports = if round % 3 == 0 {
            vec![(8080, "tcp".to_owned())]
        } else {
            Vec::new()
        };
        for turn in 0..60 {
            let memory = i64::try_from(chance.next() % 400).unwrap();
            let needs = Requirements {
                memory,
                ports: ports.clone(),
                ..Requirements::default()
            };
            let expected = place(&hosts, &needs, &Rules::of(strategy), planner.seed());
            let got = planner.place(&needs);
            assert_eq!(got, expected, "round {round} turn {turn}");
            if let Ok(id) = got {
                let h = hosts.iter_mut().find(|h| h.id == id).unwrap();
                assert!(h.memory_used + memory <= h.memory, "never over");
                assert!(!ports.iter().any(|p| h.ports.contains(p)), "no port twice");
                h.memory_used += memory;
                h.containers += 1;
                h.siblings += 1;
                h.ports.extend(ports.iter().cloned());
            }
        }
    }
}

/// What policies ask of hosts, each as a table row: rules, hosts as (siblings,
/// load, failures, zone) → where the next one goes, by its place in the list.
#[test]
fn rules_by_example() {
    use senlin_core::placement::{Affinity, Threshold};
    type Row<'a> = (Rules, &'a [(i64, Option<f64>, i64, &'a str)], Option<usize>);
    let cpu = Rules::of(Strategy::LowCpu);
    let limit = |never| Rules {
        threshold: Some(Threshold { percent: 70.0, never }),
        ..Rules::of(Strategy::Spread)
    };
    let affinity = |how| Rules {
        affinity: Some(how),
        ..Rules::of(Strategy::Spread)
    };
    let table: &[Row<'_>] = &[
        (
            cpu.clone(),
            &[(0, Some(50.0), 0, "a"), (5, Some(10.0), 0, "a")],
            Some(1),
        ),
        // Unknown comes after known, whatever is known.
        (cpu.clone(), &[(0, None, 0, "a"), (5, Some(90.0), 0, "a")], Some(1)),
        // One that failed three times lately ranks lower, twice is nothing.
        (
            cpu.clone(),
            &[(0, Some(10.0), 3, "a"), (0, Some(50.0), 2, "a")],
            Some(1),
        ),
        (cpu, &[(0, Some(10.0), 2, "a"), (0, Some(50.0), 0, "a")], Some(0)),
        (
            limit(false),
            &[(0, Some(80.0), 0, "a"), (3, Some(60.0), 0, "a")],
            Some(1),
        ),
        (
            limit(false),
            &[(0, Some(80.0), 0, "a"), (3, Some(90.0), 0, "a")],
            Some(0),
        ),
        (limit(false), &[(0, None, 0, "a"), (3, Some(90.0), 0, "a")], Some(0)),
        (limit(true), &[(0, Some(80.0), 0, "a")], None),
        (
            affinity(Affinity::SoftAffinity),
            &[(0, None, 0, "a"), (2, None, 0, "a")],
            Some(1),
        ),
        (
            affinity(Affinity::Affinity),
            &[(0, None, 0, "a"), (2, None, 0, "a")],
            Some(1),
        ),
        (
            affinity(Affinity::AntiAffinity),
            &[(1, None, 0, "a"), (2, None, 0, "a")],
            None,
        ),
        (
            affinity(Affinity::SoftAntiAffinity),
            &[(1, None, 0, "a"), (2, None, 0, "a")],
            Some(0),
        ),
        (
            Rules {
                most: Some(2),
                zones: vec!["b".to_owned()],
                ..Rules::default()
            },
            &[(0, None, 0, "a"), (2, None, 0, "b"), (1, None, 0, "b")],
            Some(2),
        ),
        (
            Rules {
                zone_shares: Some(BTreeMap::from([("b".to_owned(), 1)])),
                ..Rules::default()
            },
            &[(0, None, 0, "a"), (9, None, 0, "b")],
            Some(1),
        ),
    ];
    for (rules, list, expected) in table {
        let hosts: Vec<HostSnapshot> = (0..)
            .zip(*list)
            .map(|(n, (siblings, load, failures, zone))| HostSnapshot {
                siblings: *siblings,
                cpu_load: *load,
                failures: *failures,
                labels: BTreeMap::from([("zone".to_owned(), (*zone).to_owned())]),
                ..host(n)
            })
            .collect();
        let needs = Requirements::default();
        let got = place(&hosts, &needs, rules, 5);
        let at = got
            .as_ref()
            .ok()
            .map(|id| hosts.iter().position(|h| h.id == *id).unwrap());
        assert_eq!(at, *expected, "{rules:?} {list:?}: {got:?}");
        assert_eq!(
            Planner::new(hosts, rules.clone(), 5).place(&needs),
            got,
            "the planner too"
        );
    }
}

/// Six at once do not all go to the host that was idle when it was measured.
#[test]
fn a_burst_does_not_flood_the_idle_host() {
    let mut hosts: Vec<_> = (0..3).map(host).collect();
    for (host, load) in hosts.iter_mut().zip([0.0, 10.0, 20.0]) {
        host.cpu_load = Some(load);
    }
    let mut planner = Planner::new(hosts, Rules::of(Strategy::LowCpu), 1);
    let needs = Requirements {
        cpu_millis: 400,
        ..Requirements::default()
    };
    let mut counts = BTreeMap::new();
    for _ in 0..6 {
        *counts.entry(planner.place(&needs).unwrap()).or_insert(0) += 1;
    }
    let counts: Vec<i32> = (0..3).map(|n| counts.get(&host(n).id).copied().unwrap_or(0)).collect();
    assert_eq!(counts, [3, 2, 1], "each takes ten points");
}

#[test]
fn a18_a_refusal_may_pass_only_when_a_host_that_fits_was_there_lately() {
    let needs = Requirements {
        memory: 1 << 20,
        ..Requirements::default()
    };
    let silent = |seen_lately| HostSnapshot {
        state: HostState::Unknown,
        seen_lately,
        ..host(1)
    };
    let full = |h: HostSnapshot| HostSnapshot {
        memory_used: h.memory,
        ..h
    };
    for (hosts, passes) in [
        (vec![], false),
        (vec![silent(true)], true),
        (vec![silent(false)], false),
        (vec![full(silent(true))], false),
        (vec![full(host(2)), silent(true)], true),
        (vec![full(host(2))], false),
    ] {
        let rules = Rules::of(Strategy::Spread);
        let refusal = place(&hosts, &needs, &rules, 1).unwrap_err();
        assert_eq!(refusal.may_pass(), passes, "{refusal}");
        let planned = Planner::new(hosts, rules, 1).place(&needs).unwrap_err();
        assert_eq!(planned, refusal);
    }
}

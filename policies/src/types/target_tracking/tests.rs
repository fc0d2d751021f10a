use serde_json::{Value, json};

use super::*;
use crate::engine::{PolicyType, Typed};

fn policy(properties: Value) -> Result<TargetTracking, SpecError> {
    let kind = Typed::<TargetTracking>::new(&META);
    let checked = kind.schema().check(properties.as_object().unwrap())?;
    kind.validate(&checked)?;
    TargetTracking::read(&checked)
}

fn time(text: &str) -> Time {
    text.parse().unwrap()
}

fn facts(size: i32, measure: f64) -> Facts {
    Facts {
        size,
        min: 1,
        max: 20,
        limit: 1000,
        measure: Some(measure),
        known: Some(time("2026-01-01T11:00:00Z")),
        newest: Some(time("2026-01-01T11:00:00Z")),
        grew: None,
        changed: None,
        wanted: Vec::new(),
        now: time("2026-01-01T12:00:00Z"),
    }
}

/// Worked examples: properties, facts → size, and a part of the explanation.
#[test]
fn verdicts_by_example() {
    let cpu = json!({"target": 50});
    let ago = |seconds| Some(time("2026-01-01T12:00:00Z") - chrono::Duration::seconds(seconds));
    let table: Vec<(Value, Facts, Option<i32>, &str)> = vec![
        (cpu.clone(), facts(4, 52.0), None, "near enough"),
        (cpu.clone(), facts(4, 100.0), Some(8), "8 members instead of 4"),
        (
            json!({"target": 50, "max_step": 2}),
            facts(4, 100.0),
            Some(6),
            "6 members",
        ),
        (cpu.clone(), facts(20, 100.0), None, "at max_size (20)"),
        (
            cpu.clone(),
            Facts {
                max: 5,
                ..facts(4, 100.0)
            },
            Some(5),
            "5 members",
        ),
        (
            cpu.clone(),
            Facts {
                grew: ago(10),
                ..facts(4, 100.0)
            },
            None,
            "in cooldown for another 50 s",
        ),
        (cpu.clone(), facts(4, 20.0), Some(2), "2 members instead of 4"),
        (
            cpu.clone(),
            Facts {
                changed: ago(100),
                ..facts(4, 20.0)
            },
            None,
            "in cooldown for another 200 s",
        ),
        (
            cpu.clone(),
            Facts {
                wanted: vec![(ago(200).unwrap(), 4)],
                ..facts(4, 20.0)
            },
            None,
            "4 members were wanted within the last 300 s",
        ),
        (
            cpu.clone(),
            Facts {
                wanted: vec![(ago(400).unwrap(), 4)],
                ..facts(4, 20.0)
            },
            Some(2),
            "2 members",
        ),
        (
            cpu.clone(),
            Facts {
                min: 4,
                ..facts(4, 20.0)
            },
            None,
            "at min_size (4)",
        ),
        (
            cpu.clone(),
            Facts {
                measure: None,
                ..facts(4, 0.0)
            },
            None,
            "unknown",
        ),
        (cpu.clone(), facts(0, 100.0), Some(2), "2 members instead of 0"),
        // Of three, two could not hold what two and a half would.
        (cpu, facts(3, 42.0), None, "fewer than 3 members would not hold it"),
    ];
    for (properties, facts, size, part) in table {
        let verdict = policy(properties.clone()).unwrap().decide(&facts);
        assert_eq!(verdict.size, size, "{properties} {facts:?}: {}", verdict.reason);
        assert!(verdict.reason.contains(part), "{}", verdict.reason);
    }
}

#[test]
fn whatever_is_measured_the_bounds_hold() {
    let mut chance = crate::chance::Chance::new(3);
    let mut any = |most: u64| i32::try_from(chance.next() % (most + 1)).unwrap();
    for _ in 0..2_000 {
        let min = any(5);
        let max = if any(2) == 0 { -1 } else { min + any(10) };
        let most = if max < 0 { 1000 } else { max };
        let size = (min + any(10)).min(most);
        let facts = Facts {
            min,
            max,
            ..facts(size, f64::from(any(300)))
        };
        let spec = policy(json!({"target": 1 + any(99), "min_step": 1 + any(3), "max_step": 4 + any(10)})).unwrap();
        let verdict = spec.decide(&facts);
        if let Some(to) = verdict.size {
            assert!((min..=most).contains(&to), "{facts:?}: {verdict:?}");
            assert_ne!(to, size);
        }
        assert_eq!(verdict, spec.decide(&facts));
    }
}

#[test]
fn the_latest_schedule_holds_in_its_own_time_zone() {
    let spec = policy(json!({"schedules": [
        {"cron": "0 8 * * *", "timezone": "Europe/Paris", "min_size": 5, "max_size": 10},
        {"cron": "0 20 * * *", "timezone": "Europe/Paris", "min_size": 1}]}))
    .unwrap();
    // Paris is one hour ahead in winter, two in summer.
    for (now, expected) in [
        ("2026-01-15T06:59:00Z", (Some(1), Some(10))),
        ("2026-01-15T07:00:00Z", (Some(5), Some(10))),
        ("2026-07-15T06:00:00Z", (Some(5), Some(10))),
        ("2026-07-15T05:59:00Z", (Some(1), Some(10))),
        ("2026-07-15T18:00:00Z", (Some(1), Some(10))),
    ] {
        assert_eq!(spec.bounds(time(now)), expected, "{now}");
    }
}

#[test]
fn bad_specs_are_named() {
    for (properties, part) in [
        (json!({}), "'target' or 'schedules'"),
        (json!({"target": 0}), "greater than 0"),
        (json!({"target": 5, "metric": "prometheus"}), "'prometheus' is required"),
        (
            json!({"target": 5, "metric": "prometheus", "prometheus": {"url": "file:///x", "query": "up"}}),
            "http://",
        ),
        (json!({"target": 5, "min_step": 5, "max_step": 2}), "min_step"),
        (json!({"schedules": [{"cron": "whenever", "min_size": 1}]}), "cron"),
        (
            json!({"schedules": [{"cron": "0 0 * * *", "timezone": "Atlantis", "min_size": 1}]}),
            "no time zone",
        ),
        (json!({"schedules": [{"cron": "0 0 * * *"}]}), "must name"),
        (
            json!({"schedules": [{"cron": "0 0 * * *", "min_size": 5, "max_size": 2}]}),
            "must not be greater",
        ),
    ] {
        let error = policy(properties.clone()).unwrap_err();
        assert!(error.0.contains(part), "{properties}: {}", error.0);
    }
}

/// An idle service keeps one member, and nothing goes before it has been
/// looked at for a whole window since the policy came.
#[test]
fn f3_an_idle_service_is_not_emptied_and_not_shrunk_at_once() {
    let now = facts(3, 0.0).now;
    let ago = |seconds| Some(now - chrono::Duration::seconds(seconds));
    let idle = Facts {
        min: 0,
        ..facts(3, 0.0)
    };
    let cpu = json!({"target": 50});
    let to_none = json!({"target": 50, "min_size": 0});
    let table = [
        (
            &cpu,
            Facts {
                known: None,
                ..idle.clone()
            },
            None,
            "known for 300 s more",
        ),
        (
            &cpu,
            Facts {
                known: ago(299),
                ..idle.clone()
            },
            None,
            "known for 1 s more",
        ),
        (
            &cpu,
            Facts {
                newest: ago(10),
                ..idle.clone()
            },
            None,
            "warms up for 50 s more",
        ),
        (
            &cpu,
            Facts {
                known: ago(300),
                newest: ago(60),
                ..idle.clone()
            },
            Some(1),
            "1 members instead of 3",
        ),
        (
            &cpu,
            Facts {
                size: 1,
                measure: Some(0.1),
                ..idle.clone()
            },
            None,
            "at min_size (1)",
        ),
        (
            &to_none,
            Facts {
                size: 1,
                ..idle.clone()
            },
            Some(0),
            "0 members instead of 1",
        ),
        (
            &to_none,
            Facts {
                size: 1,
                known: None,
                ..idle.clone()
            },
            None,
            "known for 300 s more",
        ),
        (
            &to_none,
            Facts { min: 2, ..idle.clone() },
            Some(2),
            "2 members instead of 3",
        ),
    ];
    for (properties, facts, size, part) in table {
        let verdict = policy(properties.clone()).unwrap().decide(&facts);
        assert_eq!(verdict.size, size, "{properties} {facts:?}: {}", verdict.reason);
        assert!(verdict.reason.contains(part), "{}", verdict.reason);
        assert!(!verdict.reason.contains("near enough"), "{}", verdict.reason);
    }
}

#[test]
fn g18_what_no_measure_can_be_is_unknown() {
    for measure in [-1.0, -0.1, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let verdict = policy(json!({"target": 50, "min_size": 0}))
            .unwrap()
            .decide(&facts(2, measure));
        assert_eq!((verdict.size, verdict.wanted), (None, None), "{}", verdict.reason);
        assert!(verdict.reason.contains("cannot be"), "{}", verdict.reason);
    }
}

use senlin_core::ids::NodeId;
use serde_json::json;

use super::*;

fn at(second: u32) -> Time {
    format!("2026-01-01T00:{:02}:{:02}Z", second / 60, second % 60)
        .parse()
        .unwrap()
}

fn view(size: i32, min: i32, max: i32) -> ClusterSnapshot {
    let member = |i: i32| Candidate {
        id: NodeId(uuid::Uuid::from_u128(u128::try_from(i).unwrap() + 1)),
        bad: false,
        created_at: Some(at(u32::try_from(i).unwrap())),
        profile_created_at: Some(at(0)),
        occupied: false,
        protected: false,
        zone: None,
        region: None,
    };
    ClusterSnapshot {
        size,
        bounds: Bounds {
            min,
            max,
            desired: size,
            limit: 1000,
        },
        members: (0..size).map(member).collect(),
        hosts: Vec::new(),
        now: at(600),
    }
}

fn bound(full: &str, properties: Value, last_op: Option<Time>) -> AttachedPolicy {
    let kind = crate::all().find(full).unwrap().clone();
    let properties = kind.schema().check(properties.as_object().unwrap()).unwrap();
    kind.validate(&properties).unwrap();
    AttachedPolicy {
        name: full.rsplit('.').nth(1).unwrap_or(full).to_owned() + "-policy",
        kind,
        properties,
        last_op,
        binding: BindingId::random(),
    }
}

fn scaling(event: &str, adjustment: Value) -> AttachedPolicy {
    bound(
        "senlin.policy.scaling-1.0",
        json!({"event": event, "adjustment": adjustment}),
        None,
    )
}

fn request(kind: ActionKind, count: Option<i32>) -> Request {
    Request {
        kind,
        shrinks: matches!(kind, ActionKind::ClusterScaleIn | ActionKind::ClusterDelNodes),
        count,
        candidates: Vec::new(),
        seed: 7,
    }
}

/// Worked examples: policy, cluster (size, min, max), count asked → count, or why not.
#[test]
fn scaling_by_example() {
    const OUT: &str = "CLUSTER_SCALE_OUT";
    const IN: &str = "CLUSTER_SCALE_IN";
    let percent = |n: f64| json!({"type": "CHANGE_IN_PERCENTAGE", "number": n});
    let table = [
        (OUT, json!({}), (3, 0, -1), None, Ok(1)),
        (OUT, json!({"number": 2}), (3, 0, -1), None, Ok(2)),
        (OUT, json!({"number": 2}), (3, 0, -1), Some(5), Ok(5)),
        (
            OUT,
            json!({"type": "EXACT_CAPACITY", "number": 8}),
            (3, 0, -1),
            None,
            Ok(5),
        ),
        (
            IN,
            json!({"type": "EXACT_CAPACITY", "number": 1}),
            (3, 0, -1),
            None,
            Ok(2),
        ),
        (
            OUT,
            json!({"type": "EXACT_CAPACITY", "number": 2}),
            (3, 0, -1),
            None,
            Err("invalid count (-1)"),
        ),
        (OUT, percent(50.0), (5, 0, -1), None, Ok(2)),
        (OUT, percent(1.0), (5, 0, -1), None, Ok(1)),
        (
            OUT,
            json!({"type": "CHANGE_IN_PERCENTAGE", "number": 1, "min_step": 3}),
            (5, 0, -1),
            None,
            Ok(3),
        ),
        (OUT, json!({"number": 4}), (3, 0, 5), None, Err("max_size (5)")),
        (OUT, json!({"number": 4, "best_effort": true}), (3, 0, 5), None, Ok(2)),
        (OUT, json!({"number": 4, "best_effort": true}), (5, 0, 5), None, Ok(0)),
        (
            OUT,
            json!({"number": 4, "best_effort": true}),
            (999, 0, -1),
            None,
            Ok(1),
        ),
        (IN, json!({"number": 4}), (5, 2, -1), None, Err("min_size (2)")),
        (IN, json!({"number": 4, "best_effort": true}), (5, 2, -1), None, Ok(3)),
    ];
    for (event, adjustment, (size, min, max), count, expected) in table {
        let kind = ActionKind::parse(event).unwrap();
        let policy = scaling(event, adjustment.clone());
        let got = decide(&[policy], &view(size, min, max), &request(kind, count));
        match (expected, got) {
            (Ok(count), Ok(decision)) => {
                assert_eq!(decision.count, Some(count), "{event} {adjustment}");
                assert!(!decision.reasons.is_empty());
            }
            (Err(part), Err(refusal)) => {
                assert!(refusal.to_string().contains(part), "{event} {adjustment}: {refusal}");
                assert!(
                    refusal.to_string().contains("scaling-1-policy"),
                    "it names the policy: {refusal}"
                );
            }
            (expected, got) => panic!("{event} {adjustment}: {expected:?} but {got:?}"),
        }
    }
}

#[test]
fn a_policy_of_the_other_event_has_no_say() {
    let policy = scaling("CLUSTER_SCALE_IN", json!({"number": 9}));
    let decision = decide(&[policy], &view(3, 0, -1), &request(ActionKind::ClusterScaleOut, None)).unwrap();
    assert_eq!((decision.count, decision.reasons.len()), (None, 0));
}

#[test]
fn a_cooldown_refuses_until_it_has_passed() {
    let mut policy = scaling("CLUSTER_SCALE_OUT", json!({"cooldown": 60}));
    for (last_op, left) in [(None, None), (Some(at(595)), Some(55)), (Some(at(540)), None)] {
        policy.last_op = last_op;
        assert_eq!(
            policy.kind.cooldown(&policy, ActionKind::ClusterScaleOut, at(600)),
            left
        );
        assert_eq!(policy.kind.cooldown(&policy, ActionKind::ClusterScaleIn, at(600)), None);
        let got = decide(
            std::slice::from_ref(&policy),
            &view(3, 0, -1),
            &request(ActionKind::ClusterScaleOut, None),
        );
        match left {
            Some(left) => assert_eq!(
                got.unwrap_err().to_string(),
                format!(
                    "Policy check failure: Failed policy 'scaling-1-policy': the policy is in cooldown for another {left} s."
                )
            ),
            None => assert_eq!(got.unwrap().count, Some(1)),
        }
    }
}

#[test]
fn scaling_says_how_many_and_deletion_who() {
    let policies = [
        bound(
            "senlin.policy.deletion-1.1",
            json!({"criteria": "YOUNGEST_FIRST", "grace_period": 5}),
            None,
        ),
        scaling("CLUSTER_SCALE_IN", json!({"number": 2})),
    ];
    let view = view(5, 0, -1);
    let decision = decide(&policies, &view, &request(ActionKind::ClusterScaleIn, None)).unwrap();
    assert_eq!(decision.victims, [view.members[4].id, view.members[3].id]);
    assert_eq!(
        (decision.destroy, decision.grace, decision.reduce),
        (Some(true), 5, true)
    );
    assert_eq!(decision.reasons.len(), 3, "{:?}", decision.reasons);
    let data = decision.to_data(true);
    assert_eq!(data["deletion"]["grace_period"], 5);
    assert!(data["reason"].as_str().unwrap().contains("waits 5 s"));
}

#[test]
fn who_is_named_goes() {
    let policy = bound(
        "senlin.policy.deletion-1.0",
        json!({"destroy_after_deletion": false}),
        None,
    );
    let view = view(5, 0, -1);
    let named = Request {
        candidates: vec![view.members[2].id],
        ..request(ActionKind::ClusterDelNodes, None)
    };
    let decision = decide(&[policy], &view, &named).unwrap();
    assert_eq!((decision.victims, decision.destroy), (named.candidates, Some(false)));
}

/// Generated inputs: never below min or above max, victims are members and
/// each once, the count matches, the same seed decides the same.
#[test]
fn whatever_is_asked_the_bounds_hold() {
    let mut chance = crate::chance::Chance::new(1);
    let mut any = |most: u64| i32::try_from(chance.next() % (most + 1)).unwrap();
    for _ in 0..2_000 {
        let size = any(20);
        let min = any(u64::try_from(size).unwrap());
        let max = if any(1) == 0 { -1 } else { size + any(10) };
        let grows = any(1) == 0;
        let event = if grows { "CLUSTER_SCALE_OUT" } else { "CLUSTER_SCALE_IN" };
        let kinds = ["EXACT_CAPACITY", "CHANGE_IN_CAPACITY", "CHANGE_IN_PERCENTAGE"];
        let adjustment = json!({"type": kinds[usize::try_from(any(2)).unwrap()], "number": any(200) + 1,
            "min_step": any(3), "best_effort": any(1) == 0});
        let policies = [
            scaling(event, adjustment.clone()),
            bound("senlin.policy.deletion-1.1", json!({}), None),
        ];
        let view = view(size, min, max);
        let asked = Request {
            seed: u64::try_from(any(1_000)).unwrap(),
            ..request(ActionKind::parse(event).unwrap(), None)
        };
        let got = decide(&policies, &view, &asked);
        assert_eq!(got, decide(&policies, &view, &asked), "it can be told again");
        let Ok(decision) = got else { continue };
        let count = decision.count.unwrap();
        let after = if grows { size + count } else { size - count };
        let most = if max < 0 { 1000 } else { max };
        assert!(
            (min..=most).contains(&after),
            "{adjustment} {size} {min} {max}: {after}"
        );
        if !grows {
            assert_eq!(decision.victims.len(), usize::try_from(count).unwrap());
            let members: Vec<_> = view.members.iter().map(|m| m.id).collect();
            assert!(decision.victims.iter().all(|v| members.contains(v)));
            let once: std::collections::BTreeSet<_> = decision.victims.iter().collect();
            assert_eq!(once.len(), decision.victims.len());
        }
    }
}

#[test]
fn bad_specs_are_named() {
    let registry = crate::all();
    for (full, properties, part) in [
        ("senlin.policy.scaling-1.0", json!({}), "event"),
        (
            "senlin.policy.scaling-1.0",
            json!({"event": "BOGUS"}),
            "'BOGUS' must be one of",
        ),
        (
            "senlin.policy.scaling-1.0",
            json!({"event": "CLUSTER_SCALE_IN", "bogus": 1}),
            "Unrecognizable spec item 'bogus'",
        ),
        (
            "senlin.policy.scaling-1.0",
            json!({"event": "CLUSTER_SCALE_IN", "adjustment": {"number": 0}}),
            "number",
        ),
        (
            "senlin.policy.deletion-1.0",
            json!({"hooks": {}}),
            "Unrecognizable spec item 'hooks'",
        ),
        (
            "senlin.policy.deletion-1.1",
            json!({"hooks": {"type": "zaqar"}}),
            "hooks.params.queue",
        ),
        (
            "senlin.policy.deletion-1.1",
            json!({"criteria": "TALLEST_FIRST"}),
            "OLDEST_FIRST",
        ),
        (
            "senlin.policy.deletion-1.1",
            json!({"grace_period": -1}),
            "grace_period",
        ),
    ] {
        let kind = registry.find(full).unwrap();
        let checked = kind.schema().check(properties.as_object().unwrap());
        let error = checked.and_then(|p| kind.validate(&p)).unwrap_err();
        assert!(error.0.contains(part), "{full} {properties}: {}", error.0);
    }
}

mod types;

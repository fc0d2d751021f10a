//! Every type beside scaling and deletion, as a table; and several at once.

use super::*;

/// Members in zones and regions: `a` for the first `n`, then `b`.
fn in_zones(mut view: ClusterSnapshot, n: usize) -> ClusterSnapshot {
    for (at, member) in view.members.iter_mut().enumerate() {
        let place = if at < n { "a" } else { "b" };
        member.zone = Some(place.to_owned());
        member.region = Some(place.to_owned());
    }
    view
}

/// Worked examples of every other type: type, properties, action, cluster →
/// what the action's data shows of the decision, and of its explanation.
#[test]
fn every_type_by_example() {
    use ActionKind::{ClusterRecover, ClusterResize, ClusterScaleIn, ClusterScaleOut, ClusterUpdate, NodeDelete};
    let zones = json!({"zones": [{"name": "a", "weight": 100}, {"name": "b", "weight": 300}]});
    let regions = json!({"regions": [{"name": "a", "cap": 1}, {"name": "b"}]});
    let health = json!({"detection": {"detection_modes": [{"type": "LIFECYCLE_EVENTS"}]},
        "recovery": {"actions": [{"name": "REBOOT"}, {"name": "RECREATE"}]}});
    let hooks = json!({"hooks": {"timeout": 30, "params": {"queue": "drains"}}});
    let table: Vec<(
        &str,
        Value,
        ActionKind,
        ClusterSnapshot,
        Result<(&str, Value), ()>,
        &str,
    )> = vec![
        (
            "zone_placement-1.0",
            zones.clone(),
            ClusterScaleOut,
            in_zones(view(2, 0, -1), 2),
            Ok(("/creation/zones", json!({"b": 4}))),
            "divides 4 among zones: b: 4.",
        ),
        (
            "zone_placement-1.0",
            zones,
            ClusterScaleIn,
            in_zones(view(8, 0, -1), 6),
            Ok(("/deletion/zones", json!({"a": 4}))),
            "divides 4 among zones: a: 4.",
        ),
        (
            "region_placement-1.0",
            regions.clone(),
            ClusterResize,
            in_zones(view(0, 0, -1), 0),
            Ok(("/creation/regions", json!({"a": 1, "b": 2}))),
            "divides 3 among regions: a: 1, b: 2.",
        ),
        (
            "region_placement-1.0",
            json!({"regions": [{"name": "a", "cap": 1}]}),
            ClusterScaleOut,
            in_zones(view(1, 0, -1), 1),
            Err(()),
            "no feasible plan",
        ),
        (
            "affinity-1.0",
            json!({"servergroup": {"policies": "soft-anti-affinity"}, "availability_zone": "b"}),
            ClusterScaleOut,
            view(1, 0, -1),
            Ok(("/creation/count", json!(4))),
            "prefers members on different hosts. 'affinity-1-policy' allows only zone 'b'.",
        ),
        (
            "host_placement-1.0",
            json!({"cpu_threshold": {"percent": 70}}),
            ClusterScaleOut,
            view(1, 0, -1),
            Ok(("/creation/count", json!(4))),
            "lowest CPU load, and takes one over 70 % CPU only when no other is left.",
        ),
        (
            "batch-1.0",
            json!({"min_in_service": 3, "max_batch_size": 2, "pause_time": 5}),
            ClusterUpdate,
            view(4, 0, -1),
            Ok(("/update/pause_time", json!(5))),
            "updates 4 members in 4 batches of up to 1, 5 s apart.",
        ),
        (
            "health-1.2",
            health,
            ClusterRecover,
            view(2, 0, -1),
            Ok((
                "/health/recover_action",
                json!([{"name": "RESTART"}, {"name": "RECREATE"}]),
            )),
            "recovers by RESTART, then RECREATE.",
        ),
        (
            "deletion-1.1",
            hooks,
            NodeDelete,
            view(2, 0, -1),
            Ok((
                "/hooks",
                json!({"type": "zaqar", "params": {"queue": "drains"}, "timeout": 30}),
            )),
            "asks queue 'drains' first, for up to 30 s.",
        ),
    ];
    for (name, properties, kind, view, expected, told) in table {
        let count = match kind {
            ClusterResize => Some(3),
            ClusterScaleOut | ClusterScaleIn => Some(4),
            _ => Some(1),
        };
        let shrinks = matches!(kind, ClusterScaleIn | NodeDelete);
        let asked = Request {
            shrinks,
            candidates: if kind == NodeDelete {
                vec![view.members[0].id]
            } else {
                Vec::new()
            },
            ..request(kind, count)
        };
        let policy = bound(&format!("senlin.policy.{name}"), properties, None);
        match (expected, decide(&[policy], &view, &asked)) {
            (Ok((pointer, value)), Ok(decision)) => {
                let data = Value::Object(decision.to_data(shrinks));
                assert_eq!(data.pointer(pointer), Some(&value), "{name} {kind:?}: {data}");
                assert!(
                    data["reason"].as_str().unwrap().contains(told),
                    "{name}: {}",
                    data["reason"]
                );
            }
            (Err(()), Err(refusal)) => assert!(refusal.to_string().contains(told), "{name}: {refusal}"),
            (expected, got) => panic!("{name} {kind:?}: {expected:?} but {got:?}"),
        }
    }
}

/// Generated inputs through several policies at once: the shares add up, the
/// victims are members of the right places, and nobody who protects itself goes.
#[test]
fn whatever_policies_meet_the_decision_is_whole() {
    let mut chance = crate::chance::Chance::new(9);
    let mut any = |most: u64| i32::try_from(chance.next() % (most + 1)).unwrap();
    for _ in 0..1_000 {
        let size = any(20);
        let mut view = in_zones(view(size, 0, -1), usize::try_from(any(20)).unwrap());
        for member in &mut view.members {
            member.protected = any(4) == 0;
            member.bad = any(4) == 0;
        }
        let grows = any(1) == 0;
        let kind = if grows {
            ActionKind::ClusterScaleOut
        } else {
            ActionKind::ClusterScaleIn
        };
        let weights = json!({"zones": [{"name": "a", "weight": any(9) + 1}, {"name": "b", "weight": any(9) + 1}]});
        let event = if grows { "CLUSTER_SCALE_OUT" } else { "CLUSTER_SCALE_IN" };
        let policies = [
            bound("senlin.policy.deletion-1.1", json!({"criteria": "OLDEST_FIRST"}), None),
            bound("senlin.policy.zone_placement-1.0", weights, None),
            bound("senlin.policy.host_placement-1.0", json!({}), None),
            scaling(event, json!({"number": any(6) + 1, "best_effort": true})),
        ];
        let asked = request(kind, None);
        let got = decide(&policies, &view, &asked);
        assert_eq!(got, decide(&policies, &view, &asked), "it can be told again");
        let Ok(decision) = got else { continue };
        let count = i64::from(decision.count.unwrap());
        if grows {
            let shares = decision.rules.zone_shares.unwrap();
            assert_eq!(shares.values().sum::<i64>(), count);
            assert!(decision.victims.is_empty());
        } else {
            assert_eq!(i64::try_from(decision.victims.len()).unwrap(), count);
            let of = |id: &NodeId| view.members.iter().find(|m| m.id == *id).unwrap();
            assert!(decision.victims.iter().all(|v| !of(v).protected), "protected");
            let zones = decision.zones.unwrap();
            for (zone, share) in &zones {
                let there = decision
                    .victims
                    .iter()
                    .filter(|v| of(v).zone.as_ref() == Some(zone))
                    .count();
                assert!(i64::try_from(there).unwrap() <= *share, "{zone}");
            }
        }
    }
}

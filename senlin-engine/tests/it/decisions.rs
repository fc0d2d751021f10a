//! What the newer policies make of actions, on simulated hosts.

use std::{collections::BTreeMap, sync::Arc};

use senlin_core::{action::ActionKind, ids::*};
use senlin_engine::{Engine, actions::faults::NoFaults};
use serde_json::{Value, json};

use crate::{by_hand::ByHand, world::World};

async fn engine(world: &World) -> Arc<Engine> {
    world.engine(Arc::new(NoFaults)).await
}

async fn column(world: &World, query: &str) -> Vec<String> {
    world.db.column(query).await.unwrap()
}

async fn data(world: &World, action: ActionId) -> Value {
    let query = format!("SELECT data::text FROM actions WHERE id = '{action}'");
    serde_json::from_str(&world.db.column(&query).await.unwrap()[0]).unwrap()
}

/// Members per host, by the host's place in the world.
async fn spread(world: &World, cluster: ClusterId) -> Vec<i64> {
    let mut counts = Vec::new();
    for sim in &world.sims {
        let query = format!(
            "SELECT count(*) FROM nodes n JOIN hosts h ON h.node_id = n.host_id
            WHERE n.cluster_id = '{cluster}' AND h.endpoint LIKE 'sim://{}?%'",
            sim.name()
        );
        counts.push(world.db.count(&query).await.unwrap());
    }
    counts
}

/// Hosts in these zones, in the order of the world.
async fn zones(world: &World, zones: &[&str]) {
    for (sim, zone) in world.sims.iter().zip(zones) {
        world
            .db
            .execute(&format!(
                "UPDATE hosts SET info = jsonb_set(info, '{{labels}}', '{{\"zone\": \"{zone}\", \"region\": \"{zone}\"}}')
                WHERE endpoint LIKE 'sim://{}?%'",
                sim.name()
            ))
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn zones_steer_creation_and_removal() {
    let world = World::new(3).await;
    zones(&world, &["a", "a", "b"]).await;
    let profile = world.containers(json!({})).await;
    let (cluster, _) = world.cluster("web", profile, 0).await;
    world.settle().await;
    zones(&world, &["a", "a", "b"]).await;
    let properties = json!({"zones": [{"name": "a", "weight": 100}, {"name": "b", "weight": 300}]});
    let policy = world
        .policy("zones", "senlin.policy.zone_placement", "1.0", properties)
        .await;
    world.attach(cluster, policy).await;
    zones(&world, &["a", "a", "b"]).await;
    let out = world
        .act(ActionKind::ClusterScaleOut, cluster, json!({"count": 8}))
        .await;
    engine(&world).await.drain().await.unwrap();
    world.settle().await;
    let on = spread(&world, cluster).await;
    assert_eq!((on[0] + on[1], on[2]), (2, 6), "{on:?} {:?}", world.outcome(out).await);
    let told = data(&world, out).await;
    assert_eq!(told["creation"]["zones"], json!({"a": 2, "b": 6}));
    assert!(
        told["reason"]
            .as_str()
            .unwrap()
            .contains("divides 8 among zones: a: 2, b: 6")
    );
    assert_eq!(told["placement"]["placements"].as_array().unwrap().len(), 8);
    zones(&world, &["a", "a", "b"]).await;
    let scale_in = world
        .act(ActionKind::ClusterScaleIn, cluster, json!({"count": 4}))
        .await;
    engine(&world).await.drain().await.unwrap();
    world.settle().await;
    let on = spread(&world, cluster).await;
    assert_eq!((on[0] + on[1], on[2]), (1, 3), "{on:?}");
    assert_eq!(
        data(&world, scale_in).await["deletion"]["zones"],
        json!({"a": 1, "b": 3})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn apart_means_one_per_host_and_says_why_not() {
    let world = World::new(3).await;
    let profile = world.containers(json!({})).await;
    let (cluster, _) = world.cluster("web", profile, 0).await;
    let properties = json!({"servergroup": {"policies": "anti-affinity"}});
    let apart = world.policy("apart", "senlin.policy.affinity", "1.0", properties).await;
    world.settle().await;
    world.attach(cluster, apart).await;
    let out = world
        .act(ActionKind::ClusterScaleOut, cluster, json!({"count": 4}))
        .await;
    world.settle().await;
    assert_eq!(spread(&world, cluster).await, [1, 1, 1]);
    let (status, reason) = world.outcome(out).await;
    assert_eq!(status, "FAILED");
    assert!(
        reason.contains("3 hosts: has a member of the cluster, and they go apart"),
        "{reason}"
    );
    // Together: all on the host of the first.
    let (other, _) = world.cluster("batch", profile, 0).await;
    let properties = json!({"servergroup": {"policies": "affinity"}});
    let together = world
        .policy("together", "senlin.policy.affinity", "1.0", properties)
        .await;
    world.settle().await;
    world.attach(other, together).await;
    world.act(ActionKind::ClusterScaleOut, other, json!({"count": 4})).await;
    world.settle().await;
    let mut on = spread(&world, other).await;
    on.sort_unstable();
    assert_eq!(on, [0, 0, 4]);
}

/// Two looks at counters that differ by a second of burning.
async fn measure(engine: &Arc<Engine>) {
    engine.measure_all().await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(1000)).await;
    engine.measure_all().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_host_gets_none_and_the_plan_said_so() {
    let world = World::new(3).await;
    let profile = world.containers(json!({})).await;
    let (cluster, _) = world.cluster("web", profile, 3).await;
    let policy = world
        .policy("cool", "senlin.policy.host_placement", "1.0", json!({}))
        .await;
    world.settle().await;
    world.attach(cluster, policy).await;
    // One container burns half of the 64 processors of its host.
    let burner = world.sims[1].list()[0].id.clone();
    world.sims[1].burn(&burner, 32_000);
    let engine = engine(&world).await;
    measure(&engine).await;
    let load = world
        .db
        .column("SELECT round(cpu)::text FROM host_loads ORDER BY cpu DESC")
        .await
        .unwrap();
    let busiest: i64 = load[0].parse().unwrap();
    assert!((40..=60).contains(&busiest), "{load:?}");

    let body = json!({"cluster_id": cluster, "action": "CLUSTER_SCALE_OUT", "inputs": {"count": 6}});
    let plan = engine.plan(body.as_object().unwrap()).await.unwrap();
    assert_eq!(plan["possible"], true, "{plan}");
    let mut planned: BTreeMap<String, usize> = BTreeMap::new();
    for one in plan["placements"].as_array().unwrap() {
        *planned
            .entry(one["host"]["id"].as_str().unwrap().to_owned())
            .or_default() += 1;
    }
    assert_eq!(planned.values().copied().collect::<Vec<_>>(), [3, 3], "{plan}");
    assert!(
        plan["reasons"][0]
            .as_str()
            .unwrap()
            .contains("prefers the host with the lowest CPU load")
    );

    // The token holds the action to the plan; a stale one is refused and nothing is done.
    let inputs = json!({"count": 6, "plan_token": plan["token"]});
    let out = world.act(ActionKind::ClusterScaleOut, cluster, inputs.clone()).await;
    world.settle().await;
    assert_eq!(
        world.outcome(out).await.0,
        "SUCCEEDED",
        "{:?}",
        world.outcome(out).await
    );
    let on = spread(&world, cluster).await;
    assert_eq!((on[0] + on[2], on[1]), (8, 1), "{on:?}");
    let again = world.act(ActionKind::ClusterScaleOut, cluster, inputs).await;
    world.settle().await;
    let (status, reason) = world.outcome(again).await;
    assert_eq!(
        (status.as_str(), reason.contains("The plan is no longer true")),
        ("FAILED", true)
    );
    assert_eq!(spread(&world, cluster).await.iter().sum::<i64>(), 9);
    world.assert_clean("plan").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_threshold_is_last_or_never() {
    let world = World::new(2).await;
    let profile = world.containers(json!({})).await;
    let (cluster, _) = world.cluster("web", profile, 2).await;
    let never = json!({"cpu_threshold": {"percent": 30, "over": "never"}, "max_per_host": 2});
    let policy = world
        .policy("never", "senlin.policy.host_placement", "1.0", never)
        .await;
    world.settle().await;
    world.attach(cluster, policy).await;
    let burner = world.sims[0].list()[0].id.clone();
    world.sims[0].burn(&burner, 40_000);
    let engine = engine(&world).await;
    measure(&engine).await;
    let out = world
        .act(ActionKind::ClusterScaleOut, cluster, json!({"count": 2}))
        .await;
    world.settle().await;
    assert_eq!(spread(&world, cluster).await, [1, 2]);
    let (_, reason) = world.outcome(out).await;
    for part in [
        "1 host: CPU load over the policy's threshold",
        "1 host: has as many members of the cluster as the policy allows",
    ] {
        assert!(reason.contains(part), "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_update_that_goes_bad_is_taken_back() {
    let world = World::new(2).await;
    let profile = world.containers(json!({"command": ["sleep", "1"]})).await;
    let (cluster, _) = world.cluster("web", profile, 6).await;
    let properties = json!({"max_batch_size": 1, "pause_time": 1, "on_failure": "ROLLBACK"});
    let policy = world.policy("rolling", "senlin.policy.batch", "1.0", properties).await;
    world.settle().await;
    world.attach(cluster, policy).await;
    let ids = format!("SELECT physical_id FROM nodes WHERE cluster_id = '{cluster}' ORDER BY index");
    let before = world.db.column(&ids).await.unwrap();
    let new = world.containers(json!({"command": ["sleep", "2"]})).await;
    let update = world
        .act(ActionKind::ClusterUpdate, cluster, json!({"new_profile_id": new}))
        .await;
    let engine = engine(&world).await;
    let third = format!("SELECT id FROM nodes WHERE cluster_id = '{cluster}' ORDER BY index OFFSET 2 LIMIT 1");
    let third: NodeId = world.db.column(&third).await.unwrap()[0].parse().unwrap();
    // The third is updated, and dies in the pause before it is looked at.
    for _ in 0..60 {
        engine.drain().await.unwrap();
        let phase = format!("SELECT phase FROM actions WHERE id = '{update}'");
        if world.db.column(&phase).await.unwrap()[0] == "gate:2" {
            let id = format!("SELECT physical_id FROM nodes WHERE id = '{third}'");
            let id = world.db.column(&id).await.unwrap().remove(0);
            world.sims.iter().for_each(|s| s.kill_container(&id));
            break;
        }
        world.skip_waits().await;
    }
    world.settle().await;
    let (status, reason) = world.outcome(update).await;
    assert_eq!(status, "FAILED");
    for part in [
        "stopped in batch 3 of 6",
        "exited with code 137",
        "Rolled back: 3 members",
    ] {
        assert!(reason.contains(part), "{reason}");
    }
    let after = world.db.column(&ids).await.unwrap();
    assert_eq!(before[3..], after[3..], "those not updated yet were never touched");
    assert!(before[..3].iter().zip(&after[..3]).all(|(b, a)| b != a));
    let old = format!("SELECT count(*) FROM nodes WHERE cluster_id = '{cluster}' AND profile_id = '{profile}'");
    assert_eq!(world.db.count(&old).await.unwrap(), 6);
    let own = format!("SELECT count(*) FROM clusters WHERE id = '{cluster}' AND profile_id = '{profile}'");
    assert_eq!(world.db.count(&own).await.unwrap(), 1);
    assert_eq!(world.status(cluster).await, "ACTIVE");
    world.assert_clean("rolling").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_move_from_the_hot_host_and_protection_holds() {
    let world = World::new(2).await;
    let profile = world.containers(json!({})).await;
    let (cluster, _) = world.cluster("web", profile, 4).await;
    let policy = world
        .policy("cool", "senlin.policy.host_placement", "1.0", json!({}))
        .await;
    world.settle().await;
    world.attach(cluster, policy).await;
    let engine = engine(&world).await;
    // Not the same for both: then a move would only turn the difference round.
    for (container, millis) in world.sims[0].list().iter().zip([24_000, 27_000]) {
        world.sims[0].burn(&container.id, millis);
    }
    measure(&engine).await;
    let body = json!({"cluster_id": cluster, "action": "CLUSTER_REBALANCE", "inputs": {"max_moves": 2}});
    let plan = engine.plan(body.as_object().unwrap()).await.unwrap();
    assert_eq!(plan["moves"].as_array().unwrap().len(), 1, "{plan}");
    let rebalance = world
        .act(ActionKind::ClusterRebalance, cluster, json!({"max_moves": 2}))
        .await;
    world.settle().await;
    let (status, reason) = world.outcome(rebalance).await;
    assert_eq!(status, "SUCCEEDED", "{reason}");
    let on = spread(&world, cluster).await;
    assert_eq!(on, [1, 3], "one move is enough: {}", data(&world, rebalance).await);
    assert!(
        data(&world, rebalance).await["reason"]
            .as_str()
            .unwrap()
            .contains("% CPU, the mean is")
    );
    assert_eq!(world.status(cluster).await, "ACTIVE");
    world.assert_clean("rebalance").await;

    // All protect themselves: a scale-in says so, and takes nobody.
    world
        .db
        .execute("UPDATE nodes SET protected_until = now() + interval '1 hour'")
        .await
        .unwrap();
    let refused = world
        .act(ActionKind::ClusterScaleIn, cluster, json!({"count": 1}))
        .await;
    world.settle().await;
    let (status, reason) = world.outcome(refused).await;
    assert_eq!(status, "FAILED");
    assert!(reason.contains("protects itself"), "{reason}");
    assert_eq!(spread(&world, cluster).await, [1, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_follows_its_target_and_says_why() {
    let world = World::new(2).await;
    let profile = world.containers(json!({"cpu": 1})).await;
    let (cluster, _) = world.cluster("web", profile, 2).await;
    let properties = json!({"target": 50, "cooldown_up": 0, "cooldown_down": 0, "stabilization_window": 0,
        "warm_up": 0, "interval": 1, "max_step": 3});
    let policy = world
        .policy("half", "senlin.policy.target_tracking", "1.0", properties)
        .await;
    world.settle().await;
    world.attach(cluster, policy).await;
    let engine = engine(&world).await;
    let burn = |millis: u64| {
        for sim in &world.sims {
            for container in sim.list() {
                sim.burn(&container.id, millis);
            }
        }
    };
    burn(970);
    measure(&engine).await;
    engine.track_all().await.unwrap();
    world.settle().await;
    assert_eq!(spread(&world, cluster).await.iter().sum::<i64>(), 4);
    let reasons = "SELECT inputs->>'because' FROM actions WHERE action = 'CLUSTER_RESIZE' ORDER BY seq";
    let told = column(&world, reasons).await;
    assert!(
        told[0].contains("'half': Mean CPU use is") && told[0].contains("4 members instead of 2"),
        "{told:?}"
    );
    burn(0);
    // What was measured has to be forgotten first.
    world.db.execute("DELETE FROM host_loads").await.unwrap();
    measure(&engine).await;
    world
        .db
        .execute("UPDATE cluster_policies SET due_at = now()")
        .await
        .unwrap();
    engine.track_all().await.unwrap();
    world.settle().await;
    assert_eq!(
        spread(&world, cluster).await.iter().sum::<i64>(),
        1,
        "{:?}",
        column(&world, reasons).await
    );
    let mut conn = world.db.db.session();
    let shown = senlin_db::bindings::list(&mut conn, cluster, &senlin_db::bindings::Wanted::default())
        .await
        .unwrap();
    assert!(shown[0].memory["decision"].as_str().unwrap().contains("Mean CPU use"));
    let memory = "SELECT memory->>'decision' FROM cluster_policies";
    assert!(column(&world, memory).await[0].contains("instead of"));
}

#[tokio::test(flavor = "multi_thread")]
async fn f3_an_idle_service_is_left_alone_when_a_target_is_attached() {
    let world = World::new(2).await;
    let profile = world.containers(json!({"cpu": 1})).await;
    let (cluster, _) = world.cluster("web", profile, 3).await;
    let policy = world
        .policy("half", "senlin.policy.target_tracking", "1.0", json!({"target": 50}))
        .await;
    world.settle().await;
    world.attach(cluster, policy).await;
    let engine = engine(&world).await;
    measure(&engine).await;
    for part in [
        "known for 300 s more",
        "the newest member warms up",
        "1 members instead of 3",
    ] {
        let due = "UPDATE cluster_policies SET due_at = now()";
        world.db.execute(due).await.unwrap();
        engine.track_all().await.unwrap();
        let told = column(&world, "SELECT memory->>'decision' FROM cluster_policies").await;
        assert!(told[0].contains(part), "{told:?}");
        // Five minutes later; the members are as old, but for the first time.
        let later = "UPDATE cluster_policies SET memory = memory ||
            jsonb_build_object('known', now() - interval '400 seconds', 'wanted', '[]'::jsonb)";
        world.db.execute(later).await.unwrap();
        if part.contains("warms up") {
            let aged = "UPDATE nodes SET created_at = now() - interval '1 hour', placed_at = now() - interval '1 hour',
                init_at = now() - interval '1 hour'";
            world.db.execute(aged).await.unwrap();
        }
    }
    world.settle().await;
    assert_eq!(spread(&world, cluster).await.iter().sum::<i64>(), 1, "one is left");
}

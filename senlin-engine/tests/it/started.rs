//! Success means it runs: what is made counts when it has run for a while, an
//! update stops at the first bad member, and an exit is noticed by whoever it is.

use std::{sync::Arc, time::Duration};

use senlin_core::{action::ActionKind, ids::*};
use senlin_engine::{Engine, actions::faults::NoFaults};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{by_hand::ByHand, world::World};

async fn engine(world: &World) -> Arc<Engine> {
    world.engine(Arc::new(NoFaults)).await
}

/// So many seconds have passed for what is given its time to run.
async fn pass(world: &World, seconds: u32) {
    let passed = format!(
        "UPDATE actions SET started_at = started_at - interval '{seconds} seconds', run_after = now()
        WHERE status = 'READY' AND phase = 'settling'"
    );
    world.db.execute(&passed).await.unwrap();
}

async fn column(world: &World, query: &str) -> Vec<String> {
    world.db.column(query).await.unwrap()
}

const CREATIONS: &str = "SELECT status || ' ' || phase FROM actions WHERE action = 'NODE_CREATE' AND target NOT IN
    (SELECT node_id FROM hosts)";

#[tokio::test(flavor = "multi_thread")]
async fn f4_a_container_that_ends_at_once_is_no_creation() {
    let world = World::new(1).await;
    for extra in [
        json!({"command": ["exit", "3"], "start": {"run_for": 2}}),
        json!({"command": ["exit", "3"], "start": {"run_for": 2}, "restart": {"name": "always"}}),
    ] {
        let profile = world.containers(extra.clone()).await;
        let (cluster, action) = world.cluster("web", profile, 2).await;
        world.settle().await;
        let (status, reason) = world.outcome(action).await;
        assert_eq!(status, "FAILED", "{extra}: {reason}");
        let part = if extra.get("restart").is_some() {
            "keeps restarting"
        } else {
            "exited with code 3"
        };
        assert!(reason.contains(part), "{reason}");
        assert_eq!(world.containers_by_host(), [0], "nothing is left behind");
        assert_eq!(world.status(cluster).await, "WARNING");
    }
    world.assert_clean("crashing").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f4_what_is_given_time_to_run_takes_no_slot_and_then_counts() {
    let world = World::new(1).await;
    let profile = world.containers(json!({"start": {"run_for": 30}})).await;
    let (cluster, _) = world.cluster("web", profile, 3).await;
    let engine = engine(&world).await;
    engine.drain().await.unwrap();
    assert_eq!(column(&world, CREATIONS).await, ["READY settling"; 3]);
    assert_eq!(world.containers_by_host(), [3]);
    pass(&world, 10).await;
    engine.drain().await.unwrap();
    assert_eq!(column(&world, CREATIONS).await, ["READY settling"; 3], "not yet");
    pass(&world, 21).await;
    engine.drain().await.unwrap();
    assert_eq!(world.status(cluster).await, "ACTIVE");
    let waits = "SELECT count(*) FROM events WHERE action = 'NODE_CREATE' AND status = 'wait'";
    assert_eq!(world.db.count(waits).await.unwrap(), 3, "told once each");
    world.assert_clean("settled").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f4_a_health_check_has_to_pass_in_time() {
    let world = World::new(1).await;
    let check = json!({"healthcheck": {"test": "later"}, "start": {"run_for": 0, "timeout": 60}});
    let profile = world.containers(check).await;
    let (node, action) = world.node("one", profile, None).await;
    let engine = engine(&world).await;
    engine.drain().await.unwrap();
    pass(&world, 5).await;
    engine.drain().await.unwrap();
    assert_eq!(column(&world, CREATIONS).await, ["READY settling"], "it is starting");
    // Its engine says that it passes: the action looks at once.
    world.sims[0].set_healthy(&world.sims[0].list()[0].id, true);
    let mut conn = world.db.db.session();
    assert!(senlin_db::settling::look_now(&mut conn, node).await.unwrap());
    engine.drain().await.unwrap();
    assert_eq!(world.outcome(action).await.0, "SUCCEEDED");
    let (_, late) = world.node("two", profile, None).await;
    engine.drain().await.unwrap();
    pass(&world, 61).await;
    engine.drain().await.unwrap();
    let (status, reason) = world.outcome(late).await;
    assert_eq!(status, "FAILED");
    assert!(reason.contains("did not pass within 60 s"), "{reason}");
    assert_eq!(world.containers_by_host(), [1]);
    world.assert_clean("checked").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f4_a_recovery_counts_when_its_container_runs() {
    let world = World::new(1).await;
    let profile = world.containers(json!({"start": {"run_for": 30}})).await;
    let (node, _) = world.node("one", profile, None).await;
    let engine = engine(&world).await;
    engine.drain().await.unwrap();
    pass(&world, 31).await;
    engine.drain().await.unwrap();
    let id = world.sims[0].list()[0].id.clone();
    world.sims[0].kill_container(&id);
    let inputs = json!({"operations": ["RESTART", "RECREATE"]});
    let action = world.act_on_node(ActionKind::NodeRecover, node, inputs).await;
    engine.drain().await.unwrap();
    assert_eq!(world.sims[0].list()[0].state, "running", "it was restarted");
    assert_eq!(world.outcome(action).await.0, "READY", "and does not count yet");
    // It ends again: what is next is tried.
    world.sims[0].kill_container(&id);
    pass(&world, 31).await;
    engine.drain().await.unwrap();
    assert_ne!(world.sims[0].list()[0].id, id, "it was made anew");
    pass(&world, 62).await;
    engine.drain().await.unwrap();
    let (status, reason) = world.outcome(action).await;
    assert_eq!(
        (status.as_str(), reason.as_str()),
        ("SUCCEEDED", "The node was recovered by RECREATE.")
    );
    world.assert_clean("recovered").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f4_an_update_without_a_policy_stops_at_the_first_bad_member() {
    let world = World::new(1).await;
    let profile = world.containers(json!({})).await;
    let (cluster, _) = world.cluster("web", profile, 3).await;
    world.settle().await;
    let before: Vec<String> = world.sims[0].list().into_iter().map(|c| c.id).collect();
    let bad = world.containers(json!({"command": ["exit", "3"]})).await;
    let inputs = json!({"new_profile_id": bad});
    let action = world.act(ActionKind::ClusterUpdate, cluster, inputs).await;
    world.settle().await;
    let (status, reason) = world.outcome(action).await;
    assert_eq!(status, "FAILED");
    for part in [
        "stopped in batch 1 of 3",
        "exited with code 3",
        "Of 3 members 0 were changed",
    ] {
        assert!(reason.contains(part), "{reason}");
    }
    let after: Vec<String> = world.sims[0].list().into_iter().map(|c| c.id).collect();
    assert_eq!(after, before, "the old ones run on");
    assert_eq!(
        world
            .db
            .count("SELECT count(*) FROM actions WHERE action = 'NODE_UPDATE'")
            .await
            .unwrap(),
        1
    );
    let good = world.containers(json!({"command": ["sleep", "2"]})).await;
    let inputs = json!({"new_profile_id": good});
    let action = world.act(ActionKind::ClusterUpdate, cluster, inputs).await;
    world.settle().await;
    assert_eq!(world.outcome(action).await.0, "SUCCEEDED");
    let on = format!("SELECT count(*) FROM nodes WHERE profile_id = '{good}'");
    assert_eq!(world.db.count(&on).await.unwrap(), 3);
    world.assert_clean("updated").await;
}

/// The first member of a cluster: its node and its container.
async fn first(world: &World, cluster: ClusterId) -> (NodeId, String) {
    let query =
        format!("SELECT id || ' ' || physical_id FROM nodes WHERE cluster_id = '{cluster}' ORDER BY index LIMIT 1");
    let row = column(world, &query).await.remove(0);
    let (node, id) = row.split_once(' ').unwrap();
    (node.parse().unwrap(), id.to_owned())
}

async fn assert_noticed(world: &World, cluster: ClusterId, node: NodeId) {
    let told = format!("SELECT status || ': ' || status_reason FROM nodes WHERE id = '{node}'");
    assert_eq!(
        column(world, &told).await,
        ["ERROR: The container has exited with code 137."]
    );
    assert_eq!(world.status(cluster).await, "WARNING");
    let recoveries = "SELECT count(*) FROM actions WHERE action = 'NODE_RECOVER'";
    assert_eq!(world.db.count(recoveries).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn f4_an_exit_is_noticed_without_a_policy() {
    let world = World::new(1).await;
    let profile = world.containers(json!({})).await;
    let (cluster, _) = world.cluster("web", profile, 2).await;
    world.settle().await;
    let (node, id) = first(&world, cluster).await;
    let engine = engine(&world).await;
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(engine.clone().run(shutdown.clone()));
    let heard = || async {
        anyhow::ensure!(world.sims[0].calls().iter().any(|c| c.verb == "watch"));
        Ok(())
    };
    senlin_testkit::until("the host is listened to", Duration::from_secs(20), heard)
        .await
        .unwrap();
    world.sims[0].kill_container(&id);
    let query = format!("SELECT count(*) FROM nodes WHERE id = '{node}' AND status = 'ERROR'");
    let noticed = || async {
        anyhow::ensure!(world.db.count(&query).await? == 1);
        Ok(())
    };
    senlin_testkit::until("the exit is noticed", Duration::from_secs(20), noticed)
        .await
        .unwrap();
    shutdown.cancel();
    running.await.unwrap().unwrap();
    assert_noticed(&world, cluster, node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f4_an_exit_that_no_event_told_of_is_found_by_comparing() {
    let world = World::new(1).await;
    let profile = world.containers(json!({})).await;
    let (cluster, _) = world.cluster("web", profile, 2).await;
    world.settle().await;
    let (node, id) = first(&world, cluster).await;
    world.sims[0].kill_container(&id);
    let host = column(&world, "SELECT node_id::text FROM hosts").await[0]
        .parse()
        .unwrap();
    let engine = engine(&world).await;
    engine.compare(host).await.unwrap();
    assert_noticed(&world, cluster, node).await;
    let looks = || world.sims[0].calls().iter().filter(|c| c.verb == "inspect").count();
    let before = looks();
    engine.compare(host).await.unwrap();
    assert_eq!(looks(), before, "what is known is not looked at again");
}

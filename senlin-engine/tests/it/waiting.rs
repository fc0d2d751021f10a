//! What may become true by waiting is waited for, and what was cut short says so.

use std::sync::Arc;

use senlin_core::{action::ActionKind, ids::*};
use senlin_engine::{Engine, actions::faults::NoFaults};
use serde_json::json;

use crate::{by_hand::ByHand, world::World};

async fn engine(world: &World) -> Arc<Engine> {
    world.engine(Arc::new(NoFaults)).await
}

/// An action is in this phase, its children have ended, and so has its time.
async fn late(world: &World, action: ActionId, phase: &str) {
    let row = format!(
        "UPDATE actions SET phase = '{phase}', attempt = 1, started_at = now() - interval '2 hours'
        WHERE id = '{action}'"
    );
    world.db.execute(&row).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a7_what_was_cut_short_did_not_succeed() {
    let world = World::new(1).await;
    let profile = world.containers(json!({})).await;
    let other = world.containers(json!({"command": ["sleep", "9"]})).await;
    let (cluster, _) = world.cluster("web", profile, 2).await;
    world.settle().await;
    let update = json!({"new_profile_id": other});
    for (kind, inputs, phase) in [
        (ActionKind::ClusterRecover, json!({"check": true}), "ending:checked"),
        (ActionKind::ClusterRecover, json!({"check": true}), "ending:recovered"),
        (ActionKind::ClusterUpdate, update, "ending:batch:0"),
        (
            ActionKind::ClusterReplaceNodes,
            json!({"candidates": {}}),
            "ending:joined",
        ),
        (ActionKind::ClusterRebalance, json!({}), "ending:placed"),
    ] {
        let action = world.act(kind, cluster, inputs).await;
        late(&world, action, phase).await;
        world.settle().await;
        let (status, reason) = world.outcome(action).await;
        assert_eq!(status, "FAILED", "{} in {phase}: {reason}", kind.as_str());
        assert!(reason.contains("timed out after 3600 seconds"), "{reason}");
    }
    let kept = format!("SELECT count(*) FROM clusters WHERE id = '{cluster}' AND profile_id = '{profile}'");
    assert_eq!(
        world.db.count(&kept).await.unwrap(),
        1,
        "no profile by an update that did not happen"
    );
    world.assert_clean("cut short").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a7_a_phase_that_nobody_knows_is_refused() {
    let world = World::new(1).await;
    let profile = world.containers(json!({})).await;
    let (cluster, _) = world.cluster("web", profile, 1).await;
    world.settle().await;
    for kind in [
        ActionKind::ClusterRecover,
        ActionKind::ClusterResize,
        ActionKind::ClusterCheck,
        ActionKind::ClusterUpdate,
        ActionKind::ClusterDelete,
    ] {
        let action = world.act(kind, cluster, json!({})).await;
        let row = format!("UPDATE actions SET phase = 'sideways' WHERE id = '{action}'");
        world.db.execute(&row).await.unwrap();
        world.settle().await;
        let (status, reason) = world.outcome(action).await;
        assert_eq!(status, "FAILED");
        assert!(reason.contains("does not know the phase 'sideways'"), "{reason}");
    }
    assert_eq!(world.containers_by_host(), [1]);
    world.assert_clean("sideways").await;
}

/// So many tries, each as soon as it may be.
async fn tries(world: &World, engine: &Arc<Engine>, times: usize) {
    for _ in 0..times {
        world.skip_waits().await;
        engine.drain().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a17_a_failing_host_ends_neither_a_creation_nor_a_deletion() {
    let world = World::new(1).await;
    let profile = world.containers(json!({})).await;
    let engine = engine(&world).await;
    world.sims[0].set_failing("create", true);
    let (node, made) = world.node("one", profile, None).await;
    tries(&world, &engine, 10).await;
    let (status, reason) = world.outcome(made).await;
    assert_eq!(status, "READY", "{reason}");
    assert!(reason.contains("simulated failure"), "{reason}");
    world.sims[0].set_failing("create", false);
    world.settle().await;
    assert_eq!(world.outcome(made).await.0, "SUCCEEDED");

    world.sims[0].set_failing("remove", true);
    let gone = world.act_on_node(ActionKind::NodeDelete, node, json!({})).await;
    // As if ten minutes had passed: a deletion is tried for as long as its time lasts.
    let minutes = format!("UPDATE actions SET started_at = now() - interval '600 seconds' WHERE id = '{gone}'");
    world.db.execute(&minutes).await.unwrap();
    tries(&world, &engine, 12).await;
    assert_eq!(world.outcome(gone).await.0, "READY");
    world.sims[0].set_failing("remove", false);
    world.settle().await;
    assert_eq!(world.outcome(gone).await.0, "SUCCEEDED");
    assert_eq!(world.containers_by_host(), [0]);
    world.assert_clean("failing host").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a17_a_host_that_fails_for_ever_ends_a_creation_and_leaves_a_leftover_of_a_deletion() {
    let world = World::new(1).await;
    let profile = world.containers(json!({})).await;
    let engine = engine(&world).await;
    let (node, _) = world.node("one", profile, None).await;
    world.settle().await;
    world.sims[0].set_failing("remove", true);
    world.sims[0].set_failing("create", true);
    let gone = world.act_on_node(ActionKind::NodeDelete, node, json!({})).await;
    let (_, never) = world.node("two", profile, None).await;
    tries(&world, &engine, 8).await;
    let over = "UPDATE actions SET started_at = now() - make_interval(secs => timeout + 1) WHERE status = 'READY'";
    world.db.execute(over).await.unwrap();
    tries(&world, &engine, 2).await;
    let (status, reason) = world.outcome(gone).await;
    assert_eq!(status, "SUCCEEDED", "{reason}");
    assert!(reason.contains("Its container is removed when"), "{reason}");
    assert_eq!(world.outcome(never).await.0, "FAILED");
    assert_eq!(world.containers_by_host(), [1]);
    // The host does as asked again: what is left goes.
    world.sims[0].set_failing("remove", false);
    engine.beat_all().await.unwrap();
    assert_eq!(world.containers_by_host(), [0]);
    assert_eq!(world.db.count("SELECT count(*) FROM leftovers").await.unwrap(), 0);
}

/// Every host was last heard of so many seconds ago.
async fn silent(world: &World, seconds: u32) {
    let row = format!("UPDATE hosts SET state = 'UNKNOWN', last_seen = now() - interval '{seconds} seconds'");
    world.db.execute(&row).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a18_a_creation_waits_for_hosts_that_were_there_a_short_while_ago() {
    let world = World::new(2).await;
    let profile = world.containers(json!({})).await;
    let engine = engine(&world).await;
    silent(&world, 60).await;
    let (cluster, action) = world.cluster("web", profile, 3).await;
    engine.drain().await.unwrap();
    tries(&world, &engine, 8).await;
    let open = "SELECT DISTINCT status || ' ' || retries || ' ' || status_reason FROM actions
        WHERE action = 'NODE_CREATE' AND status NOT IN ('SUCCEEDED', 'FAILED')";
    assert_eq!(
        world.db.column(open).await.unwrap(),
        ["READY 0 Waiting: No host can take the container: 2 hosts: unreachable"]
    );
    // They answer: nothing has to be waited for any more.
    engine.beat_all().await.unwrap();
    engine.drain().await.unwrap();
    assert_eq!(world.outcome(action).await.0, "SUCCEEDED");
    assert_eq!(world.status(cluster).await, "ACTIVE");
    // Hosts that have been away for long are not waited for.
    silent(&world, 1000).await;
    let (_, late) = world.node("late", profile, None).await;
    engine.drain().await.unwrap();
    let (status, reason) = world.outcome(late).await;
    assert_eq!(status, "FAILED");
    assert!(reason.contains("2 hosts: unreachable"), "{reason}");
    engine.beat_all().await.unwrap();
    world.assert_clean("waited").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a18_a_creation_leaves_a_host_that_goes_silent_under_it() {
    let world = World::new(2).await;
    let profile = world.containers(json!({})).await;
    let engine = engine(&world).await;
    let (_, action) = world.node("one", profile, None).await;
    for sim in &world.sims {
        sim.set_down(true);
    }
    engine.drain().await.unwrap();
    let placed = "SELECT h.endpoint FROM actions a JOIN hosts h ON h.node_id = a.host_id WHERE a.status = 'READY'";
    let on = world.db.column(placed).await.unwrap().remove(0);
    for sim in &world.sims {
        sim.set_down(on.contains(sim.name()));
    }
    let row = format!(
        "UPDATE hosts SET state = 'UNKNOWN', last_seen = now() - interval '60 seconds' WHERE endpoint = '{on}'"
    );
    world.db.execute(&row).await.unwrap();
    tries(&world, &engine, 1).await;
    assert_eq!(world.outcome(action).await.0, "SUCCEEDED");
    let running = world.sims.iter().find(|s| !on.contains(s.name())).unwrap();
    assert_eq!(running.list().len(), 1);
}

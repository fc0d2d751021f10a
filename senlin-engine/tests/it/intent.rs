//! What an update attempts is recorded before a host is touched: whatever
//! fails, one healthy container is left, and the record says which.

use std::sync::Arc;

use senlin_core::{action::ActionKind, driver::*, ids::*, node::Node};
use senlin_db::{
    idempotency::{Keep, Stored},
    nodes::{self, Adoption},
    placement::Place,
    profiles::NewProfile,
};
use senlin_drivers::sim::SimHost;
use senlin_engine::actions::faults::{Fault, NoFaults, When};
use senlin_testkit::records;
use serde_json::{Value, json};

use crate::{
    by_hand::ByHand,
    world::{AtStep, Once, World},
};

/// What is updated to what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Story {
    /// Both run side by side for a moment.
    SideBySide,
    /// The old one makes room, for they publish the same port.
    SamePort,
    /// The container stays.
    InPlace,
    /// The old one was adopted, and carries no label.
    Adopted,
}

impl Story {
    fn old(self) -> Value {
        json!({"command": ["sleep", "1"], "ports": ["8080:80"]})
    }

    fn changed(self) -> Value {
        match self {
            Self::SideBySide | Self::Adopted => {
                json!({"command": ["sleep", "2"], "ports": ["9090:80"], "memory": "128m"})
            }
            Self::SamePort => json!({"command": ["sleep", "2"], "ports": ["8080:80"], "memory": "32m"}),
            Self::InPlace => {
                json!({"command": ["sleep", "1"], "ports": ["8080:80"], "memory": "128m", "name": "other"})
            }
        }
    }
}

async fn driver(world: &World) -> SimHost {
    let url = world.db.column("SELECT endpoint FROM hosts").await.unwrap().remove(0);
    SimHost::open(&url).unwrap()
}

async fn one(world: &World, query: &str) -> String {
    let mut rows = world.db.column(query).await.unwrap();
    assert_eq!(rows.len(), 1, "{query}: {rows:?}");
    rows.remove(0)
}

/// A node whose container somebody made by hand.
async fn adopted(world: &World) -> NodeId {
    let driver = driver(world).await;
    let config = ContainerConfig {
        name: format!("by-hand-{}", uuid::Uuid::new_v4().simple()),
        image: "busybox".to_owned(),
        ..ContainerConfig::default()
    };
    let physical_id = driver.create(&config).await.unwrap();
    driver.start(&physical_id).await.unwrap();
    let mut properties = json!({"image": "busybox", "host_cluster": "hosts", "memory": "64m"});
    properties
        .as_object_mut()
        .unwrap()
        .extend(Story::Adopted.old().as_object().unwrap().clone());
    let kind = "container.dockerinc.docker";
    let profile = NewProfile {
        type_name: format!("{kind}-1.1"),
        spec: json!({"type": kind, "version": "1.1", "properties": properties}),
        host_cluster: Some(world.hosts),
        ..records::profile("p1", "by-hand")
    };
    let node = records::node("p1", "by-hand", profile.id);
    let id = node.id;
    let host = one(world, "SELECT node_id::text FROM hosts").await.parse().unwrap();
    let adoption = Adoption {
        physical_id,
        place: Some(Place {
            host,
            cpu_millis: 0,
            memory: 64 << 20,
            ports: vec![(8080, "tcp".to_owned())],
        }),
        info: None,
    };
    let answer = |_: &Node| Stored {
        status: 201,
        location: None,
        body: serde_json::Value::Null,
    };
    let mut conn = world.db.db.session();
    nodes::adopt(&mut conn, &profile, &node, &adoption, 1000, &Keep::new(None, &answer))
        .await
        .unwrap()
        .unwrap();
    id
}

/// One container runs, and everything that is recorded of the node is of it.
async fn assert_one(world: &World, story: Story, node: NodeId, old: ProfileId, context: &str) -> bool {
    let all: Vec<_> = world.sims[0].list();
    let running: Vec<_> = all.iter().filter(|c| c.state == "running").collect();
    assert_eq!((all.len(), running.len()), (1, 1), "containers: {context}");
    let found = running[0];
    let row =
        format!("SELECT concat_ws('|', status, physical_id, profile_id, generation) FROM nodes WHERE id = '{node}'");
    let row = one(world, &row).await;
    let row: Vec<&str> = row.split('|').collect();
    assert_eq!(row[0], "ACTIVE", "{context}");
    assert_eq!(row[1], found.id, "the id that is recorded: {context}");
    let updated = row[2] != old.to_string();
    if let (Some(generation), false) = (found.labels.get(LABEL_GENERATION), story == Story::InPlace) {
        assert_eq!(row[3], generation, "{context}");
        assert_eq!(row[2], found.labels[LABEL_PROFILE], "{context}");
    }
    let wanted = if updated { story.changed() } else { story.old() };
    let port = wanted["ports"][0]
        .as_str()
        .unwrap()
        .split(':')
        .next()
        .unwrap()
        .to_owned();
    let memory = match wanted.get("memory").and_then(Value::as_str) {
        Some("128m") => 128_i64 << 20,
        Some("32m") => 32 << 20,
        _ => 64 << 20,
    };
    let ports = format!("SELECT port::text FROM host_ports WHERE node_id = '{node}'");
    assert_eq!(
        world.db.column(&ports).await.unwrap(),
        [port],
        "ports that are kept: {context}"
    );
    let kept = format!("SELECT memory::text FROM nodes WHERE id = '{node}'");
    assert_eq!(
        one(world, &kept).await,
        memory.to_string(),
        "memory that is kept: {context}"
    );
    assert_eq!(
        world.db.count("SELECT count(*) FROM node_attempts").await.unwrap(),
        0,
        "{context}"
    );
    updated
}

/// Every step of one story fails and crashes; returns how many did.
async fn strike(story: Story) -> usize {
    let world = World::new(1).await;
    let old = world.containers(story.old()).await;
    let new = world.containers(story.changed()).await;
    let mut struck = 0;
    for at in 1.. {
        let mut reached = false;
        for fault in [Fault::Crash, Fault::Error] {
            let (node, old) = if story == Story::Adopted {
                let node = adopted(&world).await;
                let profile = format!("SELECT profile_id::text FROM nodes WHERE id = '{node}'");
                (node, one(&world, &profile).await.parse().unwrap())
            } else {
                (world.node("n", old, None).await.0, old)
            };
            world.settle().await;
            let action = world
                .act_on_node(ActionKind::NodeUpdate, node, json!({"new_profile_id": new}))
                .await;
            let once = Once::new(at, fault);
            world.engine(once.clone()).await.drain().await.unwrap();
            let seen = once.seen().1;
            let context = format!("{story:?}: {fault:?} at {seen:?}");
            // The collector looks before anybody goes on.
            world.engine(Arc::new(NoFaults)).await.beat_all().await.unwrap();
            world.settle().await;
            let updated = assert_one(&world, story, node, old, &context).await;
            let (status, reason) = world.outcome(action).await;
            assert_eq!(updated, status == "SUCCEEDED", "{reason}: {context}");
            if fault == Fault::Crash || seen.is_none() {
                assert!(updated, "{reason}: {context}");
            } else if !updated {
                let told = format!("SELECT status_reason FROM nodes WHERE id = '{node}'");
                let told = one(&world, &told).await;
                assert!(
                    told.contains("Update failed") && told.contains("old profile"),
                    "{told}: {context}"
                );
            }
            world.engine(Arc::new(NoFaults)).await.beat_all().await.unwrap();
            assert_one(&world, story, node, old, &context).await;
            world.act_on_node(ActionKind::NodeDelete, node, json!({})).await;
            world.settle().await;
            assert_eq!(world.containers_by_host(), [0], "all of it goes: {context}");
            if seen.is_some() {
                reached = true;
                struck += 1;
            }
        }
        if !reached {
            break;
        }
    }
    world.db.close().await.unwrap();
    struck
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a5_an_update_that_fails_anywhere_leaves_one_healthy_container() {
    let stories = [Story::SideBySide, Story::SamePort, Story::InPlace, Story::Adopted];
    let struck = futures_of(stories).await;
    println!("updates: {struck:?} failures of {stories:?}");
    assert!(struck.iter().all(|n| *n > 15), "{struck:?}");
}

async fn futures_of(stories: [Story; 4]) -> Vec<usize> {
    let running: Vec<_> = stories.into_iter().map(|story| tokio::spawn(strike(story))).collect();
    let mut struck = Vec::new();
    for story in running {
        struck.push(story.await.unwrap());
    }
    struck
}

#[tokio::test(flavor = "multi_thread")]
async fn a5_an_update_that_does_not_fit_is_refused_before_anything_is_touched() {
    let world = World::new(1).await;
    let other = world.containers(json!({"ports": ["9090:80"]})).await;
    let (neighbour, _) = world.node("neighbour", other, None).await;
    let profile = world.containers(json!({"ports": ["8080:80"]})).await;
    let (node, _) = world.node("n", profile, None).await;
    world.settle().await;
    let before = one(&world, &format!("SELECT physical_id FROM nodes WHERE id = '{node}'")).await;
    let calls = world.sims[0].calls().len();
    for (extra, why) in [
        (json!({"command": ["x"], "ports": ["9090:80"]}), "port taken"),
        (json!({"command": ["x"], "memory": "900g"}), "not enough memory"),
    ] {
        let new = world.containers(extra).await;
        let update = world
            .act_on_node(ActionKind::NodeUpdate, node, json!({"new_profile_id": new}))
            .await;
        world.settle().await;
        let (status, reason) = world.outcome(update).await;
        assert!(status == "FAILED" && reason.contains(why), "{status}: {reason}");
        let row =
            format!("SELECT concat_ws('|', status, physical_id, profile_id, memory) FROM nodes WHERE id = '{node}'");
        assert_eq!(
            one(&world, &row).await,
            format!("ACTIVE|{before}|{profile}|{}", 64 << 20)
        );
        let told = one(&world, &format!("SELECT status_reason FROM nodes WHERE id = '{node}'")).await;
        assert!(told.contains(why) && told.contains("old profile"), "{told}");
    }
    let made = world.sims[0].calls().split_off(calls);
    assert!(
        made.iter().all(|c| matches!(c.verb, "find" | "inspect" | "info")),
        "{made:?}"
    );
    let ports = format!("SELECT port::text FROM host_ports WHERE node_id = '{neighbour}'");
    assert_eq!(world.db.column(&ports).await.unwrap(), ["9090"], "the neighbour's own");
    world.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a5_an_adopted_container_goes_when_its_silent_host_returns() {
    let world = World::new(1).await;
    let node = adopted(&world).await;
    world.sims[0].set_down(true);
    world.act_on_node(ActionKind::NodeDelete, node, json!({})).await;
    world.settle().await;
    let gone = "SELECT count(*) FROM nodes WHERE name = 'by-hand'";
    assert_eq!(world.db.count(gone).await.unwrap(), 0);
    assert_eq!(world.sims[0].list().len(), 1);
    world.sims[0].set_down(false);
    world.engine(Arc::new(NoFaults)).await.beat_all().await.unwrap();
    assert_eq!(world.sims[0].list().len(), 0);
    assert_eq!(world.db.count("SELECT count(*) FROM leftovers").await.unwrap(), 0);
    world.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a5_a_host_that_falls_silent_in_an_update_is_settled_when_it_returns() {
    let world = World::new(1).await;
    let profile = world.containers(json!({"command": ["sleep", "1"]})).await;
    let (node, _) = world.node("n", profile, None).await;
    world.settle().await;
    for step in ["create", "start", "remove the old"] {
        for when in [When::Before, When::After] {
            let command = format!("{step} {when:?}");
            let new = world.containers(json!({"command": ["sleep", command]})).await;
            let update = world
                .act_on_node(ActionKind::NodeUpdate, node, json!({"new_profile_id": new}))
                .await;
            let fault = AtStep::new(ActionKind::NodeUpdate, step, when, Fault::Crash);
            world.engine(fault.clone()).await.drain().await.unwrap();
            assert!(fault.struck(), "{step} {when:?}");
            world.sims[0].set_down(true);
            // It fails, and has done so for long enough.
            world.expire().await;
            world.engine(Arc::new(NoFaults)).await.drain().await.unwrap();
            let long_ago =
                format!("UPDATE actions SET started_at = now() - interval '10 minutes' WHERE id = '{update}'");
            world.db.execute(&long_ago).await.unwrap();
            world.settle().await;
            assert_eq!(world.outcome(update).await.0, "FAILED", "{step} {when:?}");
            let told = format!("SELECT status FROM nodes WHERE id = '{node}'");
            assert_eq!(
                one(&world, &told).await,
                "WARNING",
                "unknown is not failed: {step} {when:?}"
            );
            world.sims[0].set_down(false);
            world.settle().await;
            let all = world.sims[0].list();
            assert_eq!(all.len(), 1, "{step} {when:?}: {all:?}");
            let row = format!(
                "SELECT concat_ws('|', status, physical_id, generation, profile_id) FROM nodes WHERE id = '{node}'"
            );
            let labels = &all[0].labels;
            let expected = format!(
                "ACTIVE|{}|{}|{}",
                all[0].id, labels[LABEL_GENERATION], labels[LABEL_PROFILE]
            );
            assert_eq!(
                (all[0].state.as_str(), one(&world, &row).await),
                ("running", expected),
                "{step} {when:?}"
            );
        }
    }
    world.assert_clean("silent in an update").await;
    world.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a16_what_a_check_finds_is_what_the_node_gets() {
    let world = World::new(1).await;
    let profile = world.containers(json!({})).await;
    let (node, _) = world.node("n", profile, None).await;
    world.settle().await;
    // A recovery made its container, and was cancelled before it could say so.
    let recover = world
        .act_on_node(ActionKind::NodeRecover, node, json!({"operation": "RECREATE"}))
        .await;
    let fault = AtStep::new(ActionKind::NodeRecover, "start", When::After, Fault::Crash);
    world.engine(fault.clone()).await.drain().await.unwrap();
    assert!(fault.struck());
    let cancel = format!("UPDATE actions SET control = 'CANCEL' WHERE id = '{recover}'");
    world.db.execute(&cancel).await.unwrap();
    world.settle().await;
    assert_eq!(world.outcome(recover).await.0, "CANCELLED");
    let row =
        format!("SELECT concat_ws('|', status, coalesce(physical_id, '-'), generation) FROM nodes WHERE id = '{node}'");
    assert_eq!(one(&world, &row).await, "ERROR|-|2");
    let container = world.sims[0].list().remove(0);
    for (kind, inputs) in [
        (ActionKind::NodeCheck, json!({})),
        (ActionKind::NodeRecover, json!({"check": true})),
        (ActionKind::NodeRecover, json!({"operation": "RESTART"})),
        (ActionKind::NodeOperation, json!({"operation": "restart", "params": {}})),
    ] {
        let forget = format!("UPDATE nodes SET status = 'ERROR', physical_id = NULL WHERE id = '{node}'");
        world.db.execute(&forget).await.unwrap();
        let action = world.act_on_node(kind, node, inputs).await;
        world.settle().await;
        let (status, reason) = world.outcome(action).await;
        assert_eq!(status, "SUCCEEDED", "{kind:?}: {reason}");
        assert_eq!(
            one(&world, &row).await,
            format!("ACTIVE|{}|2", container.id),
            "{kind:?}"
        );
    }
    let lie = format!("UPDATE nodes SET physical_id = NULL WHERE id = '{node}'");
    assert!(
        world.db.execute(&lie).await.is_err(),
        "ACTIVE with nothing that runs cannot be written"
    );
    world.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn f5_after_a_roll_back_the_node_says_that_it_runs_its_old_profile() {
    let world = World::new(1).await;
    let profile = world.containers(json!({})).await;
    let (cluster, _) = world.cluster("web", profile, 3).await;
    world.settle().await;
    let properties = json!({"max_batch_size": 1, "pause_time": 0, "on_failure": "ROLLBACK"});
    let policy = world.policy("b", "senlin.policy.batch", "1.0", properties).await;
    world.attach(cluster, policy).await;
    let bad = world.containers(json!({"command": ["/nonexistent"]})).await;
    let update = world
        .act(ActionKind::ClusterUpdate, cluster, json!({"new_profile_id": bad}))
        .await;
    world.settle().await;
    let (status, reason) = world.outcome(update).await;
    assert!(
        status == "FAILED" && reason.contains("no such file"),
        "{status}: {reason}"
    );
    let told =
        format!("SELECT status || ': ' || status_reason FROM nodes WHERE cluster_id = '{cluster}' ORDER BY index");
    let told = world.db.column(&told).await.unwrap();
    assert!(
        told.iter()
            .all(|t| t.starts_with("ACTIVE: ") && !t.contains("Update succeeded")),
        "{told:?}"
    );
    let failed: Vec<_> = told.iter().filter(|t| t.contains("Update failed: ")).collect();
    assert!(failed.len() == 1 && failed[0].contains("old profile"), "{told:?}");
    let old = format!("SELECT count(*) FROM nodes WHERE cluster_id = '{cluster}' AND profile_id = '{profile}'");
    assert_eq!(world.db.count(&old).await.unwrap(), 3);
    assert_eq!(world.status(cluster).await, "ACTIVE");
    assert_eq!(world.containers_by_host(), [3]);
    world.assert_clean("rolled back").await;
    world.db.close().await.unwrap();
}

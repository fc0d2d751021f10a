//! What goes from hosts, and what never does.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use senlin_core::{action::ActionKind, driver::*, ids::*};
use senlin_db::{placement::Place, unaccounted};
use senlin_drivers::sim::SimHost;
use senlin_engine::actions::faults::{Fault, Faults, NoFaults, When};
use serde_json::json;

use crate::{
    by_hand::ByHand,
    world::{AtStep, World},
};

async fn driver(world: &World) -> SimHost {
    let url = world
        .db
        .column("SELECT endpoint FROM hosts ORDER BY endpoint")
        .await
        .unwrap()
        .remove(0);
    SimHost::open(&url).unwrap()
}

async fn heartbeat(world: &World) {
    world.engine(Arc::new(NoFaults)).await.beat_all().await.unwrap();
}

async fn ids(world: &World) -> Vec<String> {
    world.sims[0].list().into_iter().map(|c| c.id).collect()
}

async fn listed(world: &World) -> Vec<String> {
    let query = "SELECT reason FROM unaccounted_containers ORDER BY reason";
    world.db.column(query).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn f2_a_restored_database_removes_nothing_and_each_case_is_settled() {
    let world = World::new(1).await;
    let profile = world.containers(json!({"command": ["sleep", "1"]})).await;
    let (stays, _) = world.node("stays", profile, None).await;
    let (updated, _) = world.node("updated", profile, None).await;
    world.settle().await;
    // The dump is of now.
    let seq = world
        .db
        .column("SELECT max(seq)::text FROM actions")
        .await
        .unwrap()
        .remove(0);
    let dumped = world
        .db
        .column(&format!("SELECT physical_id FROM nodes WHERE id = '{updated}'"))
        .await
        .unwrap()
        .remove(0);
    // Work goes on: a node is made, another one has a newer container.
    let (late, _) = world.node("late", profile, None).await;
    let new = world.containers(json!({"command": ["sleep", "2"]})).await;
    world
        .act_on_node(ActionKind::NodeUpdate, updated, json!({"new_profile_id": new}))
        .await;
    world.settle().await;
    let all = ids(&world).await;
    assert_eq!(all.len(), 3);
    // The dump is restored.
    for statement in [
        format!("DELETE FROM nodes WHERE id = '{late}'"),
        format!(
            "UPDATE nodes SET generation = 1, generations = 1, physical_id = '{dumped}', profile_id = '{profile}'
            WHERE id = '{updated}'"
        ),
        format!("DELETE FROM actions WHERE seq > {seq}"),
    ] {
        world.db.execute(&statement).await.unwrap();
    }
    for _ in 0..3 {
        heartbeat(&world).await;
    }
    assert_eq!(ids(&world).await, all, "no container is touched");
    assert_eq!(listed(&world).await, ["GENERATION_UNKNOWN", "NODE_UNKNOWN"]);
    let told = "SELECT count(*) FROM events WHERE action = 'NODE_UNACCOUNTED' AND level = 'WARN'";
    assert_eq!(world.db.count(told).await.unwrap(), 1, "it is told once");

    // Nothing that is done to the node takes the newer container either.
    for (kind, inputs) in [
        (ActionKind::NodeCheck, json!({})),
        (ActionKind::NodeRecover, json!({"operation": "RECREATE"})),
        (ActionKind::NodeRecover, json!({"because": "It is gone."})),
        (ActionKind::NodeUpdate, json!({"new_profile_id": new})),
    ] {
        world.act_on_node(kind, updated, inputs).await;
        world.settle().await;
        assert_eq!(ids(&world).await, all, "{kind:?}");
    }

    // Take back: the node has its container again.
    let mut conn = world.db.db.session();
    let rows = unaccounted::list(&mut conn, 10, None).await.unwrap();
    let of = |node: NodeId| rows.iter().find(|r| r.node == node).unwrap();
    assert!(of(updated).may_be_there && of(updated).node_known && !of(late).node_known);
    let place = Place {
        host: of(updated).host,
        cpu_millis: 250,
        memory: 1 << 20,
        ports: vec![(8080, "tcp".to_owned())],
    };
    unaccounted::repair(&mut conn, of(updated), Some(&dumped), new, &place)
        .await
        .unwrap()
        .unwrap();
    let check = world.act_on_node(ActionKind::NodeCheck, updated, json!({})).await;
    world.settle().await;
    assert_eq!(world.outcome(check).await.0, "SUCCEEDED");
    let row = format!("SELECT concat_ws('|', status, physical_id, generation) FROM nodes WHERE id = '{updated}'");
    let expected = format!("ACTIVE|{}|2", of(updated).container);
    assert_eq!(world.db.column(&row).await.unwrap(), [expected]);
    let taken = format!(
        "SELECT concat_ws('|', n.cpu_millis, n.memory, p.port) FROM nodes n JOIN host_ports p ON p.node_id = n.id
        WHERE n.id = '{updated}'"
    );
    assert_eq!(world.db.column(&taken).await.unwrap(), ["250|1048576|8080"]);
    assert_eq!(listed(&world).await, ["NODE_UNKNOWN"]);

    // Remove: only what an operator named goes.
    let mut conn = world.db.db.session();
    unaccounted::ask_removal(&mut conn, of(late).id).await.unwrap();
    heartbeat(&world).await;
    let left: Vec<String> = all.iter().filter(|id| **id != of(late).container).cloned().collect();
    assert_eq!(ids(&world).await, left);
    assert!(listed(&world).await.is_empty());
    let check = world.act_on_node(ActionKind::NodeCheck, stays, json!({})).await;
    world.settle().await;
    assert_eq!(world.outcome(check).await.0, "SUCCEEDED");
    world.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn f2_only_what_is_recorded_to_have_gone_goes_by_itself() {
    let world = World::new(1).await;
    let profile = world.containers(json!({})).await;
    let (node, _) = world.node("n", profile, None).await;
    world.settle().await;
    let labels = world.sims[0].list().remove(0).labels;
    world.act_on_node(ActionKind::NodeDelete, node, json!({})).await;
    world.settle().await;
    let driver = driver(&world).await;
    let late = |name: &str, changes: &[(&str, &str)]| {
        let mut labels = labels.clone();
        labels.extend(changes.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        ContainerConfig {
            name: name.to_owned(),
            image: "x".to_owned(),
            labels,
            ..ContainerConfig::default()
        }
    };
    // A call of the deleted node's creation that its host carries out late.
    driver.create(&late("late", &[])).await.unwrap();
    let other = uuid::Uuid::new_v4().to_string();
    // By actions, attempts, generations and nodes that are not recorded.
    driver.create(&late("action", &[(LABEL_ACTION, &other)])).await.unwrap();
    driver.create(&late("attempt", &[(LABEL_ATTEMPT, "7")])).await.unwrap();
    driver
        .create(&late("generation", &[(LABEL_GENERATION, "9")]))
        .await
        .unwrap();
    driver.create(&late("node", &[(LABEL_NODE, &other)])).await.unwrap();
    for _ in 0..2 {
        heartbeat(&world).await;
    }
    let mut left: Vec<String> = world.sims[0].list().into_iter().map(|c| c.name).collect();
    left.sort();
    assert_eq!(
        left,
        ["action", "attempt", "generation", "node"],
        "only what is known to have gone"
    );
    assert_eq!(
        listed(&world).await,
        ["ACTION_UNKNOWN", "ACTION_UNKNOWN", "NODE_UNKNOWN", "NODE_UNKNOWN"]
    );
    // What has gone by other hands is not listed any more.
    for container in world.sims[0].list() {
        world.sims[0].lose_container(&container.id);
    }
    heartbeat(&world).await;
    assert!(listed(&world).await.is_empty());
    world.db.close().await.unwrap();
}

/// Takes a name once, between the engine's look at the host and its creation.
struct Meanwhile {
    driver: SimHost,
    config: ContainerConfig,
    done: AtomicBool,
}

impl Faults for Meanwhile {
    fn at(&self, kind: ActionKind, step: &'static str, when: When) -> Fault {
        let now = (kind, step, when) == (ActionKind::NodeCreate, "create", When::Before);
        if now && !self.done.swap(true, Ordering::SeqCst) {
            let create = self.driver.create(&self.config);
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(create)).unwrap();
        }
        Fault::None
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a15_a_taken_name_is_looked_into_before_it_is_believed() {
    let world = World::new(1).await;
    let profile = world.containers(json!({})).await;
    let installation = world
        .db
        .column("SELECT id::text FROM installation")
        .await
        .unwrap()
        .remove(0);
    for (generation, whose, expected) in [
        (1, Some(&installation), Ok(())),
        (9, Some(&installation), Err("taken by a container of this node")),
        (1, None, Err("taken by a container that is not ours")),
    ] {
        let (node, created) = world.node("n", profile, None).await;
        let mut labels = std::collections::BTreeMap::new();
        if let Some(owner) = whose {
            labels.insert(LABEL_OWNER.to_owned(), owner.clone());
            labels.insert(LABEL_NODE.to_owned(), node.to_string());
            labels.insert(LABEL_GENERATION.to_owned(), generation.to_string());
        }
        let config = ContainerConfig {
            name: format!("n-{}", node.short()),
            image: "x".to_owned(),
            labels,
            ..ContainerConfig::default()
        };
        let meanwhile = Meanwhile {
            driver: driver(&world).await,
            config: config.clone(),
            done: AtomicBool::new(false),
        };
        world.engine(Arc::new(meanwhile)).await.drain().await.unwrap();
        let (status, reason) = world.outcome(created).await;
        match expected {
            Ok(()) => assert_eq!(status, "SUCCEEDED", "{reason}"),
            Err(why) => {
                assert!(status == "FAILED" && reason.contains(why), "{status}: {reason}");
                let holder = world.sims[0]
                    .list()
                    .into_iter()
                    .find(|c| c.name == config.name)
                    .unwrap();
                assert!(reason.contains(&holder.id), "it is named: {reason}");
                world.sims[0].lose_container(&holder.id);
            }
        }
    }
    world.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a15_what_a_deleted_host_still_has_goes_when_it_returns() {
    let world = World::new(1).await;
    let profile = world.containers(json!({})).await;
    let (node, _) = world.node("n", profile, None).await;
    world.settle().await;
    let host = world
        .db
        .column("SELECT node_id::text FROM hosts")
        .await
        .unwrap()
        .remove(0);
    let hosts = world
        .db
        .column(&format!("SELECT profile_id::text FROM nodes WHERE id = '{host}'"))
        .await
        .unwrap()
        .remove(0);
    world.sims[0].set_down(true);
    world.act_on_node(ActionKind::NodeDelete, node, json!({})).await;
    world.settle().await;
    assert_eq!(world.db.count("SELECT count(*) FROM leftovers").await.unwrap(), 1);
    let gone = world
        .act_on_node(ActionKind::NodeDelete, host.parse().unwrap(), json!({}))
        .await;
    world.settle().await;
    assert_eq!(world.outcome(gone).await.0, "SUCCEEDED");
    assert_eq!(world.db.count("SELECT count(*) FROM hosts").await.unwrap(), 0);
    world.sims[0].set_down(false);
    world.node("again", hosts.parse().unwrap(), Some(world.hosts)).await;
    world.settle().await;
    assert_eq!(world.db.count("SELECT count(*) FROM hosts").await.unwrap(), 1);
    assert_eq!(
        world.containers_by_host(),
        [0],
        "the machine is cleaned when it is a host again"
    );
    assert!(listed(&world).await.is_empty());
    world.db.close().await.unwrap();
}

/// Two members on one of two hosts, which the cluster wants apart.
async fn unbalanced(world: &World) -> ClusterId {
    let profile = world.containers(json!({})).await;
    let (cluster, _) = world.cluster("web", profile, 0).await;
    let together = json!({"servergroup": {"policies": "affinity"}});
    let policy = world.policy("a", "senlin.policy.affinity", "1.0", together).await;
    world.settle().await;
    world.attach(cluster, policy).await;
    world
        .act(ActionKind::ClusterScaleOut, cluster, json!({"count": 2}))
        .await;
    world.settle().await;
    let detach = json!({"policy_id": policy});
    world.act(ActionKind::ClusterDetachPolicy, cluster, detach).await;
    world.settle().await;
    cluster
}

async fn size(world: &World, cluster: ClusterId) -> i64 {
    let query = format!("SELECT count(*) FROM nodes WHERE cluster_id = '{cluster}'");
    world.db.count(&query).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a15_a_rebalance_never_exceeds_max_size() {
    let world = World::new(2).await;
    let cluster = unbalanced(&world).await;
    let full = format!("UPDATE clusters SET max_size = 2 WHERE id = '{cluster}'");
    world.db.execute(&full).await.unwrap();
    let action = world.act(ActionKind::ClusterRebalance, cluster, json!({})).await;
    world.settle().await;
    let (status, reason) = world.outcome(action).await;
    assert!(
        status == "FAILED" && reason.contains("max_size (2)"),
        "{status}: {reason}"
    );
    let created = "SELECT count(*) FROM actions WHERE action = 'NODE_CREATE' AND cause = 'Derived Action'
        AND parent_id = (SELECT id FROM actions WHERE action = 'CLUSTER_REBALANCE')";
    assert_eq!(world.db.count(created).await.unwrap(), 0);
    let room = format!("UPDATE clusters SET max_size = 3 WHERE id = '{cluster}'");
    world.db.execute(&room).await.unwrap();
    let action = world.act(ActionKind::ClusterRebalance, cluster, json!({})).await;
    world.settle().await;
    assert_eq!(world.outcome(action).await.0, "SUCCEEDED");
    assert_eq!(world.containers_by_host(), [1, 1]);
    world.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a15_a_rebalance_that_is_cancelled_takes_its_successors_back() {
    // When its successors are made, when they are checked, and when who they are for is about to go.
    let kind = ActionKind::ClusterRebalance;
    for (nth, kind, step) in [
        (1, kind, "launch the children"),
        (2, kind, "launch the children"),
        (1, ActionKind::NodeDelete, "mark as deleting"),
    ] {
        let world = World::new(2).await;
        let cluster = unbalanced(&world).await;
        let action = world.act(ActionKind::ClusterRebalance, cluster, json!({})).await;
        let fault = AtStep::nth(nth, kind, step, When::Before, Fault::Crash);
        world.engine(fault.clone()).await.drain().await.unwrap();
        assert!(fault.struck());
        assert_eq!(size(&world, cluster).await, 3, "the successor is there");
        let mut conn = world.db.db.session();
        senlin_db::actions::cancel(&mut conn, action).await.unwrap();
        world.settle().await;
        let (status, reason) = world.outcome(action).await;
        assert!(
            status == "CANCELLED" && reason.contains("1 of 1 surplus nodes were removed"),
            "{status}: {reason}"
        );
        assert_eq!(size(&world, cluster).await, 2);
        assert_eq!(world.containers_by_host().iter().sum::<usize>(), 2);
        assert_eq!(world.status(cluster).await, "ACTIVE");
        world.assert_clean("cancelled").await;
        world.db.close().await.unwrap();
    }
}

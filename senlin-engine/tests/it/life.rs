//! What each action comes to, when nothing goes wrong in our own house.

use std::sync::Arc;

use senlin_core::action::ActionKind;
use senlin_engine::actions::faults::{Fault, NoFaults, When};
use serde_json::json;

use crate::{
    by_hand::ByHand,
    world::{AtStep, World},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_lives_and_leaves_nothing() {
    let world = World::new(3).await;
    let profile = world.containers(json!({})).await;
    let (cluster, created) = world.cluster("web", profile, 6).await;
    world.settle().await;
    assert_eq!(
        world.outcome(created).await,
        ("SUCCEEDED".into(), "Cluster creation succeeded.".into())
    );
    assert_eq!(world.containers_by_host(), [2, 2, 2], "spread evenly");
    assert_eq!(world.status(cluster).await, "ACTIVE");

    world
        .act(ActionKind::ClusterScaleOut, cluster, json!({"count": 3}))
        .await;
    world.settle().await;
    assert_eq!(world.containers_by_host(), [3, 3, 3]);

    let victim = world.sims[0].list()[0].id.clone();
    world.sims[0].kill_container(&victim);
    let checked = world.act(ActionKind::ClusterCheck, cluster, json!({})).await;
    world.settle().await;
    let (status, reason) = world.outcome(checked).await;
    assert_eq!(status, "FAILED");
    assert!(
        reason.contains("1 of 9 nodes failed") && reason.contains("exited with code 137"),
        "{reason}"
    );
    assert_eq!(world.status(cluster).await, "WARNING");

    let recovered = world
        .act(ActionKind::ClusterRecover, cluster, json!({"operation": "RESTART"}))
        .await;
    world.settle().await;
    assert_eq!(world.outcome(recovered).await.0, "SUCCEEDED");
    assert_eq!(world.status(cluster).await, "ACTIVE");

    world
        .act(ActionKind::ClusterScaleIn, cluster, json!({"count": 4}))
        .await;
    world.settle().await;
    assert_eq!(world.containers_by_host().iter().sum::<usize>(), 5);
    world.assert_clean("scaled in").await;

    world.act(ActionKind::ClusterDelete, cluster, json!({})).await;
    world.act(ActionKind::ClusterDelete, cluster, json!({})).await;
    world.settle().await;
    assert_eq!(world.status(cluster).await, "gone");
    assert_eq!(world.containers_by_host(), [0, 0, 0]);
    world.assert_clean("deleted twice").await;
    let deletes = "SELECT count(*) FROM actions WHERE action = 'CLUSTER_DELETE' AND status = 'SUCCEEDED'";
    assert_eq!(
        world.db.count(deletes).await.unwrap(),
        2,
        "deleting what is gone succeeds"
    );
    world.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_counts_the_hosts() {
    let world = World::new(4).await;
    world.sims[3].set_down(true);
    world
        .db
        .execute("UPDATE hosts SET last_seen = now() - interval '1 minute' WHERE endpoint LIKE '%-3?%'")
        .await
        .unwrap();
    let profile = world.containers(json!({"memory": "900g"})).await;
    let (_, created) = world.node("big", profile, None).await;
    world.settle().await;
    let (status, reason) = world.outcome(created).await;
    assert_eq!(status, "FAILED");
    assert_eq!(
        reason,
        "No host can take the container: 3 hosts: not enough memory; 1 host: unreachable"
    );
    world.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn zones_and_labels_of_hosts_choose() {
    let world = World::new(1).await;
    let labels = json!({"endpoints": [{"url": "sim://zones-and-labels"}], "zone": "east", "labels": {"disk": "ssd"}});
    let hosts = world
        .profile("labelled", "host.dockerinc.engine", "1.0", labels, None)
        .await;
    world.node("labelled", hosts, Some(world.hosts)).await;
    world.settle().await;
    for (wanted, expected) in [
        (json!({"zone": "east"}), Ok(())),
        (json!({"disk": "ssd", "zone": "east"}), Ok(())),
        (json!({"zone": "west"}), Err("labels do not match")),
    ] {
        let profile = world.containers(json!({"host_labels": wanted})).await;
        let (_, created) = world.node("c", profile, None).await;
        world.settle().await;
        let (status, reason) = world.outcome(created).await;
        match expected {
            Ok(()) => assert_eq!(status, "SUCCEEDED", "{wanted}: {reason}"),
            Err(why) => assert!(
                status == "FAILED" && reason.contains(why),
                "{wanted}: {status} {reason}"
            ),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_start_leaves_nothing_behind() {
    let world = World::new(1).await;
    for (extra, words) in [
        (json!({"command": ["/nonexistent"]}), "no such file"),
        (
            json!({"image": "missing"}),
            "image 'missing' could not be pulled: manifest unknown",
        ),
        (
            json!({"image": "private", "pull_policy": "always", "registry": {"username": "u", "password": "wrong"}}),
            "unauthorized",
        ),
        (
            json!({"image": "missing", "pull_policy": "never"}),
            "pull_policy is never",
        ),
    ] {
        let profile = world.containers(extra).await;
        let (node, created) = world.node("n", profile, None).await;
        world.settle().await;
        let (status, reason) = world.outcome(created).await;
        assert_eq!(status, "FAILED");
        assert!(reason.contains(words), "{reason}");
        assert_eq!(world.containers_by_host(), [0]);
        let placed = format!("SELECT count(*) FROM nodes WHERE id = '{node}' AND host_id IS NOT NULL");
        assert_eq!(world.db.count(&placed).await.unwrap(), 0, "its place is free again");
        world.assert_clean(words).await;
    }
    world.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_are_never_given_twice() {
    let world = World::new(2).await;
    let profile = world.containers(json!({"ports": ["8080:80"]})).await;
    let (_, created) = world.cluster("web", profile, 3).await;
    world.settle().await;
    let (status, reason) = world.outcome(created).await;
    assert_eq!(status, "FAILED");
    assert!(
        reason.contains("1 of 3 nodes failed") && reason.contains("2 hosts: port taken"),
        "{reason}"
    );
    assert_eq!(world.containers_by_host(), [1, 1]);
    world.assert_clean("ports").await;
    world.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_host_is_unknown_and_its_share_goes_when_it_returns() {
    let world = World::new(2).await;
    let profile = world.containers(json!({})).await;
    let (cluster, _) = world.cluster("web", profile, 4).await;
    world.settle().await;
    world.sims[0].set_down(true);

    // A check says unknown, not failed.
    let checked = world.act(ActionKind::ClusterCheck, cluster, json!({})).await;
    world.settle().await;
    assert_eq!(world.outcome(checked).await.0, "SUCCEEDED");
    let warned = "SELECT count(*) FROM nodes WHERE status = 'WARNING' AND status_reason LIKE 'Unknown:%'";
    assert_eq!(world.db.count(warned).await.unwrap(), 2);

    // Deleting works all the same; the containers go when the host is back.
    world.act(ActionKind::ClusterDelete, cluster, json!({})).await;
    world.settle().await;
    assert_eq!(world.status(cluster).await, "gone");
    assert_eq!(world.containers_by_host(), [2, 0]);
    world.sims[0].set_down(false);
    world.engine(Arc::new(NoFaults)).await.beat_all().await.unwrap();
    assert_eq!(world.containers_by_host(), [0, 0]);
    assert_eq!(world.db.count("SELECT count(*) FROM leftovers").await.unwrap(), 0);
    world.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_host_is_left_for_another() {
    let world = World::new(2).await;
    let profile = world.containers(json!({})).await;
    let (node, _) = world.node("n", profile, None).await;
    world.settle().await;
    let from = world.containers_by_host().iter().position(|n| *n == 1).unwrap();
    world.sims[from].set_down(true);
    let old = format!("UPDATE hosts SET last_seen = now() - interval '1 minute' WHERE endpoint LIKE '%-{from}?%'");
    world.db.execute(&old).await.unwrap();
    let recovered = world
        .act_on_node(ActionKind::NodeRecover, node, json!({"operation": "RECREATE"}))
        .await;
    world.settle().await;
    assert_eq!(
        world.outcome(recovered).await.0,
        "SUCCEEDED",
        "{:?}",
        world.outcome(recovered).await
    );
    assert_eq!(world.containers_by_host()[1 - from], 1);
    world.sims[from].set_down(false);
    world.engine(Arc::new(NoFaults)).await.beat_all().await.unwrap();
    assert_eq!(
        world.containers_by_host()[from],
        0,
        "the stale one went when its host came back"
    );
    world.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_containers_are_never_touched() {
    use senlin_core::driver::{ContainerConfig, ContainerDriver, LABEL_NODE, LABEL_OWNER};
    let world = World::new(1).await;
    let name = world.db.column("SELECT endpoint FROM hosts").await.unwrap().remove(0);
    let driver = senlin_drivers::sim::SimHost::open(&name).unwrap();
    let foreign = |name: &str, labels: &[(&str, &str)]| ContainerConfig {
        name: name.to_owned(),
        image: "x".to_owned(),
        labels: labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        ..ContainerConfig::default()
    };
    driver.create(&foreign("plain", &[])).await.unwrap();
    let other = uuid::Uuid::new_v4().to_string();
    driver
        .create(&foreign("other-plane", &[(LABEL_OWNER, &other), (LABEL_NODE, &other)]))
        .await
        .unwrap();
    let own = world.db.column("SELECT id FROM installation").await.unwrap().remove(0);
    driver
        .create(&foreign("orphan", &[(LABEL_OWNER, &own), (LABEL_NODE, &other)]))
        .await
        .unwrap();
    world.engine(Arc::new(NoFaults)).await.beat_all().await.unwrap();
    let mut left: Vec<String> = world.sims[0].list().into_iter().map(|c| c.name).collect();
    left.sort();
    assert_eq!(
        left,
        ["orphan", "other-plane", "plain"],
        "nothing tells that our own is to go"
    );
    let listed = world
        .db
        .column("SELECT name FROM unaccounted_containers")
        .await
        .unwrap();
    assert_eq!(listed, ["orphan"], "only our own is listed");
    world.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_comes_while_its_cluster_is_deleted_goes_too() {
    let world = World::new(1).await;
    let profile = world.containers(json!({})).await;
    let (cluster, _) = world.cluster("c", profile, 1).await;
    world.settle().await;
    let delete = world.act(ActionKind::ClusterDelete, cluster, json!({})).await;
    let fault = AtStep::new(ActionKind::ClusterDelete, "record the end", When::Before, Fault::Crash);
    world.engine(fault.clone()).await.drain().await.unwrap();
    assert!(fault.struck());
    world.node("late", profile, Some(cluster)).await;
    world.settle().await;
    let (status, reason) = world.outcome(delete).await;
    assert_eq!(status, "SUCCEEDED", "{reason}");
    world.assert_clean("a late member").await;
    world.db.close().await.unwrap();
}

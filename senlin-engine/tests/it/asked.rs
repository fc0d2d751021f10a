//! Actions do what was asked, and nothing else.

use senlin_core::action::ActionKind;
use serde_json::json;

use crate::world::World;

/// A policy that makes no best effort refuses what the cluster cannot give.
#[tokio::test(flavor = "multi_thread")]
async fn d2_policies_see_what_is_asked_and_not_what_is_there() {
    let world = World::new(1).await;
    let profile = world.containers(json!({})).await;
    let (cluster, _) = world.cluster("web", profile, 1).await;
    world.settle().await;
    // Without a policy a cluster gives what it has.
    let (bare, _) = world.cluster("bare", profile, 1).await;
    world.settle().await;
    let emptied = world.act(ActionKind::ClusterScaleIn, bare, json!({"count": 2})).await;
    world.settle().await;
    assert_eq!(world.outcome(emptied).await.0, "SUCCEEDED");

    let strict = json!({"event": "CLUSTER_SCALE_IN", "adjustment": {"best_effort": false}});
    let policy = world.policy("strict", "senlin.policy.scaling", "1.0", strict).await;
    world.attach(cluster, policy).await;
    let action = world
        .act(ActionKind::ClusterScaleIn, cluster, json!({"count": 2}))
        .await;
    world.settle().await;
    let (status, reason) = world.outcome(action).await;
    assert_eq!(status, "FAILED");
    assert!(
        reason.contains("The target capacity (-1) is less than the cluster's min_size (0)."),
        "{reason}"
    );
    let members = format!("SELECT count(*) FROM nodes WHERE cluster_id = '{cluster}'");
    assert_eq!(world.db.count(&members).await.unwrap(), 1);
    assert_eq!(world.status(cluster).await, "ACTIVE");

    // With best effort it gives what it has.
    let gentle = json!({"event": "CLUSTER_SCALE_IN", "adjustment": {"best_effort": true}});
    let policy_two = world.policy("gentle", "senlin.policy.scaling", "1.0", gentle).await;
    let off = json!({"policy_id": policy, "enabled": false});
    world.act(ActionKind::ClusterUpdatePolicy, cluster, off).await;
    world.settle().await;
    world.attach(cluster, policy_two).await;
    let action = world
        .act(ActionKind::ClusterScaleIn, cluster, json!({"count": 2}))
        .await;
    world.settle().await;
    assert_eq!(world.outcome(action).await.0, "SUCCEEDED");
    assert_eq!(world.db.count(&members).await.unwrap(), 0);
}

/// However it was recorded, an update does not leave a container where its
/// profile does not let it be.
#[tokio::test(flavor = "multi_thread")]
async fn e4_an_update_that_asks_for_another_host_changes_nothing() {
    let world = World::new(1).await;
    let profile = world.containers(json!({})).await;
    let labelled = world.containers(json!({"host_labels": {"disk": "tape"}})).await;
    let (node, _) = world.node("n", profile, None).await;
    world.settle().await;
    let before = world.sims[0].list().len();
    let inputs = json!({"new_profile_id": labelled});
    let action = world.act_on_node(ActionKind::NodeUpdate, node, inputs).await;
    world.settle().await;
    let (status, reason) = world.outcome(action).await;
    assert_eq!(status, "FAILED");
    assert!(reason.contains("does not carry the label 'disk=tape'"), "{reason}");
    let kept = format!("SELECT count(*) FROM nodes WHERE id = '{node}' AND profile_id = '{profile}'");
    assert_eq!(world.db.count(&kept).await.unwrap(), 1);
    assert_eq!(world.sims[0].list().len(), before);
}

/// Three are created at the same moment where there is room for one: it gets
/// in, and the others leave the cluster.
#[tokio::test(flavor = "multi_thread")]
async fn of_nodes_created_at_once_as_many_get_in_as_there_is_room() {
    let world = World::new(1).await;
    let profile = world.containers(json!({})).await;
    let (cluster, _) = world.cluster("c", profile, 2).await;
    world.settle().await;
    let bounds = format!("UPDATE clusters SET max_size = 3 WHERE id = '{cluster}'");
    world.db.execute(&bounds).await.unwrap();
    let mut ends = Vec::new();
    for name in ["one", "two", "three"] {
        ends.push(world.node(name, profile, Some(cluster)).await.1);
    }
    world.settle().await;
    let mut refused = 0;
    for action in ends {
        let (status, reason) = world.outcome(action).await;
        if status == "FAILED" {
            refused += 1;
            assert!(
                reason.contains("is greater than the cluster's max_size (3)"),
                "{reason}"
            );
        }
    }
    assert_eq!(refused, 2);
    for (what, expected) in [
        (format!("nodes WHERE cluster_id = '{cluster}' AND status = 'ACTIVE'"), 3),
        (
            "nodes WHERE cluster_id IS NULL AND index = -1 AND status = 'ERROR'".to_owned(),
            2,
        ),
        (
            format!("clusters WHERE id = '{cluster}' AND desired_capacity = 3 AND status = 'ACTIVE'"),
            1,
        ),
    ] {
        let count = world.db.count(&format!("SELECT count(*) FROM {what}")).await.unwrap();
        assert_eq!(count, expected, "{what}");
    }
}

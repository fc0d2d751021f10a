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

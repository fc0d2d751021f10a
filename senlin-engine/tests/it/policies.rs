//! What policies make of actions.

use senlin_core::{action::ActionKind, ids::*};
use serde_json::{Value, json};

use crate::world::World;

const SCALING: &str = "senlin.policy.scaling";
const DELETION: &str = "senlin.policy.deletion";

async fn size(world: &World, cluster: ClusterId) -> i64 {
    let query = format!("SELECT count(*) FROM nodes WHERE cluster_id = '{cluster}'");
    world.db.count(&query).await.unwrap()
}

async fn data(world: &World, action: ActionId) -> Value {
    let query = format!("SELECT data::text FROM actions WHERE id = '{action}'");
    serde_json::from_str(&world.db.column(&query).await.unwrap()[0]).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn scaling_says_how_many_and_how_often() {
    let world = World::new(2).await;
    let profile = world.containers(json!({})).await;
    let (cluster, _) = world.cluster("web", profile, 1).await;
    let adjustment = json!({"event": "CLUSTER_SCALE_OUT", "adjustment": {"number": 2, "cooldown": 600}});
    let out = world.policy("out", SCALING, "1.0", adjustment).await;
    world.settle().await;
    world.attach(cluster, out).await;

    let first = world.act(ActionKind::ClusterScaleOut, cluster, json!({})).await;
    world.settle().await;
    assert_eq!(world.outcome(first).await.0, "SUCCEEDED");
    assert_eq!(size(&world, cluster).await, 3);
    assert_eq!(data(&world, first).await["creation"]["count"], 2);
    assert_eq!(data(&world, first).await["reason"], "'out' asks for 2.");

    // Within the cooldown nothing is done, it says why, and the cooldown does not begin again.
    let began = world
        .db
        .column("SELECT last_op::text FROM cluster_policies")
        .await
        .unwrap();
    let second = world.act(ActionKind::ClusterScaleOut, cluster, json!({})).await;
    world.settle().await;
    let (status, reason) = world.outcome(second).await;
    assert_eq!(status, "FAILED");
    assert!(
        reason.contains("Failed policy 'out'") && reason.contains("is in cooldown for another"),
        "{reason}"
    );
    assert_eq!(size(&world, cluster).await, 3);
    assert_eq!(
        began,
        world
            .db
            .column("SELECT last_op::text FROM cluster_policies")
            .await
            .unwrap()
    );
    assert_eq!(world.status(cluster).await, "ACTIVE");

    // Disabled, it has no say; what it says of scaling out is nothing to scaling in.
    let off = json!({"policy_id": out, "enabled": false});
    world.act(ActionKind::ClusterUpdatePolicy, cluster, off).await;
    world.settle().await;
    world.act(ActionKind::ClusterScaleOut, cluster, json!({})).await;
    world.settle().await;
    assert_eq!(size(&world, cluster).await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn deletion_says_who_when_and_how() {
    let world = World::new(2).await;
    let profile = world.containers(json!({})).await;
    let (cluster, _) = world.cluster("web", profile, 4).await;
    world.settle().await;
    // The third is the youngest.
    world
        .db
        .execute(&format!(
            "UPDATE nodes SET created_at = now() - make_interval(hours => CASE index WHEN 3 THEN 1 ELSE 9 END)
            WHERE cluster_id = '{cluster}'"
        ))
        .await
        .unwrap();
    let properties = json!({"criteria": "YOUNGEST_FIRST", "destroy_after_deletion": false, "grace_period": 3600});
    let policy = world.policy("gentle", DELETION, "1.1", properties).await;
    world.attach(cluster, policy).await;

    let action = world
        .act(ActionKind::ClusterScaleIn, cluster, json!({"count": 1}))
        .await;
    world
        .engine(std::sync::Arc::new(senlin_engine::actions::faults::NoFaults))
        .await
        .drain()
        .await
        .unwrap();
    // The grace holds no worker and no member goes yet.
    let (status, reason) = world.outcome(action).await;
    assert_eq!(
        (status.as_str(), reason.as_str()),
        ("READY", "1 members go in 3600 seconds.")
    );
    assert_eq!(size(&world, cluster).await, 4);
    world.settle().await;
    assert_eq!(world.outcome(action).await.0, "SUCCEEDED");
    let orphan = world
        .db
        .column("SELECT name || ' ' || status FROM nodes WHERE cluster_id IS NULL AND host_id IS NOT NULL")
        .await
        .unwrap();
    assert_eq!(orphan.len(), 1, "it was let go, not destroyed: {orphan:?}");
    assert!(orphan[0].ends_with("ACTIVE"), "{orphan:?}");
    let left = format!("SELECT index::text FROM nodes WHERE cluster_id = '{cluster}' ORDER BY index");
    assert_eq!(world.db.column(&left).await.unwrap(), ["1", "2", "4"]);
    let data = data(&world, action).await;
    assert_eq!(data["deletion"]["grace_period"], 3600);
    assert!(
        data["reason"].as_str().unwrap().contains("lets them go as orphans"),
        "{data}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_policy_of_a_kind() {
    let world = World::new(1).await;
    let profile = world.containers(json!({})).await;
    let (cluster, _) = world.cluster("web", profile, 0).await;
    world.settle().await;
    let first = world.policy("d0", DELETION, "1.0", json!({})).await;
    let second = world.policy("d1", DELETION, "1.1", json!({})).await;
    world.attach(cluster, first).await;
    // Again is success; another version of the same name is not.
    world.attach(cluster, first).await;
    let inputs = json!({"policy_id": second});
    let action = world
        .act(ActionKind::ClusterAttachPolicy, cluster, inputs.clone())
        .await;
    world.settle().await;
    let (status, reason) = world.outcome(action).await;
    assert_eq!(status, "FAILED");
    assert!(
        reason.contains("Only one policy of type 'senlin.policy.deletion'") && reason.contains("'d0'"),
        "{reason}"
    );
    let first = json!({"policy_id": first});
    world.act(ActionKind::ClusterDetachPolicy, cluster, first.clone()).await;
    world.settle().await;
    // Detached once more is success; to enable what is not attached is not.
    let again = world.act(ActionKind::ClusterDetachPolicy, cluster, first.clone()).await;
    world.settle().await;
    assert_eq!(world.outcome(again).await.0, "SUCCEEDED");
    let enabled = world.act(ActionKind::ClusterUpdatePolicy, cluster, first).await;
    world.settle().await;
    assert_eq!(world.outcome(enabled).await.0, "FAILED");
    let action = world.act(ActionKind::ClusterAttachPolicy, cluster, inputs).await;
    world.settle().await;
    assert_eq!(world.outcome(action).await.0, "SUCCEEDED");
    // They go with the cluster.
    world.act(ActionKind::ClusterDelete, cluster, json!({})).await;
    world.settle().await;
    assert_eq!(
        world.db.count("SELECT count(*) FROM cluster_policies").await.unwrap(),
        0
    );
}

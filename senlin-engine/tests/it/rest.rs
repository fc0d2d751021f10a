//! What is stopped on purpose rests: nobody mends it unasked.

use senlin_core::{action::ActionKind, ids::NodeId};
use serde_json::json;

use crate::{
    health::{RECOVERIES, again, column, polling, sweep, watched},
    world::World,
};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stopped_on_purpose_stays_so_and_an_error_ends_with_its_cause() {
    let world = World::new(1).await;
    let (cluster, engine) = watched(&world, 2, polling(json!({}))).await;
    let node = format!("SELECT id FROM nodes WHERE cluster_id = '{cluster}' ORDER BY index LIMIT 1");
    let node: NodeId = column(&world, &node).await[0].parse().unwrap();
    // The list of the sweep that was just made is older than the stop, and still at hand.
    again(&world, &engine).await;
    let stop = json!({"operation_name": "stop", "operation": "stop", "params": {}});
    let action = world.act_on_node(ActionKind::NodeOperation, node, stop).await;
    world.settle().await;
    assert_eq!(
        world.outcome(action).await.0,
        "SUCCEEDED",
        "{:?}",
        world.outcome(action).await
    );
    again(&world, &engine).await;
    let told = format!("SELECT status || ': ' || status_reason FROM nodes WHERE id = '{node}'");
    let stopped = column(&world, &told).await;
    assert!(
        stopped[0].starts_with("WARNING: The container has exited"),
        "{stopped:?}"
    );
    // A look is no reason to mend it.
    let check = world.act_on_node(ActionKind::NodeCheck, node, json!({})).await;
    world.settle().await;
    assert_eq!(world.outcome(check).await.0, "SUCCEEDED");
    assert_eq!(column(&world, &told).await, stopped);
    assert_eq!(world.db.count(RECOVERIES).await.unwrap(), 0);
    let unasked = json!({"operations": ["RECREATE"], "because": "It was seen to be gone."});
    world.act_on_node(ActionKind::NodeRecover, node, unasked).await;
    world.settle().await;
    sweep(&world, &engine).await;
    sweep(&world, &engine).await;
    assert_eq!(world.db.count(RECOVERIES).await.unwrap(), 1, "only this one");
    assert_eq!(column(&world, &told).await, stopped);
    // Once it is started again, its end is a failure again.
    let start = json!({"operation_name": "start", "operation": "start", "params": {}});
    world.act_on_node(ActionKind::NodeOperation, node, start).await;
    world.settle().await;
    let rests = format!("SELECT at_rest::text FROM nodes WHERE id = '{node}'");
    assert_eq!(column(&world, &rests).await, ["false"]);
    // Somebody says ERROR of a node that runs: the next sweep knows better.
    world
        .db
        .execute(&format!(
            "UPDATE nodes SET status = 'ERROR', status_reason = 'long ago' WHERE cluster_id = '{cluster}' AND id <> '{node}'"
        ))
        .await
        .unwrap();
    sweep(&world, &engine).await;
    let status = format!("SELECT status FROM nodes WHERE cluster_id = '{cluster}' AND id <> '{node}'");
    assert_eq!(column(&world, &status).await, ["ACTIVE"]);
    assert_eq!(world.db.count(RECOVERIES).await.unwrap(), 1);
}

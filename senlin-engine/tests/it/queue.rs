//! Claims, leases, fairness, cancel and timeout.

use std::{sync::Arc, time::Duration};

use senlin_core::{action::ActionKind, ids::ServiceId};
use senlin_db::{
    DbError, actions,
    fence::{self, End, Fence},
    queue::{self, Limits},
};
use senlin_engine::actions::faults::{Fault, NoFaults};
use serde_json::json;

use crate::world::{Once, World};

const LIMITS: Limits = Limits {
    per_project: 100,
    per_host: 100,
    lease: 60,
};

#[tokio::test(flavor = "multi_thread")]
async fn many_claimers_never_share_an_action() {
    let world = World::new(1).await;
    let profile = world.containers(json!({})).await;
    for i in 0..60 {
        world.node(&format!("n{i}"), profile, None).await;
    }
    let mut tasks = Vec::new();
    for _ in 0..8 {
        let db = world.db.db.clone();
        tasks.push(tokio::spawn(async move {
            let mut conn = db.session();
            let mut mine = Vec::new();
            loop {
                let got = queue::claim_nodes(&mut conn, ServiceId::random(), 7, LIMITS)
                    .await
                    .unwrap();
                if got.is_empty() {
                    return mine;
                }
                mine.extend(got.into_iter().map(|c| c.action.id));
            }
        }));
    }
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.unwrap());
    }
    let distinct: std::collections::BTreeSet<_> = all.iter().collect();
    assert_eq!((all.len(), distinct.len()), (60, 60));
    world.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_nodes_of_one_tenant_do_not_stop_another() {
    let world = World::new(1).await;
    let profile = world.containers(json!({})).await;
    for i in 0..200 {
        world.node(&format!("n{i}"), profile, None).await;
    }
    let (single, _) = world.node("single", profile, None).await;
    world
        .db
        .execute(&format!("UPDATE actions SET project = 'p2' WHERE target = '{single}'"))
        .await
        .unwrap();
    let mut conn = world.db.db.session();
    let limits = Limits {
        per_project: 10,
        ..LIMITS
    };
    let first = queue::claim_nodes(&mut conn, ServiceId::random(), 8, limits)
        .await
        .unwrap();
    assert!(
        first.iter().any(|c| c.action.target == single.0),
        "the other tenant is in the first batch"
    );
    queue::claim_nodes(&mut conn, ServiceId::random(), 64, limits)
        .await
        .unwrap();
    let running = "SELECT count(*) FROM actions WHERE status = 'RUNNING' AND project = 'p1'";
    assert_eq!(
        world.db.count(running).await.unwrap(),
        10,
        "and the limit holds over all engines"
    );
    world.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_are_not_asked_for_more_at_once_than_their_limit() {
    let world = World::new(2).await;
    let profile = world.containers(json!({})).await;
    let mut nodes = Vec::new();
    for i in 0..20 {
        nodes.push(world.node(&format!("n{i}"), profile, None).await.0);
    }
    world.settle().await;
    for node in nodes {
        world.act_on_node(ActionKind::NodeCheck, node, json!({})).await;
    }
    let limits = Limits { per_host: 3, ..LIMITS };
    let mut conn = world.db.db.session();
    let mut claimed = 0;
    for _ in 0..5 {
        claimed += queue::claim_nodes(&mut conn, ServiceId::random(), 64, limits)
            .await
            .unwrap()
            .len();
    }
    assert_eq!(
        claimed, 6,
        "three for each of two hosts, however often and by whomever it is asked"
    );
    let most = "SELECT max(n) FROM (SELECT count(*) AS n FROM actions WHERE status = 'RUNNING' GROUP BY host_id) AS x";
    assert_eq!(world.db.count(most).await.unwrap(), 3);
    world.settle().await;
    world.assert_clean("limits").await;
    world.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_engine_that_wakes_writes_nothing() {
    let world = World::new(1).await;
    let profile = world.containers(json!({})).await;
    let (_, action) = world.node("n", profile, None).await;
    let mut conn = world.db.db.session();
    let claimed = queue::claim_nodes(&mut conn, ServiceId::random(), 1, LIMITS)
        .await
        .unwrap()
        .remove(0);
    let stale = Fence::of(&claimed.action).unwrap();
    world.settle().await;
    assert_eq!(world.outcome(action).await.0, "SUCCEEDED", "another engine took over");
    let end = End {
        status: senlin_core::action::ActionStatus::Failed,
        reason: "late".to_owned(),
        outputs: senlin_core::Map::new(),
    };
    let late = fence::finish(&mut conn, stale, &end, None).await;
    assert!(matches!(late, Err(DbError::LeaseLost)));
    assert!(matches!(
        fence::retry(&mut conn, stale, 1.0, "late").await,
        Err(DbError::LeaseLost)
    ));
    assert_eq!(world.outcome(action).await.0, "SUCCEEDED");
    world.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poison_action_is_parked_with_the_reason() {
    let world = World::new(1).await;
    world.sims[0].set_hang(true);
    let profile = world.containers(json!({})).await;
    let (node, action) = world.node("n", profile, None).await;
    let engine = world.engine(Once::new(usize::MAX, Fault::None)).await;
    engine.drain().await.unwrap();
    // It has been waited for since then as long as a silent host is.
    let waited = format!("UPDATE actions SET started_at = started_at - interval '200 seconds' WHERE id = '{action}'");
    world.db.execute(&waited).await.unwrap();
    world.settle().await;
    let (status, reason) = world.outcome(action).await;
    assert_eq!(status, "FAILED");
    assert!(reason.contains("did not answer"), "{reason}");
    let retries = format!("SELECT retries FROM actions WHERE id = '{action}'");
    assert_eq!(world.db.count(&retries).await.unwrap(), 5);
    let errors = format!("SELECT count(*) FROM nodes WHERE id = '{node}' AND status = 'ERROR'");
    assert_eq!(world.db.count(&errors).await.unwrap(), 1);
    world.sims[0].set_hang(false);
    world.assert_clean("poison").await;
    world.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_ends_a_parent_and_its_children() {
    let world = World::new(1).await;
    let profile = world.containers(json!({})).await;
    let (cluster, action) = world.cluster("web", profile, 4).await;
    // The children are recorded, then the engine dies.
    let engine = world.engine(Once::new(usize::MAX, Fault::None)).await;
    let mut conn = world.db.db.session();
    let claimed = queue::claim_cluster(&mut conn, engine.id(), 64, LIMITS).await.unwrap();
    assert!(claimed.is_some());
    actions::cancel(&mut conn, action).await.unwrap();
    world.settle().await;
    assert_eq!(world.outcome(action).await.0, "CANCELLED");
    assert_eq!(world.containers_by_host(), [0]);
    world.assert_clean("cancelled").await;
    world.act(ActionKind::ClusterDelete, cluster, json!({})).await;
    world.settle().await;
    assert_eq!(world.status(cluster).await, "gone");
    world.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeout_ends_an_action_that_waits() {
    let world = World::new(1).await;
    world.sims[0].set_hang(true);
    let profile = world.containers(json!({})).await;
    let (_, action) = world.cluster("web", profile, 2).await;
    let engine = world.engine(Arc::new(NoFaults)).await;
    engine.drain().await.unwrap();
    world
        .db
        .execute("UPDATE actions SET started_at = now() - interval '2 hours' WHERE started_at IS NOT NULL")
        .await
        .unwrap();
    world.settle().await;
    let (status, reason) = world.outcome(action).await;
    assert_eq!(status, "FAILED");
    assert!(reason.contains("timed out after 3600 seconds"), "{reason}");
    world.sims[0].set_hang(false);
    world.assert_clean("timed out").await;
    world.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forced_cancel_fences_whoever_works_on_it() {
    let world = World::new(1).await;
    let profile = world.containers(json!({})).await;
    let (_, action) = world.node("n", profile, None).await;
    let mut conn = world.db.db.session();
    let claimed = queue::claim_nodes(&mut conn, ServiceId::random(), 1, LIMITS)
        .await
        .unwrap()
        .remove(0);
    actions::force_cancel(&mut conn, action).await.unwrap();
    let held = fence::lock_action(&mut conn, Fence::of(&claimed.action).unwrap()).await;
    assert!(matches!(held, Err(DbError::LeaseLost)));
    tokio::time::timeout(Duration::from_secs(5), actions::force_cancel(&mut conn, action))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(world.outcome(action).await.0, "CANCELLED");
    world.assert_clean("forced").await;
    world.db.close().await.unwrap();
}

/// Members of one cluster end at the same moment: the shared lock is let go by
/// each, and none of them is left in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn holders_that_let_go_at_once_leave_no_lock() {
    let world = World::new(1).await;
    let profile = world.containers(json!({})).await;
    let (cluster, _) = world.cluster("web", profile, 8).await;
    world.settle().await;
    let query = format!("SELECT id::text FROM nodes WHERE cluster_id = '{cluster}'");
    let members = world.db.column(&query).await.unwrap();
    for round in 0..15 {
        for id in &members {
            world
                .act_on_node(ActionKind::NodeCheck, id.parse().unwrap(), json!({}))
                .await;
        }
        let mut conn = world.db.db.session();
        let mut claimed = Vec::new();
        while let Some(claim) = queue::claim_cluster(&mut conn, ServiceId::random(), 64, LIMITS)
            .await
            .unwrap()
        {
            claimed.push(claim.action);
        }
        assert_eq!(claimed.len(), 8);
        let together = Arc::new(tokio::sync::Barrier::new(8));
        let mut ends = tokio::task::JoinSet::new();
        for action in claimed {
            let (db, together) = (world.db.db.clone(), together.clone());
            ends.spawn(async move {
                let mut conn = db.session();
                let end = End {
                    status: senlin_core::action::ActionStatus::Succeeded,
                    reason: String::new(),
                    outputs: senlin_core::Map::new(),
                };
                together.wait().await;
                fence::finish(&mut conn, Fence::of(&action).unwrap(), &end, None)
                    .await
                    .unwrap();
            });
        }
        ends.join_all().await;
        let left = world
            .db
            .column("SELECT action_id::text FROM cluster_locks")
            .await
            .unwrap();
        assert!(left.is_empty(), "round {round}: {left:?}");
    }
}

//! What has ended is moved out of the way while work goes on.

use std::{sync::Arc, time::Duration};

use senlin_core::{action::ActionKind, caller::Scope};
use senlin_db::actions;
use senlin_engine::actions::faults::NoFaults;
use senlin_testkit::until;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a11_an_engine_moves_what_has_ended_and_goes_on() {
    let world = World::new(2).await;
    let profile = world.containers(json!({})).await;
    let (cluster, created) = world.cluster("web", profile, 4).await;
    world.settle().await;
    let all = world.db.count("SELECT count(*) FROM actions").await.unwrap();
    world
        .db
        .execute("UPDATE actions SET ended_at = ended_at - interval '11 minutes'")
        .await
        .unwrap();

    let stop = CancellationToken::new();
    let engine = world.engine(Arc::new(NoFaults)).await;
    let running = tokio::spawn(engine.run(stop.clone()));
    let scaled = world
        .act(ActionKind::ClusterScaleOut, cluster, json!({"count": 1}))
        .await;
    until("the history to be moved", Duration::from_secs(60), async || {
        let moved = world.db.count("SELECT count(*) FROM ended_actions").await?;
        anyhow::ensure!(moved == all, "{moved} of {all}");
        anyhow::ensure!(world.outcome(scaled).await.0 == "SUCCEEDED");
        Ok(())
    })
    .await
    .unwrap();
    stop.cancel();
    running.await.unwrap().unwrap();

    assert_eq!(world.status(cluster).await, "ACTIVE");
    assert_eq!(world.containers_by_host().iter().sum::<usize>(), 5);
    let mut conn = world.db.db.session();
    let found = actions::find(&mut conn, &Scope::All, &created.to_string())
        .await
        .unwrap();
    assert!(found.is_some_and(|a| a.status.is_terminal()));
    let ahead = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'events'::regclass";
    assert_eq!(
        world.db.count(ahead).await.unwrap(),
        4,
        "this week, two ahead, and the rest"
    );
}

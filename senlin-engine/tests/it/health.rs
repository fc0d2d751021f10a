//! The health manager on simulated hosts.

use std::sync::Arc;

use senlin_core::ids::*;
use senlin_engine::{Engine, actions::faults::NoFaults};
use serde_json::{Value, json};

use crate::{by_hand::ByHand, world::World};

const HEALTH: &str = "senlin.policy.health";

async fn engine(world: &World) -> Arc<Engine> {
    world.engine(Arc::new(NoFaults)).await
}

pub(crate) fn polling(recovery: Value) -> Value {
    json!({"detection": {"interval": 30, "detection_modes": [{"type": "NODE_STATUS_POLLING"}]}, "recovery": recovery})
}

/// A cluster of so many, with this policy, swept once already.
pub(crate) async fn watched(world: &World, size: i32, policy: Value) -> (ClusterId, Arc<Engine>) {
    let profile = world.containers(json!({})).await;
    let (cluster, _) = world.cluster("web", profile, size).await;
    let policy = world.policy("heal", HEALTH, "1.2", policy).await;
    world.settle().await;
    world.attach(cluster, policy).await;
    let engine = engine(world).await;
    assert_eq!(engine.sweep_health().await.unwrap(), 1);
    (cluster, engine)
}

/// One more sweep, and what it began runs to its end.
pub(crate) async fn sweep(world: &World, engine: &Arc<Engine>) {
    tokio::time::sleep(std::time::Duration::from_millis(2100)).await;
    again(world, engine).await;
}

pub(crate) async fn again(world: &World, engine: &Arc<Engine>) {
    world
        .db
        .execute("UPDATE cluster_policies SET due_at = now()")
        .await
        .unwrap();
    engine.sweep_health().await.unwrap();
    world.settle().await;
}

pub(crate) async fn column(world: &World, query: &str) -> Vec<String> {
    world.db.column(query).await.unwrap()
}

pub(crate) const RECOVERIES: &str = "SELECT count(*) FROM actions WHERE action = 'NODE_RECOVER'";

#[tokio::test(flavor = "multi_thread")]
async fn what_dies_comes_back_once() {
    let world = World::new(2).await;
    let (cluster, engine) = watched(
        &world,
        4,
        polling(json!({"actions": [{"name": "RESTART"}, {"name": "RECREATE"}]})),
    )
    .await;
    let killed = world.sims[0].list()[0].id.clone();
    let lost = world.sims[1].list()[0].id.clone();
    world.sims[0].kill_container(&killed);
    world.sims[1].lose_container(&lost);
    sweep(&world, &engine).await;
    assert_eq!(world.db.count(RECOVERIES).await.unwrap(), 2);
    let running = |s: &senlin_drivers::sim::Sim| s.list().iter().filter(|c| c.state == "running").count();
    assert_eq!(world.sims.iter().map(running).sum::<usize>(), 4);
    assert!(
        world.sims[0].list().iter().any(|c| c.id == killed),
        "it was restarted, not replaced"
    );
    assert_eq!(world.status(cluster).await, "ACTIVE");
    let reasons = "SELECT inputs->>'because' FROM actions WHERE action = 'NODE_RECOVER' ORDER BY 1";
    assert_eq!(
        column(&world, reasons).await,
        [
            "The container has exited with code 137.",
            "The container is gone from its host."
        ]
    );
    // Nothing is amiss any more: nothing is done.
    sweep(&world, &engine).await;
    assert_eq!(world.db.count(RECOVERIES).await.unwrap(), 2);
    world.assert_clean("health").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_sweep_of_an_engine_only_looks() {
    let world = World::new(1).await;
    let (cluster, _) = watched(&world, 2, polling(json!({}))).await;
    let id = world.sims[0].list()[0].id.clone();
    world.sims[0].kill_container(&id);
    let other = engine(&world).await;
    again(&world, &other).await;
    assert_eq!(world.db.count(RECOVERIES).await.unwrap(), 0);
    // But what is true is said.
    assert_eq!(world.status(cluster).await, "WARNING");
    sweep(&world, &other).await;
    assert_eq!(world.db.count(RECOVERIES).await.unwrap(), 1);
    assert_eq!(world.status(cluster).await, "ACTIVE");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_engines_that_see_one_loss_recover_once() {
    let world = World::new(1).await;
    let events = json!({"detection": {"detection_modes": [{"type": "LIFECYCLE_EVENTS"}]}, "recovery": {}});
    let (cluster, one) = watched(&world, 3, events).await;
    let two = engine(&world).await;
    let query =
        format!("SELECT id || ' ' || physical_id FROM nodes WHERE cluster_id = '{cluster}' ORDER BY index LIMIT 1");
    let row = column(&world, &query).await.remove(0);
    let (node, id) = row.split_once(' ').unwrap();
    let node: NodeId = node.parse().unwrap();
    for _ in 0..5 {
        world.sims[0].kill_container(id);
        world.db.execute("DELETE FROM recoveries").await.unwrap();
        let before = world.db.count(RECOVERIES).await.unwrap();
        let looks = (0..4).map(|n| {
            let engine = if n % 2 == 0 { one.clone() } else { two.clone() };
            tokio::spawn(async move { engine.examine(node).await.unwrap() })
        });
        for look in looks.collect::<Vec<_>>() {
            look.await.unwrap();
        }
        assert_eq!(world.db.count(RECOVERIES).await.unwrap(), before + 1);
        world.settle().await;
    }
    assert_eq!(world.status(cluster).await, "ACTIVE");
    world.assert_clean("one recovery").await;
}

/// A cluster of hosts may have the policy too: a host that is silent is
/// unknown, and nobody tries to make it anew.
#[tokio::test(flavor = "multi_thread")]
async fn hosts_are_watched_and_never_recreated() {
    let world = World::new(2).await;
    let policy = world
        .policy("heal", HEALTH, "1.2", polling(json!({"host_grace": 30})))
        .await;
    world.attach(world.hosts, policy).await;
    let engine = engine(&world).await;
    engine.sweep_health().await.unwrap();
    sweep(&world, &engine).await;
    assert_eq!(world.status(world.hosts).await, "ACTIVE");
    world.sims[0].set_down(true);
    world
        .db
        .execute("UPDATE hosts SET last_seen = now() - interval '100 seconds'")
        .await
        .unwrap();
    engine.beat_all().await.unwrap();
    sweep(&world, &engine).await;
    assert_eq!(world.status(world.hosts).await, "WARNING");
    assert_eq!(world.db.count(RECOVERIES).await.unwrap(), 0);
    world.sims[0].set_down(false);
    engine.beat_all().await.unwrap();
    sweep(&world, &engine).await;
    assert_eq!(world.status(world.hosts).await, "ACTIVE");
}

/// Hosts are shared among engines, and a dead one's move on when its leases end.
#[tokio::test(flavor = "multi_thread")]
async fn watches_are_shared_and_move_on() {
    use senlin_db::{health::watch, services::register};
    let world = World::new(4).await;
    let mut conn = world.db.db.session();
    let (one, two) = (ServiceId::random(), ServiceId::random());
    register(&mut conn, one, "a", "senlin-engine", "t").await.unwrap();
    assert_eq!(watch(&mut conn, one, 15.0).await.unwrap().len(), 4, "alone it has all");
    register(&mut conn, two, "b", "senlin-engine", "t").await.unwrap();
    assert_eq!(watch(&mut conn, two, 15.0).await.unwrap().len(), 0, "none is free yet");
    let kept = watch(&mut conn, one, 15.0).await.unwrap();
    assert_eq!(kept.len(), 2, "the first lets its surplus go");
    let list: Vec<String> = kept.iter().map(|id| format!("'{id}'")).collect();
    let lapse = format!(
        "UPDATE hosts SET watch_until = now() WHERE node_id NOT IN ({})",
        list.join(",")
    );
    world.db.execute(&lapse).await.unwrap();
    let taken = watch(&mut conn, two, 15.0).await.unwrap();
    assert_eq!(taken.len(), 2);
    assert!(taken.iter().all(|h| !kept.contains(h)));
    // The first dies: it says nothing more, and its leases end.
    let dead = format!("UPDATE services SET updated_at = now() - interval '16 seconds' WHERE id = '{one}'");
    world.db.execute(&dead).await.unwrap();
    let ended = format!("UPDATE hosts SET watch_until = now() WHERE watcher = '{one}'");
    world.db.execute(&ended).await.unwrap();
    assert_eq!(watch(&mut conn, two, 15.0).await.unwrap().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_loop_backs_off_and_a_budget_ends_it() {
    let world = World::new(1).await;
    let (_, engine) = watched(&world, 2, polling(json!({"budget": 3}))).await;
    let kill = || {
        for container in world.sims[0].list() {
            world.sims[0].kill_container(&container.id);
        }
    };
    kill();
    sweep(&world, &engine).await;
    assert_eq!(world.db.count(RECOVERIES).await.unwrap(), 2);
    // Each once more at once; the budget of three lets one of them.
    kill();
    sweep(&world, &engine).await;
    assert_eq!(world.db.count(RECOVERIES).await.unwrap(), 3);
    let held = "SELECT status_reason FROM events WHERE status = 'held back' ORDER BY seq";
    let told = column(&world, held).await;
    assert!(
        told.last()
            .unwrap()
            .contains("the cluster has had 3 within 600 s, which is its budget"),
        "{told:?}"
    );
    // Later there is a budget again, but one that was recovered twice lately waits.
    world
        .db
        .execute("UPDATE recoveries SET begun_at = begun_at - interval '1 hour'")
        .await
        .unwrap();
    kill();
    sweep(&world, &engine).await;
    assert_eq!(world.db.count(RECOVERIES).await.unwrap(), 5);
    kill();
    sweep(&world, &engine).await;
    kill();
    sweep(&world, &engine).await;
    assert_eq!(
        world.db.count(RECOVERIES).await.unwrap(),
        6,
        "the third of the hour is the last"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_host_is_unknown_then_left_and_tidied_up_when_it_returns() {
    let world = World::new(2).await;
    let (cluster, engine) = watched(&world, 4, polling(json!({"host_grace": 300}))).await;
    world.sims[0].set_down(true);
    world
        .db
        .execute("UPDATE hosts SET last_seen = now() - interval '100 seconds'")
        .await
        .unwrap();
    engine.beat_all().await.unwrap();
    sweep(&world, &engine).await;
    let unknown = "SELECT count(*) FROM nodes WHERE status = 'WARNING' AND status_reason LIKE 'Unknown:%'";
    let all = column(&world, "SELECT name || status || status_reason FROM nodes").await;
    assert_eq!(
        world.db.count(unknown).await.unwrap(),
        2,
        "unknown is not failed: {all:?}"
    );
    assert_eq!(world.db.count(RECOVERIES).await.unwrap(), 0);
    assert_eq!(world.status(cluster).await, "WARNING");

    // It returns in time: everything is as it was.
    world.sims[0].set_down(false);
    engine.beat_all().await.unwrap();
    assert_eq!(world.db.count(unknown).await.unwrap(), 0);
    assert_eq!(world.status(cluster).await, "ACTIVE");
    assert_eq!(world.db.count(RECOVERIES).await.unwrap(), 0);

    // It stays away beyond the grace: the members live elsewhere from then on.
    world.sims[0].set_down(true);
    world
        .db
        .execute(
            "UPDATE hosts SET last_seen = now() - interval '400 seconds', state = 'UP' WHERE endpoint LIKE '%-0?%'",
        )
        .await
        .unwrap();
    engine.beat_all().await.unwrap();
    sweep(&world, &engine).await;
    assert_eq!(world.db.count(RECOVERIES).await.unwrap(), 2);
    assert_eq!(world.sims[1].list().len(), 4);
    assert_eq!(world.status(cluster).await, "ACTIVE");
    // When it is back, what is stale there goes.
    world.sims[0].set_down(false);
    engine.beat_all().await.unwrap();
    assert_eq!(world.containers_by_host(), [0, 4]);
    world.assert_clean("silent host").await;
}

/// A member that was recovered often and whose host then goes silent waits,
/// and is not forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_on_a_silent_host_is_not_forgotten() {
    let world = World::new(2).await;
    let (cluster, engine) = watched(&world, 2, polling(json!({"host_grace": 30}))).await;
    world
        .db
        .execute(&format!(
            "INSERT INTO recoveries (cluster_id, node_id, action_id, reason)
            SELECT '{cluster}', id, gen_random_uuid(), 'x' FROM nodes, generate_series(1, 5) WHERE cluster_id = '{cluster}'"
        ))
        .await
        .unwrap();
    world.sims[0].set_down(true);
    world
        .db
        .execute(
            "UPDATE hosts SET last_seen = now() - interval '100 seconds', state = 'UP' WHERE endpoint LIKE '%-0?%'",
        )
        .await
        .unwrap();
    engine.beat_all().await.unwrap();
    sweep(&world, &engine).await;
    assert_eq!(world.db.count(RECOVERIES).await.unwrap(), 0);
    let reason = "SELECT status_reason FROM nodes WHERE status = 'WARNING' AND status_reason LIKE 'Unknown: %recovered several%'";
    assert_eq!(column(&world, reason).await.len(), 1);
    // It returns: what runs there is known again.
    world.sims[0].set_down(false);
    engine.beat_all().await.unwrap();
    sweep(&world, &engine).await;
    assert_eq!(world.status(cluster).await, "ACTIVE");
    // Or it does not, and the wait ends.
    world.sims[0].set_down(true);
    world
        .db
        .execute(
            "UPDATE hosts SET last_seen = now() - interval '100 seconds', state = 'UP' WHERE endpoint LIKE '%-0?%'",
        )
        .await
        .unwrap();
    engine.beat_all().await.unwrap();
    sweep(&world, &engine).await;
    world.db.execute("DELETE FROM recoveries").await.unwrap();
    sweep(&world, &engine).await;
    assert_eq!(world.db.count(RECOVERIES).await.unwrap(), 1);
    assert_eq!(world.sims[1].list().len(), 2);
    assert_eq!(world.status(cluster).await, "ACTIVE");
}

/// A server that takes connections and never answers: how many it has had.
async fn tar_pit() -> (u16, Arc<std::sync::atomic::AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let taken = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = taken.clone();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
            count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
    });
    (port, taken)
}

#[tokio::test(flavor = "multi_thread")]
async fn a12_members_are_asked_side_by_side_and_no_sweep_runs_beside_itself() {
    let world = World::new(1).await;
    let (port, taken) = tar_pit().await;
    let mode = json!({"type": "NODE_STATUS_POLL_URL", "options": {
        "poll_url": format!("http://127.0.0.1:{port}/"), "poll_url_retry_limit": 0,
        "poll_url_conn_error_as_unhealthy": false}});
    let policy = json!({"detection": {"interval": 30, "detection_modes": [mode]}, "recovery": {}});
    let profile = world.containers(json!({})).await;
    let (cluster, _) = world.cluster("web", profile, 6).await;
    let policy = world.policy("heal", HEALTH, "1.2", policy).await;
    world.settle().await;
    world.attach(cluster, policy).await;
    let engine = engine(&world).await;
    let sweeping = tokio::spawn({
        let engine = engine.clone();
        async move { engine.sweep_health().await.unwrap() }
    });
    let all = || async {
        anyhow::ensure!(taken.load(std::sync::atomic::Ordering::SeqCst) == 6);
        Ok(())
    };
    senlin_testkit::until(
        "all are asked before one is answered",
        std::time::Duration::from_secs(4),
        all,
    )
    .await
    .unwrap();
    world
        .db
        .execute("UPDATE cluster_policies SET due_at = now()")
        .await
        .unwrap();
    assert_eq!(engine.sweep_health().await.unwrap(), 0, "it goes on already");
    assert_eq!(sweeping.await.unwrap(), 1);
    assert_eq!(world.status(cluster).await, "ACTIVE");
}

#[tokio::test(flavor = "multi_thread")]
async fn a12_a_sweep_that_finds_no_news_writes_nothing_but_when_it_is_due() {
    let world = World::new(2).await;
    let (_, engine) = watched(&world, 4, polling(json!({}))).await;
    let versions = "SELECT xmin::text FROM nodes UNION ALL SELECT xmin::text FROM clusters";
    let (before, events) = (
        column(&world, versions).await,
        column(&world, "SELECT count(*)::text FROM events").await,
    );
    world
        .db
        .execute("UPDATE cluster_policies SET due_at = now()")
        .await
        .unwrap();
    assert_eq!(engine.sweep_health().await.unwrap(), 1);
    assert_eq!(column(&world, versions).await, before);
    assert_eq!(column(&world, "SELECT count(*)::text FROM events").await, events);
    let due = "SELECT count(*) FROM cluster_policies WHERE due_at > now() + interval '20 seconds'";
    assert_eq!(world.db.count(due).await.unwrap(), 1);
}

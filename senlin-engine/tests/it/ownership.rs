//! What an engine owns: renewed by name, handed back when nobody works on it,
//! let go in time when the database hangs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::ensure;
use senlin_core::{action::ActionKind, secret::Secret};
use senlin_db::{
    Db,
    leases::{self, OwnedClaim},
    queue::{self, Limits},
};
use senlin_engine::{
    Engine,
    actions::faults::{Fault, Faults, NoFaults, When},
};
use senlin_testkit::{proxy::Proxy, until};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{by_hand::ByHand, world::World};

const LIMITS: Limits = Limits {
    per_project: 100,
    per_host: 100,
    lease: 60,
};

const SOON: Duration = Duration::from_secs(30);

/// A handler that panics once.
#[derive(Default)]
struct Panics(AtomicBool);

impl Faults for Panics {
    fn at(&self, kind: ActionKind, step: &'static str, when: When) -> Fault {
        if (kind, step, when) == (ActionKind::NodeCreate, "create", When::After) && !self.0.swap(true, Ordering::SeqCst)
        {
            panic!("a fault in a handler");
        }
        Fault::None
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a1_a_panic_costs_a_try_and_nothing_else() {
    let world = World::new(1).await;
    let profile = world.containers(json!({})).await;
    let (_, action) = world.node("n", profile, None).await;
    let engine = world.engine(Arc::new(Panics::default())).await;
    engine.drain().await.unwrap();
    until("the claim to be handed back", SOON, async || {
        world.skip_waits().await;
        engine.drain().await?;
        let (status, reason) = world.outcome(action).await;
        ensure!(status == "SUCCEEDED", "{status}: {reason}");
        Ok(())
    })
    .await
    .unwrap();
    world.assert_clean("after a panic").await;
    world.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a1_a_claim_whose_answer_was_lost_goes_back() {
    let world = World::new(1).await;
    let profile = world.containers(json!({})).await;
    let (_, action) = world.node("n", profile, None).await;
    let engine = world.engine(Arc::new(NoFaults)).await;
    let mut conn = world.db.db.session();
    let claimed = queue::claim_nodes(&mut conn, engine.id(), 8, LIMITS).await.unwrap();
    assert_eq!(claimed.len(), 1);
    // Renewing what is held does nothing for it.
    assert_eq!(leases::renew(&mut conn, engine.id(), &[], 60).await.unwrap(), []);
    engine.release_strays().await.unwrap();
    let (status, reason) = world.outcome(action).await;
    assert_eq!(
        (status.as_str(), reason.as_str()),
        ("READY", "Its engine lost track of it.")
    );
    world.skip_waits().await;
    engine.drain().await.unwrap();
    assert_eq!(world.outcome(action).await.0, "SUCCEEDED");
    world.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a1_only_the_present_attempt_is_renewed() {
    let world = World::new(1).await;
    let profile = world.containers(json!({})).await;
    world.node("n", profile, None).await;
    let engine = world.engine(Arc::new(NoFaults)).await;
    let mut conn = world.db.db.session();
    let first = queue::claim_nodes(&mut conn, engine.id(), 8, LIMITS).await.unwrap()[0].clone();
    world.expire().await;
    queue::sweep(&mut conn).await.unwrap();
    world.skip_waits().await;
    let second = queue::claim_nodes(&mut conn, engine.id(), 8, LIMITS).await.unwrap()[0].clone();
    let (old, new) = (
        (first.action.id, first.action.attempt),
        (second.action.id, second.action.attempt),
    );
    assert_ne!(old, new);
    assert_eq!(leases::renew(&mut conn, engine.id(), &[old], 60).await.unwrap(), []);
    let renewed = leases::renew(&mut conn, engine.id(), &[old, new], 60).await.unwrap();
    assert_eq!(
        renewed,
        [OwnedClaim {
            claim: new,
            renewed: true,
            cancel: false
        }]
    );
    world.db.close().await.unwrap();
}

/// The world's only host does not answer any more: it takes connections and
/// says nothing.
/// Each failing creation writes, talks to its host and writes again, with one
/// connection for all of them.
#[tokio::test(flavor = "multi_thread")]
async fn a2_creations_that_fail_together_need_no_more_than_one_connection() {
    let world = World::new(1).await;
    let profile = world.containers(json!({"image": "missing"})).await;
    let (cluster, create) = world.cluster("web", profile, 40).await;
    let engine = world.engine(Arc::new(NoFaults)).await;
    tokio::time::timeout(2 * SOON, engine.drain())
        .await
        .expect("none waits for another's connection")
        .unwrap();
    assert_eq!(world.outcome(create).await.0, "FAILED");
    let failed = format!(
        "SELECT count(*) FROM nodes WHERE cluster_id = '{cluster}' AND status = 'ERROR' AND host_id IS NULL
            AND status_reason LIKE '%manifest unknown%'"
    );
    assert_eq!(world.db.count(&failed).await.unwrap(), 40);
    world.assert_clean("failed together").await;
    world.db.close().await.unwrap();
}

async fn darken(world: &World) -> TcpListener {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("tcp://{}", listener.local_addr().unwrap());
    let endpoint = json!([{"url": url, "allow_insecure": true}]);
    world
        .db
        .execute(&format!(
            "UPDATE profiles SET spec = jsonb_set(spec, '{{properties,endpoints}}', '{endpoint}') WHERE name = 'hosts';
            UPDATE hosts SET endpoint = '{url}'"
        ))
        .await
        .unwrap();
    listener
}

#[tokio::test(flavor = "multi_thread")]
async fn a3_a_dark_host_holds_no_connection_and_gets_one_heartbeat_at_a_time() {
    let world = World::new(1).await;
    let _host = darken(&world).await;
    let profile = world.containers(json!({})).await;
    // It has one connection to the database.
    let engine = world.engine(Arc::new(NoFaults)).await;
    let beating = tokio::spawn({
        let engine = engine.clone();
        async move { engine.beat_all().await }
    });
    let taken = "SELECT count(*) FROM hosts WHERE beat_at > now() - interval '1 minute'";
    until("the heartbeat to begin", SOON, async || {
        ensure!(world.db.count(taken).await? == 1 && engine.working_on() == 0, "not yet");
        Ok(())
    })
    .await
    .unwrap();
    // Another one has nothing to do, and actions go on.
    engine.beat_all().await.unwrap();
    let (_, action) = world.cluster("empty", profile, 0).await;
    engine.drain().await.unwrap();
    assert!(!beating.is_finished(), "the host is still waited for");
    assert_eq!(world.outcome(action).await.0, "SUCCEEDED");
    beating.abort();
    world.db.close().await.unwrap();
}

/// An engine that reaches its database through a proxy, with a short lease.
async fn behind_a_proxy(world: &World) -> (Proxy, Arc<Engine>) {
    let url = world.db.url();
    let (before, rest) = url.split_once('@').unwrap();
    let (server, after) = rest.split_once('/').unwrap();
    let proxy = Proxy::start(server).await.unwrap();
    let url = Secret::new(format!("{before}@{}/{after}", proxy.address()));
    let mut parts = world.parts(Db::connect(&url, 2).unwrap());
    (parts.settings.lease, parts.settings.renew, parts.settings.grace) = (6, 2, 1);
    (proxy, Engine::new(parts).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a4_work_stops_before_the_lease_ends_though_the_database_hangs() {
    let world = World::with(1, "hang=start:100&patience=600").await;
    let profile = world.containers(json!({})).await;
    let (_, action) = world.node("n", profile, None).await;
    let (proxy, engine) = behind_a_proxy(&world).await;
    let stop = CancellationToken::new();
    let running = tokio::spawn(engine.clone().run(stop.clone()));
    until("the container's start to hang", SOON, async || {
        ensure!(engine.working_on() == 1 && world.containers_by_host() == [1], "not yet");
        Ok(())
    })
    .await
    .unwrap();
    proxy.freeze();
    until("the work to stop", SOON, async || {
        ensure!(engine.working_on() == 0, "it goes on");
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(world.outcome(action).await.0, "RUNNING", "nobody could record anything");
    proxy.thaw();
    until("the action to be claimed again", SOON, async || {
        let attempts = format!("SELECT attempt FROM actions WHERE id = '{action}'");
        ensure!(world.db.count(&attempts).await? > 1, "not yet");
        Ok(())
    })
    .await
    .unwrap();
    stop.cancel();
    running.await.unwrap().unwrap();
    world.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a14_a_shutdown_is_bounded_and_claims_nothing() {
    let world = World::with(1, "hang=start:100&patience=600").await;
    let profile = world.containers(json!({})).await;
    for i in 0..3 {
        world.node(&format!("n{i}"), profile, None).await;
    }
    let mut parts = world.parts(world.db.db.apart(2).unwrap());
    (parts.settings.slots, parts.settings.grace) = (1, 1);
    let engine = Engine::new(parts).await.unwrap();
    let stop = CancellationToken::new();
    let running = tokio::spawn(engine.clone().run(stop.clone()));
    until("the only slot to be taken", SOON, async || {
        ensure!(world.containers_by_host() == [1], "not yet");
        Ok(())
    })
    .await
    .unwrap();
    stop.cancel();
    tokio::time::timeout(SOON, running).await.unwrap().unwrap().unwrap();
    let claimed = "SELECT count(*) FROM actions WHERE target_name IN ('n0', 'n1', 'n2') AND attempt > 0";
    assert_eq!(world.db.count(claimed).await.unwrap(), 1, "one slot, one claim");
    let owned = "SELECT count(*) FROM actions WHERE owner IS NOT NULL";
    assert_eq!(world.db.count(owned).await.unwrap(), 0, "everything was handed back");
    world.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a14_a_shutdown_ends_though_the_database_hangs() {
    let world = World::new(1).await;
    let (proxy, engine) = behind_a_proxy(&world).await;
    let stop = CancellationToken::new();
    let running = tokio::spawn(engine.clone().run(stop.clone()));
    until("the engine to announce itself", SOON, async || {
        let there = format!("SELECT count(*) FROM services WHERE id = '{}'", engine.id());
        ensure!(world.db.count(&there).await? == 1, "not yet");
        Ok(())
    })
    .await
    .unwrap();
    proxy.freeze();
    stop.cancel();
    tokio::time::timeout(SOON, running).await.unwrap().unwrap().unwrap();
    world.db.close().await.unwrap();
}

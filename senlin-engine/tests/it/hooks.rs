//! Members that are asked before they go.

use std::sync::Arc;

use senlin_core::{action::ActionKind, ids::*};
use senlin_engine::{Engine, actions::faults::NoFaults};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{by_hand::ByHand, world::World};

async fn engine(world: &World) -> Arc<Engine> {
    world.engine(Arc::new(NoFaults)).await
}

/// A server on loopback that takes one POST after the other.
async fn sink() -> (String, tokio::sync::mpsc::UnboundedReceiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (send, receive) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut all = Vec::new();
            let mut part = [0_u8; 4096];
            let body = loop {
                let n = stream.read(&mut part).await.unwrap_or(0);
                all.extend_from_slice(&part[..n]);
                let text = String::from_utf8_lossy(&all).into_owned();
                let body = text
                    .split_once("\r\n\r\n")
                    .and_then(|(_, b)| serde_json::from_str(b).ok());
                if n == 0 || body.is_some() {
                    break body;
                }
            };
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
            if let Some(body) = body {
                let _ = send.send(body);
            }
        }
    });
    (url, receive)
}

async fn column(world: &World, query: &str) -> Vec<String> {
    world.db.column(query).await.unwrap()
}

const WAITING: &str = "SELECT id::text FROM actions WHERE status = 'WAITING_LIFECYCLE_COMPLETION'";

#[tokio::test(flavor = "multi_thread")]
async fn a_member_is_asked_before_it_goes() {
    let world = World::new(1).await;
    let (url, mut received) = sink().await;
    let profile = world.containers(json!({})).await;
    let (cluster, _) = world.cluster("web", profile, 3).await;
    let hooks = json!({"type": "webhook", "timeout": 3600, "params": {"url": url}});
    let policy = world
        .policy("asks", "senlin.policy.deletion", "1.1", json!({"hooks": hooks}))
        .await;
    world.settle().await;
    world.attach(cluster, policy).await;
    let action = world
        .act(ActionKind::ClusterScaleIn, cluster, json!({"count": 1}))
        .await;
    let engine = engine(&world).await;
    engine.drain().await.unwrap();
    engine.ask_all().await.unwrap();
    // Nothing runs and nobody goes until the answer comes.
    let question = received.recv().await.unwrap();
    assert_eq!(question["lifecycle_transition_type"], "termination");
    assert_eq!(
        column(&world, WAITING).await,
        [question["lifecycle_action_token"].as_str().unwrap()]
    );
    world.skip_waits().await;
    engine.drain().await.unwrap();
    engine.ask_all().await.unwrap();
    assert!(received.try_recv().is_err(), "it is asked once");
    assert_eq!(world.sims[0].list().len(), 3);
    assert_eq!(world.outcome(action).await.0, "WAITING");

    let token: ActionId = question["lifecycle_action_token"].as_str().unwrap().parse().unwrap();
    let mut conn = world.db.db.session();
    assert!(senlin_db::hooks::heartbeat(&mut conn, token).await.unwrap());
    assert!(senlin_db::hooks::answered(&mut conn, token, "done").await.unwrap());
    assert!(
        !senlin_db::hooks::answered(&mut conn, token, "done").await.unwrap(),
        "once"
    );
    world.settle().await;
    assert_eq!(world.outcome(action).await.0, "SUCCEEDED");
    assert_eq!(world.sims[0].list().len(), 2);

    // One that never answers goes at its time; a user's own deletion asks too.
    let node = format!("SELECT id FROM nodes WHERE cluster_id = '{cluster}' ORDER BY index LIMIT 1");
    let node: NodeId = column(&world, &node).await[0].parse().unwrap();
    let delete = world.act_on_node(ActionKind::NodeDelete, node, json!({})).await;
    engine.drain().await.unwrap();
    engine.ask_all().await.unwrap();
    assert_eq!(received.recv().await.unwrap()["lifecycle_action_token"], json!(delete));
    assert_eq!(world.sims[0].list().len(), 2);
    world
        .db
        .execute("UPDATE actions SET run_after = now() WHERE status = 'WAITING_LIFECYCLE_COMPLETION'")
        .await
        .unwrap();
    world.settle().await;
    assert_eq!(world.outcome(delete).await.0, "SUCCEEDED");
    assert_eq!(world.sims[0].list().len(), 1);
    let told = "SELECT status_reason FROM events WHERE status = 'lifecycle' ORDER BY seq";
    assert_eq!(
        column(&world, told).await,
        ["done", "No answer to the lifecycle hook within 3600 s."]
    );
    world.assert_clean("hooks").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_is_asked_and_a_cancel_ends_the_wait() {
    let world = World::new(1).await;
    let profile = world.containers(json!({})).await;
    let (cluster, _) = world.cluster("web", profile, 2).await;
    let hooks = json!({"timeout": 3600, "params": {"queue": "drains"}});
    let policy = world
        .policy("asks", "senlin.policy.deletion", "1.1", json!({"hooks": hooks}))
        .await;
    world.settle().await;
    world.attach(cluster, policy).await;
    let action = world
        .act(ActionKind::ClusterScaleIn, cluster, json!({"count": 1}))
        .await;
    let engine = engine(&world).await;
    engine.drain().await.unwrap();
    engine.ask_all().await.unwrap();
    let messages = world.bus.drain("lifecycle.p1.drains");
    assert_eq!(messages.len(), 1);
    assert!(messages[0].contains("lifecycle_action_token"));
    world
        .db
        .execute(&format!("UPDATE actions SET control = 'CANCEL' WHERE id = '{action}'"))
        .await
        .unwrap();
    world.settle().await;
    assert_eq!(world.outcome(action).await.0, "CANCELLED");
    assert_eq!(world.sims[0].list().len(), 2, "it stays");
    world.assert_clean("cancelled hook").await;
}

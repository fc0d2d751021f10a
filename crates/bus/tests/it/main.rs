//! One suite, on every bus; and what only a broker can do to us.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it counted"
)]

use std::{sync::Arc, time::Duration};

use senlin_bus::{AmqpBus, AmqpSettings, Answer, Bus, CallError, Fault, LocalBus, Reply, Request};
use senlin_core::{Map, ids::ActionId, secret::Secret};
use senlin_testkit::{amqp_url, services, until};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

mod hang;

const SOON: Duration = Duration::from_secs(30);

struct Echo;

#[async_trait::async_trait]
impl Answer for Echo {
    async fn answer(&self, request: Request) -> Reply {
        match request.verb.as_str() {
            "echo" => Ok(Value::Object(request.body)),
            "sleep" => {
                tokio::time::sleep(Duration::from_secs(3)).await;
                Ok(Value::Null)
            }
            other => Err(Fault {
                status: 400,
                message: format!("no {other}"),
            }),
        }
    }
}

fn request(verb: &str) -> Request {
    let body = Map::from_iter([("n".to_owned(), json!(7))]);
    Request {
        request_id: "req-1".to_owned(),
        verb: verb.to_owned(),
        body,
    }
}

async fn amqp() -> AmqpBus {
    let bus = AmqpBus::start(settings(&amqp_url().unwrap()));
    connected(&bus).await;
    bus
}

/// Queues of a test's own.
fn settings(url: &Secret) -> AmqpSettings {
    AmqpSettings::new(url, &format!("bus-{}", ActionId::random()), None).unwrap()
}

async fn connected(bus: &dyn Bus) {
    until("the bus to connect", SOON, || async {
        anyhow::ensure!(bus.connected());
        Ok(())
    })
    .await
    .unwrap();
}

/// Calls until an engine is heard.
async fn echoes(bus: &dyn Bus) {
    until("an answer", SOON, || async {
        let answer = bus.call(request("echo"), Duration::from_secs(2)).await?;
        anyhow::ensure!(answer == Ok(json!({"n": 7})));
        Ok(())
    })
    .await
    .unwrap();
}

/// What was put into a queue is there for others, whoever comes first.
async fn holds(bus: &dyn Bus, take: impl AsyncFn(&str) -> Option<String>) {
    assert_eq!(take("drains").await, None);
    for n in 0..3 {
        bus.put("drains", format!("{{\"n\": {n}}}"), 300).await.unwrap();
    }
    for n in 0..3 {
        assert_eq!(take("drains").await, Some(format!("{{\"n\": {n}}}")));
    }
    assert_eq!(take("drains").await, None);
}

async fn suite(bus: Arc<dyn Bus>) {
    // Hints: each to one listener.
    let mut one = bus.hints().await.unwrap();
    let mut two = bus.hints().await.unwrap();
    // A listener may take a moment to be heard of; what is sent waits for it.
    for _ in 0..20 {
        bus.wake(&[ActionId::random()], "req-1");
    }
    let mut heard = 0;
    while heard < 20 {
        let hint = tokio::time::timeout(SOON, async {
            tokio::select! { hint = one.next() => hint, hint = two.next() => hint }
        });
        assert_eq!(hint.await.unwrap().unwrap().request_id, "req-1");
        heard += 1;
    }

    // Requests.
    assert_eq!(
        bus.call(request("echo"), Duration::from_secs(2)).await,
        Err(CallError::NoEngine)
    );
    let stop = CancellationToken::new();
    let (server, stopped) = (bus.clone(), stop.clone());
    let serving = tokio::spawn(async move { server.serve(Arc::new(Echo), stopped).await });
    echoes(bus.as_ref()).await;
    let fault = bus
        .call(request("nonsense"), Duration::from_secs(2))
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!((fault.status, fault.message.as_str()), (400, "no nonsense"));
    let late = bus.call(request("sleep"), Duration::from_millis(300)).await;
    assert_eq!(late, Err(CallError::TimedOut(Duration::from_millis(300))));
    // Many at once, each its own answer.
    let calls: Vec<_> = (0..50)
        .map(|_| bus.call(request("echo"), Duration::from_secs(5)))
        .collect();
    for answer in futures_util::future::join_all(calls).await {
        assert_eq!(answer.unwrap().unwrap(), json!({"n": 7}));
    }
    stop.cancel();
    serving.await.unwrap().unwrap();
    until("nobody to be there", SOON, || async {
        let answer = bus.call(request("echo"), Duration::from_millis(500)).await;
        anyhow::ensure!(answer == Err(CallError::NoEngine), "{answer:?}");
        Ok(())
    })
    .await
    .unwrap();
    bus.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn within_one_process() {
    let bus = LocalBus::default();
    let left = std::sync::Mutex::new(std::collections::VecDeque::new());
    holds(&bus, async |queue| {
        let mut left = left.lock().unwrap();
        left.extend(bus.drain(queue));
        left.pop_front()
    })
    .await;
    suite(Arc::new(LocalBus::default())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_rabbitmq_and_through_its_death() {
    let bus = amqp().await;
    let properties = lapin::ConnectionProperties::default();
    let connection = lapin::Connection::connect(amqp_url().unwrap().expose(), properties)
        .await
        .unwrap();
    holds(&bus, async |queue| {
        // A channel of its own: asking for a queue that is not there closes it.
        let channel = connection.create_channel().await.unwrap();
        let name = format!("{}.{queue}", bus.prefix());
        let options = lapin::options::BasicGetOptions { no_ack: true };
        let got = channel.basic_get(name.into(), options).await.ok().flatten();
        got.map(|m| String::from_utf8(m.delivery.data).unwrap())
    })
    .await;
    bus.close().await;
    suite(Arc::new(amqp().await)).await;

    // Killed, away for longer than lapin's own patience would need, and back.
    let bus = Arc::new(amqp().await);
    let mut hints = bus.hints().await.unwrap();
    let stop = CancellationToken::new();
    let (server, stopped) = (bus.clone(), stop.clone());
    let serving = tokio::spawn(async move { server.serve(Arc::new(Echo), stopped).await });
    echoes(bus.as_ref()).await;
    services("kill-rabbit").unwrap();
    until("the loss to be noticed", SOON, || async {
        anyhow::ensure!(!bus.connected());
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(
        bus.call(request("echo"), Duration::from_secs(1)).await,
        Err(CallError::Unavailable)
    );
    bus.wake(&[ActionId::random()], "lost");

    // One that is started while there is no broker waits for it.
    let late = AmqpBus::start(settings(&amqp_url().unwrap()));
    assert!(!late.connected());

    services("start-rabbit").unwrap();
    connected(bus.as_ref()).await;
    connected(&late).await;
    echoes(bus.as_ref()).await;
    let mut found = false;
    for _ in 0..60 {
        bus.wake(&[ActionId::random()], "found");
        let hint = tokio::time::timeout(Duration::from_millis(500), hints.next()).await;
        found = matches!(hint, Ok(Some(h)) if h.request_id == "found");
        if found {
            break;
        }
    }
    assert!(found, "hints go on");
    stop.cancel();
    serving.await.unwrap().unwrap();
}

//! Brokers that hang instead of dying, and queues that are there already.

use lapin::{
    options::{BasicGetOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};
use senlin_testkit::gate::Gate;

use super::*;

/// What comes before and after `host:port` in the broker's URL, and that.
fn parts() -> (String, String, String) {
    let url = amqp_url().unwrap().expose().to_owned();
    let (before, rest) = url.rsplit_once('@').unwrap();
    let (place, after) = rest.split_once('/').unwrap();
    (format!("{before}@"), place.to_owned(), format!("/{after}"))
}

async fn gate() -> Gate {
    Gate::before(&parts().1, "127.0.0.1:0").await.unwrap()
}

fn url(gates: &[&Gate]) -> Secret {
    let (before, _, after) = parts();
    let places: Vec<&str> = gates.iter().map(|g| g.address.as_str()).collect();
    Secret::new(format!("{before}{}{after}", places.join(",")))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_hangs_holds_nothing_up_and_leaves_nothing_open() {
    let gate = gate().await;
    let bus = Arc::new(AmqpBus::start(settings(&url(&[&gate]))));
    connected(bus.as_ref()).await;
    let stop = CancellationToken::new();
    let (server, stopped) = (bus.clone(), stop.clone());
    let serving = tokio::spawn(async move { server.serve(Arc::new(Echo), stopped).await });
    echoes(bus.as_ref()).await;

    gate.shut();
    bus.wake(&[ActionId::random()], "lost");
    // Its deadline is far off; that the broker does not confirm is known before.
    let call = bus.call(request("echo"), Duration::from_secs(600));
    let answer = tokio::time::timeout(SOON, call).await.unwrap();
    assert_eq!(answer, Err(CallError::Unavailable));
    assert!(!bus.connected());
    let put = bus.put("drains", "{}".to_owned(), 60);
    let answer = tokio::time::timeout(SOON, put).await.unwrap();
    assert_eq!(answer, Err(CallError::Unavailable));

    // It is asked again and again, and what did not answer is closed.
    let before = gate.accepted();
    until("more tries", SOON * 2, || async {
        anyhow::ensure!(gate.accepted() >= before + 6, "{}", gate.accepted());
        Ok(())
    })
    .await
    .unwrap();
    println!("{} connections tried, {} open", gate.accepted(), gate.present());
    assert!(gate.present() <= 6, "{} connections are open", gate.present());

    gate.open();
    connected(bus.as_ref()).await;
    echoes(bus.as_ref()).await;
    stop.cancel();
    tokio::time::timeout(SOON, serving).await.unwrap().unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_broker_is_asked_when_one_hangs_or_is_gone() {
    let (one, two) = (gate().await, gate().await);
    let all = url(&[&one, &two]);
    let mut settings = settings(&all);
    assert!(settings.quorum, "several brokers are a cluster");
    settings.quorum = false;
    let bus = Arc::new(AmqpBus::start(settings));
    let stop = CancellationToken::new();
    let (server, stopped) = (bus.clone(), stop.clone());
    let serving = tokio::spawn(async move { server.serve(Arc::new(Echo), stopped).await });
    connected(bus.as_ref()).await;
    echoes(bus.as_ref()).await;
    assert_eq!(two.accepted(), 0, "the first one is enough");

    one.shut();
    echoes(bus.as_ref()).await;
    assert!(two.accepted() > 0);
    // And back, when the other one is gone for good.
    one.open();
    drop(two);
    bus.put("drains", "{}".to_owned(), 60).await.unwrap();
    stop.cancel();
    serving.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_are_quorum_queues_unless_they_are_there_already() {
    let mut settings = settings(&amqp_url().unwrap());
    settings.quorum = true;
    let prefix = settings.prefix.clone();
    let connection = lapin::Connection::connect(amqp_url().unwrap().expose(), lapin::ConnectionProperties::default())
        .await
        .unwrap();
    let channel = connection.create_channel().await.unwrap();
    let declare = async |name: String, key: &'static str, value: AMQPValue| {
        let mut properties = FieldTable::default();
        properties.insert(key.into(), value);
        let options = QueueDeclareOptions::durable();
        channel
            .queue_declare(name.as_str().into(), options, properties)
            .await
            .map(drop)
    };
    declare(format!("{prefix}.mine"), "x-max-length", AMQPValue::LongInt(7))
        .await
        .unwrap();

    let bus = AmqpBus::start(settings);
    connected(&bus).await;
    let mut hints = bus.hints().await.unwrap();
    bus.wake(&[ActionId::random()], "found");
    let hint = tokio::time::timeout(SOON, hints.next()).await.unwrap().unwrap();
    assert_eq!(hint.request_id, "found");
    for queue in ["mine", "made"] {
        bus.put(queue, format!("{{\"in\": \"{queue}\"}}"), 300).await.unwrap();
        let name = format!("{prefix}.{queue}");
        let got = channel
            .basic_get(name.as_str().into(), BasicGetOptions { no_ack: true })
            .await
            .unwrap()
            .unwrap();
        assert_eq!(got.delivery.data, format!("{{\"in\": \"{queue}\"}}").into_bytes());
    }
    // To declare a queue as it is does nothing; as it is not, is refused.
    for queue in ["made", "wake.quorum"] {
        let kind = AMQPValue::LongString("quorum".into());
        declare(format!("{prefix}.{queue}"), "x-queue-type", kind)
            .await
            .unwrap();
    }
    bus.close().await;
}

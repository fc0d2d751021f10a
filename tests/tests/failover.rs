//! Servers that die and are replaced, hang, or come late: PostgreSQL with a
//! synchronous standby, RabbitMQ of three nodes, and programs that start first.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it counted"
)]

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use hyper::Method;
use senlin_testkit::{TestDb, until};
use senlin_tests::{
    brokers::Brokers,
    hosts::Hosts,
    http::{Client, raw, text},
    pair::Pair,
    programs::{self, Plane, TOKEN},
    story::{MINUTE, container},
};
use serde_json::{Value, json};

const CREATIONS: usize = 20;

/// Applies the migrations, as an operator would.
fn migrate(url: &str) {
    let out = std::process::Command::new(programs::path("senlin").unwrap())
        .arg("migrate")
        .env("SENLIN__DATABASE__URL", url)
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

/// Asks for a cluster of one until it is accepted; its action. What was not
/// accepted may have been recorded nevertheless: each try has a name of its own.
async fn create(client: Client, profile: String, name: String) -> String {
    let end = Instant::now() + 2 * MINUTE;
    for tries in 0.. {
        let body = json!({"cluster": {"name": format!("{name}-{tries}"), "profile_id": profile,
            "desired_capacity": 1}});
        let url = format!("{}/v1/clusters", client.base());
        let headers = [("X-Auth-Token", TOKEN), ("OpenStack-API-Version", "clustering 1.15")];
        match raw(Method::POST, &url, &headers, Some(&body)).await {
            Ok((202, headers, _)) => {
                let location = headers["location"].to_str().unwrap();
                return location.rsplit('/').next().unwrap().to_owned();
            }
            Ok((status, _, answer)) => assert!(status >= 500, "{status}: {answer}"),
            Err(error) => println!("{name}: {error:#}"),
        }
        assert!(Instant::now() < end, "{name} is never accepted");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    unreachable!("it is accepted, or the test has failed")
}

fn creations(plane: &Plane, profile: &str, which: std::ops::Range<usize>) -> Vec<tokio::task::JoinHandle<String>> {
    let one = |n| tokio::spawn(create(plane.client.clone(), profile.to_owned(), format!("c{n}")));
    which.map(one).collect()
}

async fn all_succeed(client: &Client, actions: &[String]) {
    for action in actions {
        client.ended(action, 2 * MINUTE).await.unwrap();
    }
}

/// Every node, all ACTIVE, and what it is: a container, or one of the hosts.
async fn members(client: &Client) -> Vec<(String, String)> {
    let nodes = client.get("/v1/nodes").await.unwrap();
    let nodes = nodes["nodes"].as_array().unwrap();
    let ours = nodes
        .iter()
        .filter(|n| n["name"].as_str().unwrap().starts_with("node-"));
    ours.map(|n| {
        assert_eq!(n["status"], "ACTIVE", "{n}");
        (text(n, "/id").unwrap(), text(n, "/physical_id").unwrap())
    })
    .collect()
}

/// The primary dies in the middle of twenty creations; the standby goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_standby_has_all_that_was_acknowledged() {
    let pair = Pair::start().unwrap();
    migrate(&pair.url());
    let hosts = Hosts::start(1, 51).unwrap();
    let plane = Plane::on(TestDb::at(&pair.url()).unwrap(), 2, "").await.unwrap();
    let shared = plane.hosts(&[hosts.all[0].endpoint()]).await.unwrap();
    let profile = plane
        .client
        .profile("c", "container.dockerinc.docker", "1.1", container(&json!({})))
        .await
        .unwrap();

    let first = creations(&plane, &profile, 0..CREATIONS / 2);
    until("the first containers", MINUTE, || async {
        anyhow::ensure!(hosts.all[0].labelled("senlin.node")?.len() >= 2);
        Ok(())
    })
    .await
    .unwrap();
    pair.kill_primary().unwrap();
    let before = hosts.all[0].labelled("senlin.node").unwrap().len();
    let second = creations(&plane, &profile, CREATIONS / 2..CREATIONS);
    pair.promote().unwrap();
    let promoted = Instant::now();
    until("writes to be taken", MINUTE, || async {
        let body = json!({"profile": {"name": "probe", "spec": {"type": "container.dockerinc.docker",
            "version": "1.1", "properties": container(&json!({}))}}});
        plane.client.post("/v1/profiles", &body).await
    })
    .await
    .unwrap();
    println!(
        "{before} containers were there when the primary died; requests go on {:?} after the promotion",
        promoted.elapsed()
    );

    let mut actions = Vec::new();
    for creation in first.into_iter().chain(second) {
        actions.push(creation.await.unwrap());
    }
    all_succeed(&plane.client, &actions).await;
    println!("all have ended {:?} after the promotion", promoted.elapsed());

    // What was recorded and not acknowledged ends as well.
    until("nothing to be under way", MINUTE, || async {
        let left = "SELECT count(*) FROM actions WHERE status NOT IN ('SUCCEEDED', 'FAILED', 'CANCELLED')";
        let left = plane.db.count(left).await?;
        anyhow::ensure!(left == 0, "{left} actions are under way");
        Ok(())
    })
    .await
    .unwrap();
    let nodes = plane
        .db
        .column("SELECT n.id FROM nodes n JOIN clusters c ON c.id = n.cluster_id WHERE c.name ~ '^c[0-9]'");
    let nodes: BTreeSet<String> = nodes.await.unwrap().into_iter().collect();
    let line = "ps -a --filter label=senlin.node --format '{{.Label \"senlin.node\"}}'";
    let containers = hosts.all[0].docker(line).unwrap();
    let containers: Vec<&str> = containers.lines().collect();
    println!(
        "{} accepted, {} nodes, {} containers",
        actions.len(),
        nodes.len(),
        containers.len()
    );
    let distinct: BTreeSet<String> = containers.iter().map(|c| (*c).to_owned()).collect();
    assert_eq!(distinct.len(), containers.len(), "a node has two containers");
    assert_eq!(
        distinct, nodes,
        "every node has its container, and nothing else is there"
    );
    assert!(nodes.len() >= CREATIONS);
    plane.client.active(&shared, 1, MINUTE).await.unwrap();
}

/// Brokers die and hang; hints get lost, actions do not.
#[tokio::test(flavor = "multi_thread")]
async fn brokers_die_and_hang_and_creations_go_on() {
    let brokers = Brokers::start().unwrap();
    let db = TestDb::new().await.unwrap();
    let plane = Plane::over(&brokers.url(), db, 1, "[rules]\nallow_simulated = true\n")
        .await
        .unwrap();
    plane
        .hosts(&["sim://brokers-a".to_owned(), "sim://brokers-b".to_owned()])
        .await
        .unwrap();
    let profile = plane
        .client
        .profile(
            "c",
            "container.dockerinc.docker",
            "1.1",
            container(&json!({"command": ["sleep", "1"]})),
        )
        .await
        .unwrap();
    let batch = async |word: &str, from: usize| {
        let begun = Instant::now();
        let mut actions = Vec::new();
        for creation in creations(&plane, &profile, from..from + CREATIONS / 4) {
            actions.push(creation.await.unwrap());
        }
        all_succeed(&plane.client, &actions).await;
        println!("{word}: {} creations in {:?}", actions.len(), begun.elapsed());
    };
    let connected = async || {
        let begun = Instant::now();
        until("the API to be ready", MINUTE, || async {
            plane.client.get("/readyz").await
        })
        .await
        .unwrap();
        println!("the bus is connected after {:?}", begun.elapsed());
    };
    // The first of the list is the one that everybody is connected to.
    brokers.kill(0);
    batch("one broker killed", 0).await;
    connected().await;
    brokers.signal(1, "-STOP");
    batch("one killed, one frozen", CREATIONS / 4).await;
    brokers.launch(0).unwrap();
    brokers.signal(1, "-CONT");
    batch("both come back", CREATIONS / 2).await;
    brokers.whole().unwrap();
    connected().await;
    // Whoever of the three it is connected to now, the queue has a majority.
    brokers.signal(2, "-STOP");
    batch("another one frozen", CREATIONS * 3 / 4).await;
    connected().await;
    brokers.signal(2, "-CONT");

    let nodes = members(&plane.client).await;
    let containers: BTreeSet<&String> = nodes.iter().map(|(_, container)| container).collect();
    println!("{} nodes, {} containers and hosts", nodes.len(), containers.len());
    assert_eq!(nodes.len(), CREATIONS + 2);
    let clusters = plane.client.get("/v1/clusters").await.unwrap();
    assert_eq!(clusters["clusters"].as_array().unwrap().len(), CREATIONS + 1);
    assert_eq!(containers.len(), nodes.len());
    let failed = plane
        .db
        .count("SELECT count(*) FROM actions WHERE status <> 'SUCCEEDED'");
    assert_eq!(failed.await.unwrap(), 0);
}

/// `/healthz` and `/readyz` of a server.
async fn health(base: &str) -> anyhow::Result<(u16, u16, String)> {
    let (alive, _, _) = raw(Method::GET, &format!("{base}/healthz"), &[], None).await?;
    let (ready, _, why) = raw(Method::GET, &format!("{base}/readyz"), &[], None).await?;
    Ok((alive, ready, why.as_str().unwrap_or_default().to_owned()))
}

async fn says(bases: &[String], ready: u16, words: &str) {
    for base in bases {
        until(&format!("{base} to say '{words}'"), MINUTE, || async {
            let said = health(base).await?;
            let fits = (said.0, said.1) == (200, ready) && said.2.contains(words);
            anyhow::ensure!(fits, "{said:?}");
            Ok(())
        })
        .await
        .unwrap();
    }
}

/// API and engine are there first; then a server, then a schema.
#[tokio::test(flavor = "multi_thread")]
async fn programs_wait_for_their_database_and_say_so() {
    let db = TestDb::empty().await.unwrap();
    let url = db.url().to_owned();
    let real = url.rsplit_once('@').unwrap().1.split('/').next().unwrap().to_owned();
    let place = programs::unused().unwrap();
    let secret = "hidden-swordfish";
    let through = url.replacen(&format!("senlin@{real}"), &format!("senlin:{secret}@{place}"), 1);
    let mut plane = Plane::begin(TestDb::at(&through).unwrap(), 1, "").unwrap();
    let bases = [plane.client.base().to_owned(), plane.ops[0].clone()];
    says(&bases, 503, &format!("waiting for the database: {place}: ")).await;
    let (status, _) = plane.client.call(Method::GET, "/v1/clusters", None).await.unwrap();
    assert_eq!(status, 503, "not 404: it may be there");

    // Told to stop, they stop; the log has said what it was once.
    let began = Instant::now();
    assert!(plane.api.terminate().unwrap());
    assert!(plane.engines[0].terminate().unwrap());
    println!("both ended within {:?}", began.elapsed());
    let logs = plane.logs();
    assert_eq!(logs.matches("waiting for the database").count(), 2, "{logs}");
    assert!(logs.contains(&place) && !logs.contains(secret), "{logs}");

    plane.again().unwrap();
    let gate = senlin_testkit::gate::Gate::before(&real, &place).await.unwrap();
    says(&bases, 503, "run 'senlin migrate'").await;
    migrate(&through);
    says(&bases, 200, "ready").await;
    let listed: Value = plane.client.get("/v1/clusters").await.unwrap();
    assert_eq!(listed["clusters"], json!([]));
    drop((gate, plane));
}

/// A database that will not be there however long one waits.
#[tokio::test(flavor = "multi_thread")]
async fn programs_end_when_the_server_refuses_them() {
    let db = TestDb::empty().await.unwrap();
    let (base, _) = db.url().rsplit_once('/').unwrap();
    let unknown = format!("{base}/there_is_none");
    let mut plane = Plane::begin(TestDb::at(&unknown).unwrap(), 1, "").unwrap();
    until("both to end", MINUTE, || async {
        anyhow::ensure!(plane.logs().matches("Error: ").count() == 2, "{}", plane.logs());
        Ok(())
    })
    .await
    .unwrap();
    let ended = [plane.api.wait().unwrap(), plane.engines[0].wait().unwrap()];
    assert_eq!(ended, [false, false]);
    let logs = plane.logs();
    let place = base.rsplit_once('@').unwrap().1;
    for line in logs.lines().filter(|l| l.starts_with("Error: ")) {
        for word in ["the database: ", place, "user 'senlin'", "database 'there_is_none'"] {
            assert!(line.contains(word), "{line}");
        }
    }
}

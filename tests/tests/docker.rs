//! End to end on two real Docker hosts: what a tenant does, and what dies
//! meanwhile. The programs are the real ones, and so is everything they talk to.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it counted"
)]

use std::{collections::BTreeMap, time::Duration};

use senlin_tests::{hosts::Hosts, http::text, programs::Plane};
use serde_json::{Value, json};

const MINUTE: Duration = Duration::from_secs(60);

fn container(extra: Value) -> Value {
    let mut properties = json!({"image": "senlin/busybox:latest", "pull_policy": "never", "command": ["sleep", "100000"],
        "stop_grace_period": 0, "host_cluster": "hosts", "init": true});
    properties
        .as_object_mut()
        .unwrap()
        .extend(extra.as_object().unwrap().clone());
    properties
}

/// Node id of every container of ours, by host.
fn ours(hosts: &Hosts) -> BTreeMap<String, usize> {
    let mut nodes = BTreeMap::new();
    for host in &hosts.all {
        let line = "ps -a --filter label=senlin.node --format '{{.Label \"senlin.node\"}}'";
        for node in host.docker(line).unwrap().lines() {
            *nodes.entry(node.to_owned()).or_insert(0) += 1;
        }
    }
    nodes
}

/// All stories share two daemons, for starting them costs seconds.
#[tokio::test(flavor = "multi_thread")]
async fn two_real_hosts() {
    let hosts = Hosts::start(2, 41).unwrap();
    let endpoints: Vec<String> = hosts.all.iter().map(|h| h.endpoint()).collect();
    for host in &hosts.all {
        host.docker("run -d --name foreign senlin/busybox sleep 100000")
            .unwrap();
    }
    life(&hosts, &endpoints).await;
    engine_killed(&hosts, &endpoints).await;
    broker_killed(&hosts, &endpoints).await;
    daemon_restarted(&hosts, &endpoints).await;
    for host in &hosts.all {
        assert_eq!(
            host.docker("ps --format '{{.Names}}'").unwrap().trim(),
            "foreign",
            "only the foreign one is left"
        );
    }
}

/// Create 20, scale, recover, delete.
async fn life(hosts: &Hosts, endpoints: &[String]) {
    let plane = Plane::start(1, "").await.unwrap();
    let client = &plane.client;
    plane.hosts(endpoints).await.unwrap();
    let profile = client
        .profile("web", "container.dockerinc.docker", "1.1", container(json!({})))
        .await
        .unwrap();
    let cluster = client.cluster("web", &profile, 20).await.unwrap();
    client.active(&cluster, 20, MINUTE * 2).await.unwrap();
    let per_host: Vec<usize> = hosts
        .all
        .iter()
        .map(|h| h.labelled("senlin.node").unwrap().len())
        .collect();
    assert_eq!(per_host, [10, 10], "spread evenly");

    client
        .act(&cluster, &json!({"scale_in": {"count": 5}}), MINUTE)
        .await
        .unwrap();
    client.active(&cluster, 15, MINUTE).await.unwrap();
    assert_eq!(ours(hosts).len(), 15);

    let victim = hosts.all[0].labelled("senlin.node").unwrap().remove(0);
    hosts.all[0].docker(&format!("kill {victim}")).unwrap();
    client.act(&cluster, &json!({"check": {}}), MINUTE).await.unwrap_err();
    client
        .act(&cluster, &json!({"recover": {"operation": "RECREATE"}}), MINUTE)
        .await
        .unwrap();
    client.active(&cluster, 15, MINUTE).await.unwrap();
    assert_eq!(ours(hosts).values().sum::<usize>(), 15);

    // A node's physical id is the container's full id, and details show no secret.
    let nodes = client
        .get(&format!("/v1/nodes?cluster_id={cluster}&limit=1"))
        .await
        .unwrap();
    let id = text(&nodes, "/nodes/0/id").unwrap();
    assert_eq!(text(&nodes, "/nodes/0/physical_id").unwrap().len(), 64);
    let shown = client.get(&format!("/v1/nodes/{id}?show_details=true")).await.unwrap();
    assert_eq!(text(&shown, "/node/details/State/Status").unwrap(), "running");

    let path = format!("/v1/clusters/{cluster}/attrs/details.State.Status");
    let collected = client.get(&path).await.unwrap();
    let values = collected["cluster_attributes"].as_array().unwrap();
    assert_eq!(values.len(), 15, "{collected}");
    assert!(values.iter().all(|v| v["value"] == "running"), "{collected}");

    // A host that has containers cannot go.
    let host = client.get("/v1/nodes?cluster_id=hosts&limit=1").await.unwrap();
    let path = format!("/v1/nodes/{}", text(&host, "/nodes/0/id").unwrap());
    let (status, body) = client.call(hyper::Method::DELETE, &path, None).await.unwrap();
    assert_eq!(status, 409, "{body}");
    assert!(
        text(&body, "/error/message").unwrap().contains("node-"),
        "it names them: {body}"
    );

    operations(client, &id).await;
    adopted(hosts, client).await;

    client.delete_cluster(&cluster, MINUTE).await.unwrap();
    assert_eq!(ours(hosts).len(), 0, "nothing of ours is left on either host");
    let secrets = plane.logs();
    assert!(
        !secrets.contains(senlin_tests::programs::TOKEN),
        "the token is in no log"
    );
}

async fn operations(client: &senlin_tests::http::Client, node: &str) {
    for (operation, status) in [
        ("pause", "WARNING"),
        ("unpause", "ACTIVE"),
        ("stop", "WARNING"),
        ("start", "ACTIVE"),
        ("restart", "ACTIVE"),
    ] {
        let accepted = client
            .post(&format!("/v1/nodes/{node}/ops"), &json!({operation: {}}))
            .await
            .unwrap();
        client
            .ended(&text(&accepted, "/action").unwrap(), MINUTE)
            .await
            .unwrap();
        let shown = client.get(&format!("/v1/nodes/{node}")).await.unwrap();
        assert_eq!(
            text(&shown, "/node/status").unwrap(),
            status,
            "after {operation}: {shown}"
        );
    }
}

/// A container that was there before is taken over, looked at, and deleted.
async fn adopted(hosts: &Hosts, client: &senlin_tests::http::Client) {
    hosts.all[0]
        .docker("run -d --name found senlin/busybox sleep 100000")
        .unwrap();
    let listed = client.get("/v1/nodes?cluster_id=hosts").await.unwrap();
    let mut adopted = None;
    for host in listed["nodes"].as_array().unwrap() {
        let body = json!({"identity": "found", "type": "container.dockerinc.docker-1.1", "name": "found",
            "overrides": {"host_node": host["id"]}});
        let (status, answer) = client
            .call(hyper::Method::POST, "/v1/nodes/adopt", Some(&body))
            .await
            .unwrap();
        match status {
            200 => adopted = Some(answer),
            404 => assert!(
                text(&answer, "/error/message").unwrap().contains("No such container"),
                "{answer}"
            ),
            other => panic!("{other} {answer}"),
        }
    }
    let node = text(&adopted.unwrap(), "/node/id").unwrap();
    let path = format!("/v1/nodes/{node}");
    let checked = client
        .post(&format!("{path}/actions"), &json!({"check": {}}))
        .await
        .unwrap();
    client.ended(&text(&checked, "/action").unwrap(), MINUTE).await.unwrap();
    let shown = client.get(&path).await.unwrap();
    assert_eq!(text(&shown, "/node/status").unwrap(), "ACTIVE");
    let (status, _) = client.call(hyper::Method::DELETE, &path, None).await.unwrap();
    assert_eq!(status, 202);
    senlin_testkit::until("the adopted container to go", MINUTE, || async {
        let left = hosts.all[0].docker("ps -aq --filter name=found")?;
        anyhow::ensure!(left.trim().is_empty(), "{left}");
        Ok(())
    })
    .await
    .unwrap();
}

/// Waits until some of the containers are there: the middle of creating them.
async fn in_the_middle(hosts: &Hosts) {
    senlin_testkit::until("the first containers", MINUTE, || async {
        anyhow::ensure!(ours(hosts).len() >= 4);
        Ok(())
    })
    .await
    .unwrap();
}

async fn all_there(plane: &Plane, hosts: &Hosts, cluster: &str) {
    plane.client.active(cluster, 20, MINUTE * 2).await.unwrap();
    let nodes = ours(hosts);
    assert_eq!(nodes.len(), 20, "{nodes:?}");
    assert!(nodes.values().all(|n| *n == 1), "none twice: {nodes:?}");
    plane.client.delete_cluster(cluster, MINUTE).await.unwrap();
    assert_eq!(ours(hosts).len(), 0);
}

/// `kill -9` of an engine in the middle of creating 20, a second one running,
/// and PostgreSQL restarted on top.
async fn engine_killed(hosts: &Hosts, endpoints: &[String]) {
    let mut plane = Plane::start(2, "").await.unwrap();
    plane.hosts(endpoints).await.unwrap();
    let profile = plane
        .client
        .profile("web", "container.dockerinc.docker", "1.1", container(json!({})))
        .await
        .unwrap();
    let cluster = plane.client.cluster("web", &profile, 20).await.unwrap();
    in_the_middle(hosts).await;
    plane.engines[0].kill();
    senlin_testkit::services("restart-postgres").unwrap();
    all_there(&plane, hosts, &cluster).await;
}

/// The broker killed and started again, and Postgres's connections cut.
async fn broker_killed(hosts: &Hosts, endpoints: &[String]) {
    let plane = Plane::start(1, "").await.unwrap();
    plane.hosts(endpoints).await.unwrap();
    let profile = plane
        .client
        .profile("web", "container.dockerinc.docker", "1.1", container(json!({})))
        .await
        .unwrap();
    let cluster = plane.client.cluster("web", &profile, 20).await.unwrap();
    in_the_middle(hosts).await;
    senlin_testkit::services("kill-rabbit").unwrap();
    plane.client.active(&cluster, 20, MINUTE * 2).await.unwrap();
    // Without a broker an accepted action is found by the sweeper, and what
    // must be asked of an engine says so.
    plane
        .client
        .act(&cluster, &json!({"scale_in": {"count": 1}}), MINUTE)
        .await
        .unwrap();
    let nodes = plane
        .client
        .get(&format!("/v1/nodes?cluster_id={cluster}&limit=1"))
        .await
        .unwrap();
    let path = format!("/v1/nodes/{}?show_details=true", text(&nodes, "/nodes/0/id").unwrap());
    let (status, body) = plane.client.call(hyper::Method::GET, &path, None).await.unwrap();
    assert_eq!(status, 503, "{body}");
    senlin_testkit::services("start-rabbit").unwrap();
    plane
        .db
        .execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .await
        .unwrap();
    senlin_testkit::until("the bus to be back", MINUTE, || async {
        let (status, body) = plane.client.call(hyper::Method::GET, &path, None).await?;
        anyhow::ensure!(status == 200, "{status} {body}");
        Ok(())
    })
    .await
    .unwrap();
    plane
        .client
        .act(&cluster, &json!({"scale_out": {"count": 1}}), MINUTE)
        .await
        .unwrap();
    all_there(&plane, hosts, &cluster).await;
}

/// One daemon killed and started again in the middle of creating 20.
async fn daemon_restarted(hosts: &Hosts, endpoints: &[String]) {
    let plane = Plane::start(1, "").await.unwrap();
    plane.hosts(endpoints).await.unwrap();
    let profile = plane
        .client
        .profile("web", "container.dockerinc.docker", "1.1", container(json!({})))
        .await
        .unwrap();
    let cluster = plane.client.cluster("web", &profile, 20).await.unwrap();
    in_the_middle(hosts).await;
    hosts.all[1].stop();
    hosts.all[1].launch().unwrap();
    hosts.all[1].wait().unwrap();
    all_there(&plane, hosts, &cluster).await;
}

//! What goes wrong on real Docker hosts, as a table: what was asked, and what
//! the tenant reads. Nothing is left behind by any of it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and shows the table"
)]

use std::time::Duration;

use senlin_tests::{
    hosts::Hosts,
    http::text,
    programs::Plane,
    registry::{PASSWORD, Registry, USER},
};
use serde_json::{Value, json};

const MINUTE: Duration = Duration::from_secs(60);

fn with(extra: Value) -> Value {
    let mut properties = json!({"image": "senlin/busybox:latest", "pull_policy": "never", "command": ["sleep", "100000"],
        "stop_grace_period": 0, "host_cluster": "hosts"});
    let extra = extra.as_object().unwrap().clone();
    properties.as_object_mut().unwrap().extend(extra);
    properties
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_explained_and_leaves_nothing() {
    let hosts = Hosts::start(2, 44).unwrap();
    let registry = Registry::start("10.99.44.1:5000").unwrap();
    let private = format!("{}/senlin/private:1", registry.address);
    hosts.all[0]
        .docker(&format!(
            "login -u {USER} -p {PASSWORD} {0} 2>/dev/null && docker tag senlin/busybox {private} && \
             docker push -q {private} && docker rmi {private} && docker logout {0}",
            registry.address
        ))
        .unwrap();
    for host in &hosts.all {
        host.docker("run -d --name foreign -p 18081:80 senlin/busybox sleep 100000")
            .unwrap();
    }
    let plane = Plane::start(1, "").await.unwrap();
    let endpoints: Vec<String> = hosts.all.iter().map(|h| h.endpoint()).collect();
    plane.hosts(&endpoints).await.unwrap();

    let pull = |password: &str| json!({"image": private, "pull_policy": "always", "registry": {"username": USER, "password": password}});
    let table = [
        ("wrong registry password", pull("wrong"), "unauthorized"),
        (
            "no registry password",
            json!({"image": private, "pull_policy": "always"}),
            "no basic auth credentials",
        ),
        (
            "no such image",
            json!({"image": format!("{}/senlin/missing:1", registry.address), "pull_policy": "always",
                "registry": {"username": USER, "password": PASSWORD}}),
            "not found",
        ),
        (
            "an image that is not on the host",
            json!({"image": "senlin/absent:1"}),
            "senlin/absent:1",
        ),
        (
            "full hosts: memory",
            json!({"memory": "4096g"}),
            "2 hosts: not enough memory",
        ),
        ("full hosts: CPU", json!({"cpu": 4096}), "2 hosts: not enough CPU"),
        (
            "a port that something else has",
            json!({"ports": ["18081:80"]}),
            "18081",
        ),
        (
            "a command that does not exist",
            json!({"command": ["/no/such/program"]}),
            "/no/such/program",
        ),
    ];
    for (name, extra, expected) in table {
        let reason = refused(&plane, &hosts, with(extra)).await;
        println!("{name:<35} {reason}");
        assert!(
            reason.to_lowercase().contains(&expected.to_lowercase()),
            "{name}: '{reason}' should say '{expected}'"
        );
    }

    // A registry that is away is waited for; meanwhile the reason is told.
    let away = json!({"image": "10.99.44.1:5999/x:1", "pull_policy": "always"});
    let reason = waits(&plane, &hosts, with(away)).await;
    println!("{:<35} {reason}", "no registry there");
    assert!(reason.contains("connection refused"), "{reason}");

    // The same image with the right password runs.
    let client = &plane.client;
    let profile = client
        .profile("private", "container.dockerinc.docker", "1.1", with(pull(PASSWORD)))
        .await
        .unwrap();
    let shown = client.get(&format!("/v1/profiles/{profile}")).await.unwrap();
    assert_eq!(
        text(&shown, "/profile/spec/properties/registry/password").unwrap(),
        "***"
    );
    let cluster = client.cluster("private", &profile, 2).await.unwrap();
    client.active(&cluster, 2, MINUTE).await.unwrap();
    client.delete_cluster(&cluster, MINUTE).await.unwrap();
    assert!(!plane.logs().contains(PASSWORD), "the password is in no log");
    nothing_left(&hosts);
}

/// Asks for a cluster of one; returns the reason that its node gives.
async fn refused(plane: &Plane, hosts: &Hosts, properties: Value) -> String {
    let client = &plane.client;
    let profile = client
        .profile("bad", "container.dockerinc.docker", "1.1", properties)
        .await
        .unwrap();
    let cluster = client.cluster("bad", &profile, 1).await.unwrap();
    let mut reason = String::new();
    for _ in 0..600 {
        let nodes = client.get(&format!("/v1/nodes?cluster_id={cluster}")).await.unwrap();
        if nodes["nodes"][0]["status"] == "ERROR" {
            reason = text(&nodes, "/nodes/0/status_reason").unwrap();
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(!reason.is_empty(), "the node did not come to its end");
    nothing_left(hosts);
    client.delete_cluster(&cluster, MINUTE).await.unwrap();
    let (status, body) = client
        .call(hyper::Method::DELETE, &format!("/v1/profiles/{profile}"), None)
        .await
        .unwrap();
    assert_eq!(status, 204, "{body}");
    reason
}

/// Asks for a cluster of one, and deletes it once its member is tried again;
/// answers what is told of that.
async fn waits(plane: &Plane, hosts: &Hosts, properties: Value) -> String {
    let client = &plane.client;
    let profile = client
        .profile("away", "container.dockerinc.docker", "1.1", properties)
        .await
        .unwrap();
    let cluster = client.cluster("away", &profile, 1).await.unwrap();
    let told = senlin_testkit::until("another try", MINUTE, || async {
        let actions = client.get("/v1/actions?action=NODE_CREATE&status=READY").await?;
        let reason = text(&actions, "/actions/0/status_reason")?;
        anyhow::ensure!(reason.starts_with("Trying again: "), "{reason}");
        Ok(reason)
    });
    let reason = told.await.unwrap();
    client.delete_cluster(&cluster, MINUTE).await.unwrap();
    nothing_left(hosts);
    reason
}

fn nothing_left(hosts: &Hosts) {
    for host in &hosts.all {
        assert_eq!(
            host.docker("ps -a --format '{{.Names}}'").unwrap().trim(),
            "foreign",
            "only the foreign container is there"
        );
    }
}

/// SIGTERM in the middle of creating: the engine hands back what it has not
/// finished and ends well, containers go on, and the next engine finishes.
#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_engine_hands_back_its_work() {
    let hosts = Hosts::start(1, 45).unwrap();
    let mut plane = Plane::start(1, "").await.unwrap();
    plane.hosts(&[hosts.all[0].endpoint()]).await.unwrap();
    let profile = plane
        .client
        .profile("web", "container.dockerinc.docker", "1.1", with(json!({})))
        .await
        .unwrap();
    let cluster = plane.client.cluster("web", &profile, 20).await.unwrap();
    senlin_testkit::until("the first containers", MINUTE, || async {
        anyhow::ensure!(hosts.all[0].labelled("senlin.node")?.len() >= 3);
        Ok(())
    })
    .await
    .unwrap();
    assert!(plane.engines[0].terminate().unwrap(), "it ends with success");
    let running = || {
        let out = hosts.all[0]
            .docker("ps -q --no-trunc --filter label=senlin.node")
            .unwrap();
        out.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let before = running();
    assert!(!before.is_empty() && before.len() < 20, "{} run", before.len());
    let held =
        "SELECT count(*) FROM actions WHERE owner IS NOT NULL AND status NOT IN ('SUCCEEDED', 'FAILED', 'CANCELLED')";
    assert_eq!(plane.db.count(held).await.unwrap(), 0, "nothing is still held");
    plane.add_engine().unwrap();
    plane.client.active(&cluster, 20, MINUTE).await.unwrap();
    let after = running();
    assert_eq!(after.len(), 20);
    assert!(before.iter().all(|id| after.contains(id)), "none was touched");
    plane.client.delete_cluster(&cluster, MINUTE).await.unwrap();
    assert!(hosts.all[0].labelled("senlin.node").unwrap().is_empty());
}

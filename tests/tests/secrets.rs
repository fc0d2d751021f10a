//! After a whole run no secret is in any answer, log line, event, metric or row.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it looked at"
)]

use std::time::Duration;

use hyper::Method;
use senlin_tests::{
    http::{Client, raw, text},
    programs::{Plane, READER, TOKEN},
};
use serde_json::{Value, json};

const MINUTE: Duration = Duration::from_secs(60);
const REGISTRY: &str = "swordfish-of-the-registry";
const VARIABLE: &str = "swordfish-of-the-environment";
const TLS_KEY: &str = "swordfish-of-tls";
const SSH_KEY: &str = "swordfish-of-ssh";

/// Everything that a caller can read: every list, each object of it, details.
async fn everything(client: &Client, skip: &[&str]) -> (usize, String) {
    let (mut count, mut all) = (0, String::new());
    let lists = [
        ("profiles", "profiles"),
        ("clusters", "clusters"),
        ("nodes", "nodes"),
        ("policies", "policies"),
        ("receivers", "receivers"),
        ("actions", "actions"),
        ("events", "events"),
        ("profile-types", "profile_types"),
        ("policy-types", "policy_types"),
        ("build-info", ""),
        ("openapi.json", ""),
    ];
    for (path, key) in lists.iter().filter(|(path, _)| !skip.contains(path)) {
        let listed = client.get(&format!("/v1/{path}")).await.unwrap();
        all.push_str(&listed.to_string());
        count += 1;
        for one in listed.get(*key).and_then(Value::as_array).into_iter().flatten() {
            let Some(id) = one.get("id").and_then(Value::as_str) else {
                continue;
            };
            let details = if *path == "nodes" { "?show_details=true" } else { "" };
            let (_, shown) = client
                .call(Method::GET, &format!("/v1/{path}/{id}{details}"), None)
                .await
                .unwrap();
            all.push_str(&shown.to_string());
            count += 1;
        }
    }
    (count, all)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_anywhere() {
    let extra = "[log]\nlevel = \"debug\"\n[rules]\nallow_simulated = true\n";
    let plane = Plane::start(1, extra).await.unwrap();
    let client = &plane.client;
    plane
        .hosts(&["sim://secrets-a".to_owned(), "sim://secrets-b".to_owned()])
        .await
        .unwrap();
    // Hosts that cannot be reached, with keys that are none: every way to say so.
    let tls = json!({"ca": "not PEM", "cert": "not PEM", "key": TLS_KEY});
    let doors = json!({"endpoints": [{"url": "tcp://127.0.0.1:1", "tls": tls},
        {"url": "ssh://nobody@127.0.0.1:1", "ssh_key": SSH_KEY}]});
    let profile = client
        .profile("doors", "host.dockerinc.engine", "1.0", doors)
        .await
        .unwrap();
    client.cluster("doors", &profile, 2).await.unwrap();
    let adopt =
        json!({"identity": "tcp://127.0.0.1:1", "type": "host.dockerinc.engine-1.0", "overrides": {"tls": tls}});
    let (status, refused) = client
        .call(Method::POST, "/v1/nodes/adopt", Some(&adopt))
        .await
        .unwrap();
    assert!(status >= 400, "{refused}");

    let properties = json!({"image": "registry.example/web:1", "host_cluster": "hosts",
        "registry": {"username": "u", "password": REGISTRY},
        "environment": {"PASSWORD": {"value": VARIABLE, "secret": true}, "PLAIN": "to be seen"}});
    let profile = client
        .profile("web", "container.dockerinc.docker", "1.1", properties.clone())
        .await
        .unwrap();
    let bad = json!({"profile": {"name": "bad", "spec": {"type": "container.dockerinc.docker", "version": "1.1",
        "properties": {"image": 7, "registry": {"username": "u", "password": REGISTRY, "bogus": VARIABLE}}}}});
    let (_, named) = client.call(Method::POST, "/v1/profiles", Some(&bad)).await.unwrap();
    let cluster = client.cluster("web", &profile, 3).await.unwrap();
    client.active(&cluster, 3, MINUTE).await.unwrap();
    client.act(&cluster, &json!({"check": {}}), MINUTE).await.unwrap();
    let more = json!({"image": "registry.example/web:2"});
    let mut other = properties.clone();
    other.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let new = client
        .profile("web2", "container.dockerinc.docker", "1.1", other)
        .await
        .unwrap();
    let change = json!({"cluster": {"profile_id": new}});
    let (status, _) = client
        .call(Method::PATCH, &format!("/v1/clusters/{cluster}"), Some(&change))
        .await
        .unwrap();
    assert_eq!(status, 202);
    client.active(&cluster, 3, MINUTE).await.unwrap();
    let receiver = json!({"receiver": {"name": "r", "type": "webhook", "cluster_id": "web",
        "action": "CLUSTER_SCALE_OUT", "params": {}}});
    let made = client.post("/v1/receivers", &receiver).await.unwrap();
    let url = text(&made, "/receiver/channel/alarm_url").unwrap();
    let key = url.split_once("key=").unwrap().1.to_owned();
    senlin_testkit::until("the webhook to be let through", MINUTE, || async {
        let (status, _, body) = raw(Method::POST, &url, &[], None).await?;
        anyhow::ensure!(status == 202, "{status} {body}");
        Ok(())
    })
    .await
    .unwrap();
    raw(Method::POST, &url.replace(&key, "wrong"), &[], None).await.unwrap();
    client.active(&cluster, 4, MINUTE).await.unwrap();

    // Who may change receivers is shown what opens them; nobody else is, and nowhere else.
    let (count, answers) = everything(client, &["receivers"]).await;
    let (read, as_reader) = everything(&client.with(READER), &[]).await;
    assert!(
        as_reader.contains("to be seen") && as_reader.contains("***"),
        "it looked at the right things"
    );
    let mut metrics = String::new();
    for base in plane.ops.iter().map(String::as_str).chain([client.base()]) {
        let (_, _, told) = raw(Method::GET, &format!("{base}/metrics"), &[], None).await.unwrap();
        let told = told.as_str().unwrap_or_default();
        assert!(told.len() > 100, "no metrics at {base}");
        metrics.push_str(told);
    }
    let mut rows = String::new();
    let tables = "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace";
    for table in plane.db.column(tables).await.unwrap() {
        let all = plane
            .db
            .column(&format!("SELECT t::text FROM {table} t"))
            .await
            .unwrap();
        rows.push_str(&all.concat());
    }
    let logs = plane.logs();
    println!(
        "looked at {} answers, {} bytes of logs, {} of metrics, {} of rows",
        count + read,
        logs.len(),
        metrics.len(),
        rows.len()
    );
    for secret in [TOKEN, READER, REGISTRY, VARIABLE, TLS_KEY, SSH_KEY, key.as_str()] {
        for (place, all) in [
            ("an answer", &answers),
            ("an answer to a reader", &as_reader),
            ("a refusal", &format!("{refused}{named}")),
            ("a log", &logs),
            ("a metric", &metrics),
            ("a row", &rows),
        ] {
            assert!(!all.contains(secret), "{secret} is in {place}");
        }
    }
}

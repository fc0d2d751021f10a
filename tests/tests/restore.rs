//! A database that is restored from a backup of before: no container is
//! touched, and what the record does not know is taken back or removed by an
//! operator.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it counted"
)]

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt, process::Command, time::Duration};

use hyper::Method;
use senlin_testkit::until;
use senlin_tests::{
    hosts::Hosts,
    http::text,
    programs::{Plane, TOKEN, path},
    story::{container, web},
};
use serde_json::{Value, json};

const MINUTE: Duration = Duration::from_secs(60);
const LIST: &str = "/v1/unaccounted-containers";

/// Every container of ours that runs, on all hosts.
fn running(hosts: &Hosts) -> BTreeSet<String> {
    let lists = hosts
        .all
        .iter()
        .map(|h| h.docker("ps -q --no-trunc --filter label=senlin.node").unwrap());
    lists
        .flat_map(|l| l.lines().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

fn run(program: &str, arguments: &[&str]) -> String {
    let out = Command::new(program).args(arguments).output().unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    assert!(out.status.success(), "{program} {arguments:?}: {said}");
    said
}

async fn node(plane: &Plane, name: &str, profile: &str) -> String {
    let body = json!({"node": {"name": name, "profile_id": profile}});
    let made = plane.client.post("/v1/nodes", &body).await.unwrap();
    let id = text(&made, "/node/id").unwrap();
    reaches(plane, &id, "ACTIVE").await;
    id
}

async fn reaches(plane: &Plane, node: &str, status: &str) -> Value {
    until("the node's status", MINUTE, || async {
        let shown = plane.client.get(&format!("/v1/nodes/{node}")).await?;
        anyhow::ensure!(shown["node"]["status"] == status, "{shown}");
        Ok(shown)
    })
    .await
    .unwrap()
}

async fn listed(plane: &Plane, count: usize) -> Vec<Value> {
    until("the list of what is unaccounted for", 2 * MINUTE, || async {
        let shown = plane.client.get(LIST).await?;
        let all = shown["unaccounted_containers"].as_array().cloned().unwrap_or_default();
        anyhow::ensure!(all.len() == count, "{} are listed: {shown}", all.len());
        Ok(all)
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn f2_after_a_restore_no_container_is_touched_and_an_operator_settles_each() {
    let hosts = Hosts::start(2, 52).unwrap();
    let mut plane = Plane::start(2, "").await.unwrap();
    let endpoints: Vec<String> = hosts.all.iter().map(|h| h.endpoint()).collect();
    plane.hosts(&endpoints).await.unwrap();
    let cluster = web(&plane, "web", 3, &json!({})).await.unwrap();
    let changed = container(&json!({"command": ["sleep", "200000"]}));
    let kind = "container.dockerinc.docker";
    let first = plane
        .client
        .profile("first", kind, "1.1", container(&json!({})))
        .await
        .unwrap();
    let second = plane.client.profile("second", kind, "1.1", changed).await.unwrap();
    let updated = node(&plane, "updated", &first).await;
    let short = node(&plane, "short", &first).await;

    let dump = plane.dir().join("dump.sql");
    let file = dump.to_string_lossy().into_owned();
    run("pg_dump", &["--file", &file, plane.db.url()]);

    // Life goes on: one is updated, one is made, one goes, one more joins.
    let patch = json!({"node": {"profile_id": second}});
    let path_of = |node: &str| format!("/v1/nodes/{node}");
    let answer = plane.client.call(Method::PATCH, &path_of(&updated), Some(&patch)).await;
    assert_eq!(answer.unwrap().0, 202);
    until("the update", MINUTE, || async {
        let shown = plane.client.get(&format!("/v1/nodes/{updated}")).await?;
        anyhow::ensure!(shown["node"]["profile_name"] == "second" && shown["node"]["status"] == "ACTIVE");
        Ok(())
    })
    .await
    .unwrap();
    let late = node(&plane, "late", &first).await;
    let gone = plane.client.call(Method::DELETE, &path_of(&short), None).await;
    assert_eq!(gone.unwrap().0, 202);
    plane
        .client
        .act(&cluster, &json!({"scale_out": {"count": 1}}), MINUTE)
        .await
        .unwrap();
    until("the deletion", MINUTE, || async {
        let (status, _) = plane
            .client
            .call(Method::GET, &format!("/v1/nodes/{short}"), None)
            .await?;
        anyhow::ensure!(status == 404);
        Ok(())
    })
    .await
    .unwrap();
    let before = running(&hosts);
    assert_eq!(before.len(), 4 + 2);

    // The whole control plane stops, and its database is that of before.
    assert!(plane.api.terminate().unwrap());
    for engine in &mut plane.engines {
        assert!(engine.terminate().unwrap());
    }
    plane
        .db
        .execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        .await
        .unwrap();
    let url = plane.db.url().to_owned();
    run("psql", &["--quiet", "--set", "ON_ERROR_STOP=1", "--file", &file, &url]);
    plane.again().unwrap();
    let found = listed(&plane, 3).await;
    tokio::time::sleep(MINUTE / 3).await;
    assert_eq!(running(&hosts), before, "no container is touched");
    let of = |node: &str| found.iter().find(|row| row["node_id"] == *node);
    println!(
        "{:?}",
        found
            .iter()
            .map(|row| text(row, "/reason").unwrap())
            .collect::<Vec<_>>()
    );

    // Each is settled with the command.
    let token = plane.dir().join("token");
    fs::write(&token, TOKEN).unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    let program = path("senlin").unwrap();
    let (program, token) = (program.to_string_lossy(), token.to_string_lossy());
    let listen = plane.client.base().trim_start_matches("http://").to_owned();
    let reconcile = |arguments: &[&str]| {
        let all = [&["reconcile", "--listen", &listen, "--token-file", &token], arguments].concat();
        run(&program, &all)
    };
    let list = reconcile(&["--list"]);
    let removed = text(of(&late).unwrap(), "/container").unwrap();
    assert!(list.contains(&removed[..12]), "{list}");
    for row in found.iter().filter(|row| row["container"] != *removed) {
        let id = text(row, "/container").unwrap();
        reconcile(&["--take-back", &id[..12], "--confirm"]);
    }
    reconcile(&["--remove", &removed[..12], "--confirm"]);
    listed(&plane, 0).await;
    let after: BTreeSet<String> = before.iter().filter(|id| **id != removed).cloned().collect();
    until("the removal", MINUTE, || async {
        anyhow::ensure!(running(&hosts) == after, "{:?}", running(&hosts));
        Ok(())
    })
    .await
    .unwrap();
    let shown = plane
        .client
        .post(&format!("/v1/nodes/{updated}/actions"), &json!({"check": {}}))
        .await;
    shown.unwrap();
    let shown = reaches(&plane, &updated, "ACTIVE").await;
    assert_eq!(shown["node"]["profile_name"], "second");
    plane.client.act(&cluster, &json!({"check": {}}), MINUTE).await.unwrap();
    plane.client.active(&cluster, 4, MINUTE).await.unwrap();
    // The one that has gone is told to be gone.
    let check = json!({"check": {}});
    plane
        .client
        .post(&format!("/v1/nodes/{short}/actions"), &check)
        .await
        .unwrap();
    reaches(&plane, &short, "ERROR").await;
    assert_eq!(running(&hosts), after);
}

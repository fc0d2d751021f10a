//! Containers that the record does not account for: who sees them, and how
//! each is settled.

use serde_json::{Value, json};

use crate::{Answer, Server};

const PATH: &str = "/v1/unaccounted-containers";

struct World {
    server: Server,
    host: String,
}

impl World {
    /// A host that is up, in a cluster of p1, and a profile of p1.
    async fn new() -> Self {
        let server = Server::start().await;
        server.with_hosts().await;
        let node = json!({"node": {"name": "host", "profile_id": "hp", "cluster_id": "hosts"}});
        let made = server.member("POST", "/v1/nodes", Some(node)).await;
        assert_eq!(made.status, 202, "{}", made.body);
        let host = made.text("/node/id");
        Self { server, host }
    }

    /// A container on the host, as the collector lists it.
    async fn found(&self, container: &str, node: &str, generation: i32, project: &str, profile: &str) {
        let profile = if profile.is_empty() {
            "NULL".to_owned()
        } else {
            format!("'{profile}'")
        };
        let insert = format!(
            "INSERT INTO unaccounted_containers (host_id, container_id, node_id, generation, project, profile_id, name,
                running, reason)
            VALUES ('{}', '{container}', '{node}', {generation}, '{project}', {profile}, '{container}', true,
                'NODE_UNKNOWN')",
            self.host
        );
        self.server.db.execute(&insert).await.unwrap();
    }

    async fn act(&self, container: &str, body: Value) -> Answer {
        let path = format!("{PATH}/{container}/actions");
        self.server.call("admin", "1.15", "POST", &path, Some(body)).await
    }

    async fn listed(&self) -> Vec<String> {
        let got = self.server.call("admin", "1.15", "GET", PATH, None).await;
        assert_eq!(got.status, 200, "{}", got.body);
        let rows = got.body["unaccounted_containers"].as_array().unwrap().clone();
        rows.iter()
            .map(|r| r["container"].as_str().unwrap().to_owned())
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f2_an_operator_lists_takes_back_and_removes() {
    let world = World::new().await;
    let profile = world.server.container_profile("web").await.text("/profile/id");
    let nodes: Vec<String> = (0..4).map(|_| uuid::Uuid::new_v4().to_string()).collect();
    // An update that the restored record does not know.
    let solo = json!({"node": {"name": "solo", "profile_id": "web"}});
    let solo = world
        .server
        .member("POST", "/v1/nodes", Some(solo))
        .await
        .text("/node/id");
    world.server.db.execute("DELETE FROM actions").await.unwrap();
    world.found("c0", &nodes[0], 3, "p1", &profile).await;
    world.found("c1", &solo, 2, "p1", &profile).await;
    world.found("c2", &nodes[2], 1, "p1", "").await;
    world.found("c3", &nodes[3], 1, "p2", &profile).await;
    assert_eq!(world.listed().await, ["c0", "c1", "c2", "c3"]);

    let page = world
        .server
        .call("admin", "1.15", "GET", &format!("{PATH}?limit=3"), None)
        .await;
    let last = page.text("/unaccounted_containers/2/id");
    let next = format!("{PATH}?limit=3&marker={last}");
    let next = world.server.call("admin", "1.15", "GET", &next, None).await;
    assert_eq!(next.text("/unaccounted_containers/0/container"), "c3", "{}", next.body);

    // A node that is made again has its own id, generation, project and profile.
    let got = world.act("c0", json!({"take_back": {}})).await;
    assert_eq!(got.status, 200, "{}", got.body);
    let of = |key: &str| got.text(&format!("/node/{key}"));
    assert_eq!(
        [
            of("id"),
            of("physical_id"),
            of("project"),
            of("profile_id"),
            of("status")
        ],
        [nodes[0].as_str(), "c0", "p1", profile.as_str(), "WARNING"].map(str::to_owned)
    );
    // A node that is there gets the container and its generation.
    let got = world.act("c1", json!({"take_back": {}})).await;
    assert_eq!(
        (got.status, got.text("/node/physical_id").as_str()),
        (200, "c1"),
        "{}",
        got.body
    );
    let generations = "SELECT generation::text FROM nodes WHERE physical_id IN ('c0', 'c1') ORDER BY physical_id";
    assert_eq!(world.server.db.column(generations).await.unwrap(), ["3", "2"]);
    // A newer one takes the place of the one that it has by now only if that is confirmed.
    let newer = "abcdefabcdef0123";
    world.found(newer, &solo, 3, "p1", &profile).await;
    let got = world.act(newer, json!({"take_back": {}})).await;
    assert!(
        got.status == 409 && got.message().contains("'confirm' must be true"),
        "{}",
        got.body
    );
    assert_eq!(world.act("abcdefabcde", json!({"take_back": {}})).await.status, 404);
    let got = world.act("abcdefabcdef", json!({"take_back": {"confirm": true}})).await;
    assert_eq!(
        (got.status, got.text("/node/physical_id").as_str()),
        (200, newer),
        "{}",
        got.body
    );
    // A profile that is not recorded is read off the container, by an engine.
    let got = world.act("c2", json!({"take_back": {}})).await;
    assert_eq!(got.status, 503, "{}", got.body);
    // A label is the host's word: it brings nobody onto another project's host.
    let got = world.act("c3", json!({"take_back": {}})).await;
    assert!(
        got.status == 409 && got.message().contains("may not use host"),
        "{}",
        got.body
    );
    assert_eq!(world.listed().await, ["c2", "c3"]);

    // Removal is confirmed, and left to the host's engine.
    let got = world.act("c3", json!({"remove": {}})).await;
    assert!(
        got.status == 400 && got.message().contains("'confirm' must be true"),
        "{}",
        got.body
    );
    let got = world.act("c3", json!({"remove": {"confirm": true}})).await;
    assert_eq!(got.status, 200, "{}", got.body);
    assert!(
        !got.text("/unaccounted_container/remove_asked_at").is_empty(),
        "{}",
        got.body
    );
    let got = world.act("c3", json!({"take_back": {}})).await;
    assert_eq!(got.status, 409, "{}", got.body);
    for body in [
        json!({}),
        json!({"forget": {}}),
        json!({"take_back": {"x": 1}}),
        json!({"remove": true}),
    ] {
        let got = world.act("c2", body.clone()).await;
        assert_eq!(got.status, 400, "{body}: {}", got.body);
    }
    assert_eq!(world.act("nothing", json!({"take_back": {}})).await.status, 404);
    world.server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f2_a_container_gives_no_one_another_projects_node() {
    let world = World::new().await;
    world.server.container_profile("web").await;
    let solo = json!({"node": {"name": "solo", "profile_id": "web"}});
    let solo = world
        .server
        .member("POST", "/v1/nodes", Some(solo))
        .await
        .text("/node/id");
    let foreign = format!("UPDATE nodes SET project = 'p2' WHERE id = '{solo}'");
    world.server.db.execute(&foreign).await.unwrap();
    world.found("c0", &solo, 2, "p1", "").await;
    let got = world.act("c0", json!({"take_back": {}})).await;
    assert!(
        got.status == 409 && got.message().contains("is not of project 'p1'"),
        "{}",
        got.body
    );
    let kept = format!("SELECT count(*) FROM nodes WHERE id = '{solo}' AND physical_id IS NULL");
    assert_eq!(world.server.db.count(&kept).await.unwrap(), 1);
    for (token, version, status) in [("member", "1.15", 403), ("reader", "1.15", 403), ("admin", "1.14", 400)] {
        let got = world.server.call(token, version, "GET", PATH, None).await;
        assert_eq!(got.status, status, "{token}: {}", got.body);
    }
    world.server.close().await;
}

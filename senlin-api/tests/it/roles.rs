//! Every operation as everybody: what each gets is compared with docs/roles.md.

use senlin_api::operations::{OPERATIONS, Operation};
use serde_json::json;

use crate::Server;

/// Columns: how a caller is called, and their token.
const CALLERS: [(&str, &str); 8] = [
    ("no token", ""),
    ("wrong token", "wrong"),
    ("expired token", "expired"),
    ("no role", "guest"),
    ("reader", "reader"),
    ("member", "member"),
    ("admin", "admin"),
    ("member of another project", "other"),
];

const HEAD: &str = "# Who gets what

Every operation without a body, on an object of project p1, as callers of p1 (and of another project). 400 is somebody
who is let in and sends too little; 503 is somebody who is let in where only an engine could answer. A test walks all of them and compares; `UPDATE=1 cargo test -p senlin-api roles`
writes this page anew.

";

/// An object of p1 that the operation can be about.
async fn object(server: &Server, operation: &Operation) -> String {
    let member = async |path: &str, body| {
        let made = server.member("POST", path, Some(body)).await;
        assert!(made.status < 300, "{path}: {}", made.body);
        made
    };
    match operation.tag {
        "profiles" => server.container_profile("p").await.text("/profile/id"),
        "policies" => {
            let spec = json!({"type": "senlin.policy.deletion", "version": "1.1", "properties": {}});
            let body = json!({"policy": {"name": "pol", "spec": spec}});
            member("/v1/policies", body).await.text("/policy/id")
        }
        "receivers" => {
            let body = json!({"receiver": {"name": "r", "type": "webhook", "cluster_id": "hosts",
                "action": "CLUSTER_SCALE_OUT"}});
            member("/v1/receivers", body).await.text("/receiver/id")
        }
        "prometheus" | "self" => String::new(),
        "profile-types" => "container.dockerinc.docker-1.1".to_owned(),
        "policy-types" => "senlin.policy.scaling-1.0".to_owned(),
        "nodes" => "solo".to_owned(),
        "actions" => server
            .member("GET", "/v1/actions?limit=1", None)
            .await
            .text("/actions/0/id"),
        "events" => server
            .db
            .column("SELECT id::text FROM events LIMIT 1")
            .await
            .unwrap()
            .pop()
            .unwrap(),
        _ => "hosts".to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_as_everybody() {
    let server = Server::start().await;
    server.with_hosts().await;
    server.container_profile("web").await;
    let node = json!({"node": {"name": "solo", "profile_id": "web"}});
    assert_eq!(server.member("POST", "/v1/nodes", Some(node)).await.status, 202);
    let event = "INSERT INTO events (oid, oname, otype, level, user_id, project, action, status)
        SELECT id, name, 'CLUSTER', 'INFO', user_id, project, 'CLUSTER_CREATE', 'start' FROM clusters";
    server.db.execute(event).await.unwrap();

    let mut page = HEAD.to_owned();
    let names: Vec<&str> = CALLERS.iter().map(|(name, _)| *name).collect();
    page.push_str(&format!("| operation | rule | {} |\n", names.join(" | ")));
    page.push_str(&format!("|---|---|{}\n", "---|".repeat(CALLERS.len())));
    for operation in OPERATIONS {
        let method = operation.method.to_uppercase();
        let mut row = format!("| {method} {} | {} |", operation.template(), operation.rule);
        for (name, token) in CALLERS {
            let id = object(&server, operation).await;
            let path = operation.template().replace("{id}", &id).replace("{sub}", "name");
            let got = server.call(token, "1.15", &method, &path, None).await;
            assert!(
                got.status < 500 || got.message().contains("no engine"),
                "{method} {path} as {name}: {}",
                got.body
            );
            assert_ne!(got.kind(), "HTTPNotFound", "{method} {path} is not routed");
            if !operation.rule.is_empty() && ["no token", "wrong token", "expired token"].contains(&name) {
                assert_eq!(got.status, 401, "{method} {path} as {name}");
            }
            row.push_str(&format!(" {} |", got.status));
        }
        page.push_str(&row);
        page.push('\n');
    }
    let file = senlin_testkit::workspace().join("docs/roles.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, &page).unwrap();
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(committed == page, "docs/roles.md is not what is so:\n{page}");
    server.close().await;
}

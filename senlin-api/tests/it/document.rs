//! The OpenAPI document: current, and every operation behind a token.

use serde_json::Value;

use crate::Server;

fn file() -> std::path::PathBuf {
    senlin_testkit::workspace().join("openapi/senlin-v1.json")
}

#[test]
fn is_current() {
    let document = senlin_api::openapi::document(&senlin_profiles::all(), &senlin_policies::all());
    let text = format!("{}\n", serde_json::to_string_pretty(&document).unwrap());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(file(), &text).unwrap();
    }
    let committed = std::fs::read_to_string(file()).unwrap();
    assert!(
        committed == text,
        "openapi/senlin-v1.json is stale: run UPDATE=1 cargo test -p senlin-api is_current"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_needs_a_token_and_exists() {
    let server = Server::start().await;
    let document = senlin_api::openapi::document(&senlin_profiles::all(), &senlin_policies::all());
    let mut walked = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let method = method.to_uppercase();
            let path = path.replace("{id}", "nothing");
            let bare = server.call("", "1.14", &method, &path, None).await;
            if operation["security"] == Value::Array(Vec::new()) {
                assert!(
                    bare.status < 500 && bare.status != 401,
                    "{method} {path}: {}",
                    bare.status
                );
                continue;
            }
            assert_eq!(bare.status, 401, "{method} {path}");
            assert!(bare.headers.contains_key("www-authenticate"));
            assert_eq!(
                server.call("wrong", "1.14", &method, &path, None).await.status,
                401,
                "{method} {path}"
            );
            let known = server.member(&method, &path, None).await;
            assert_ne!(known.kind(), "HTTPNotFound", "{method} {path} is not routed");
            assert!(known.status < 500, "{method} {path}: {}", known.body);
            walked += 1;
        }
    }
    assert!(walked > 30, "{walked}");
    server.close().await;
}

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
            // What only an engine can tell, nobody tells here.
            assert!(
                known.status < 500 || known.status == 503,
                "{method} {path}: {}",
                known.body
            );
            walked += 1;
        }
    }
    assert!(walked > 30, "{walked}");
    server.close().await;
}

/// The page shows the document, and needs nothing from outside.
#[tokio::test(flavor = "multi_thread")]
async fn can_be_read_in_a_page() {
    let server = Server::start().await;
    let get = async |path: &str| {
        let request = hyper::Request::get(format!("{}{path}", server.base));
        let request = request.body(http_body_util::Full::default()).unwrap();
        crate::wire::send(&server.http, request).await
    };
    let (status, headers, _) = get("/v1/docs").await;
    assert_eq!((status, headers["location"].to_str().unwrap()), (308, "docs/"));
    let (status, headers, page) = get("/v1/docs/").await;
    assert_eq!((status, headers["content-type"].to_str().unwrap()), (200, "text/html"));
    // Whatever the page names is one of its own files, and comes under the same rule.
    let named: Vec<&str> = page
        .split(['"', '\''])
        .filter(|t| t.ends_with(".js") || t.ends_with(".css"))
        .collect();
    assert!(named.len() >= 4, "{named:?}");
    for file in named {
        let file = file.trim_start_matches("./");
        let (status, headers, _) = get(&format!("/v1/docs/{file}")).await;
        assert_eq!(status, 200, "{file}");
        let rule = headers["content-security-policy"].to_str().unwrap();
        assert!(rule.starts_with("default-src 'none'"), "{rule}");
        assert!(!rule.contains("unsafe") && !rule.contains("http"), "{rule}");
    }
    let (_, _, script) = get("/v1/docs/swagger-initializer.js").await;
    assert!(script.contains("../openapi.json"), "{script}");
    assert_eq!(get("/v1/docs/..%2Fmain.rs").await.0, 404);
    let document = server.call("", "", "GET", "/v1/openapi.json", None).await;
    assert_eq!((document.status, document.text("/openapi").as_str()), (200, "3.1.0"));
    server.close().await;
}

/// Every operation says all there is to say, and every reference leads somewhere.
#[test]
fn is_whole() {
    let document = senlin_api::openapi::document(&senlin_profiles::all(), &senlin_policies::all());
    let mut ids = std::collections::BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let place = format!("{method} {path}");
            assert!(
                ids.insert(operation["operationId"].as_str().unwrap()),
                "{place}: its id is another's"
            );
            let responses = operation["responses"].as_object().unwrap();
            let (code, success) = responses.iter().find(|(c, _)| c.as_str() < "400").unwrap();
            if code != "204" {
                let content = &success["content"]["application/json"];
                assert!(content.get("example").is_some(), "{place}: no example of its answer");
            }
            if let Some(body) = operation.get("requestBody") {
                assert!(
                    !body["content"]["application/json"]["example"].is_null(),
                    "{place}: no example of its body"
                );
            }
            assert!(!operation["summary"].as_str().unwrap().is_empty(), "{place}");
        }
    }
    for (name, parameter) in document["components"]["parameters"].as_object().unwrap() {
        assert!(parameter.get("example").is_some(), "no example of parameter {name}");
    }
    let text = document.to_string();
    for part in text.split("\"$ref\":\"").skip(1) {
        let reference = part.split('"').next().unwrap();
        assert!(document.pointer(&reference[1..]).is_some(), "{reference} leads nowhere");
    }
    for kind in [
        "container.dockerinc.docker-1.1",
        "host.dockerinc.engine-1.0",
        "senlin.policy.scaling-1.0",
    ] {
        assert!(
            document["components"]["schemas"].get(kind).is_some(),
            "no schema of {kind}"
        );
    }
}

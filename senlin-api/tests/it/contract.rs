//! Shapes, statuses, headers, versions, pages and projects.

use serde_json::{Value, json};

use crate::Server;

#[tokio::test(flavor = "multi_thread")]
async fn versions_headers_and_gates() {
    let server = Server::start().await;
    let root = server.call("", "", "GET", "/", None).await;
    assert_eq!((root.status, root.text("/versions/0/id").as_str()), (300, "1.0"));
    assert_eq!(root.text("/versions/0/max_version"), "1.14");
    assert_eq!(server.call("", "", "GET", "/v1", None).await.status, 200);
    assert_eq!(server.call("", "", "GET", "/v1/", None).await.status, 401);

    // The version may be named in Accept instead.
    let accept = [("Accept", "application/vnd.openstack.clustering-v1")];
    let named = server
        .call_with("member", "", "GET", "/clusters?limit=1", None, &accept)
        .await;
    assert_eq!((named.status, named.body), (200, json!({"clusters": []})));
    assert_eq!(server.call("member", "", "GET", "/clusters", None).await.status, 404);

    let shown = server.call("member", "1.5", "GET", "/v1/profile-types", None).await;
    assert_eq!(shown.headers["openstack-api-version"], "clustering 1.5");
    assert_eq!(shown.headers["vary"], "OpenStack-API-Version");
    assert_eq!(shown.text("/profile_types/0/version"), "1.0");
    let old = server.call("member", "", "GET", "/v1/profile-types", None).await;
    assert_eq!(old.text("/profile_types/0/name"), "container.dockerinc.docker-1.0");
    assert_eq!(old.headers["openstack-api-version"], "clustering 1.0");
    let latest = server.call("member", "Latest", "GET", "/v1/profile-types", None).await;
    assert_eq!(latest.headers["openstack-api-version"], "clustering 1.14");

    for (version, path, status, kind) in [
        ("1.99", "/v1/clusters", 406, "InvalidGlobalAPIVersion"),
        ("banana", "/v1/clusters", 400, "HTTPBadRequest"),
        (
            "1.3",
            "/v1/profile-types/container.dockerinc.docker-1.0/ops",
            400,
            "MethodVersionNotFound",
        ),
    ] {
        let answer = server.call("member", version, "GET", path, None).await;
        assert_eq!((answer.status, answer.kind()), (status, kind), "{version} {path}");
    }
    let ops = server
        .member("GET", "/v1/profile-types/container.dockerinc.docker-1.0/ops", None)
        .await;
    assert_eq!(
        ops.body,
        json!({"operations": {
            "pause": {"description": "Pause a container.", "parameters": {}},
            "restart": {"description": "Restart a container.", "parameters": {"wait_time": {
                "description": "Number of seconds to wait before killing the container.", "required": false,
                "type": "Integer"}}},
            "unpause": {"description": "Unpause a container.", "parameters": {}}}})
    );
    server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_in_specs_are_sealed_and_hidden() {
    let server = Server::start().await;
    server.with_hosts().await;
    let made = server.container_profile("web").await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(made.text("/profile/spec/properties/environment/PASSWORD/value"), "***");
    assert_eq!(
        made.body.pointer("/profile/spec/version"),
        Some(&json!(1.1)),
        "a number stays a number"
    );
    let stored = server
        .db
        .column("SELECT spec::text FROM profiles")
        .await
        .unwrap()
        .concat();
    assert!(!stored.contains("swordfish") && stored.contains("$sealed"), "{stored}");
    let listed = server.member("GET", "/v1/profiles", None).await;
    assert!(!listed.body.to_string().contains("swordfish"));
    server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn projects_do_not_see_each_other() {
    let server = Server::start().await;
    let hosts = server.with_hosts().await;
    let action = server.member("GET", "/v1/actions", None).await.text("/actions/0/id");
    for path in [
        format!("/v1/clusters/{hosts}"),
        "/v1/clusters/hosts".to_owned(),
        "/v1/profiles/hp".to_owned(),
        format!("/v1/actions/{action}"),
    ] {
        assert_eq!(
            server.call("other", "1.14", "GET", &path, None).await.status,
            404,
            "{path}"
        );
        assert_eq!(
            server.call("admin", "1.14", "GET", &path, None).await.status,
            200,
            "{path}"
        );
    }
    let cancel = Some(json!({"action": {"status": "CANCELLED"}}));
    let path = format!("/v1/actions/{action}?force=true");
    assert_eq!(
        server
            .call("other", "1.14", "PATCH", &path, cancel.clone())
            .await
            .status,
        404
    );
    for list in ["clusters", "profiles", "actions", "nodes", "events"] {
        let answer = server.call("other", "1.14", "GET", &format!("/v1/{list}"), None).await;
        assert_eq!(answer.body, json!({list: []}));
    }
    // Hosts of another project only if an admin shared them.
    let spec = json!({"type": "container.dockerinc.docker", "version": "1.0",
        "properties": {"image": "x", "host_cluster": hosts}});
    let profile = Some(json!({"profile": {"name": "p", "spec": spec}}));
    assert_eq!(
        server
            .call("other", "1.14", "POST", "/v1/profiles", profile.clone())
            .await
            .status,
        400
    );
    let share = Some(json!({"cluster": {"shared_with": ["p2"]}}));
    let path = format!("/v1/clusters/{hosts}");
    assert_eq!(
        server
            .call("member", "1.15", "PATCH", &path, share.clone())
            .await
            .status,
        403
    );
    assert_eq!(server.call("admin", "1.15", "PATCH", &path, share).await.status, 200);
    assert_eq!(
        server
            .call("other", "1.14", "POST", "/v1/profiles", profile)
            .await
            .status,
        201
    );
    assert_eq!(
        server
            .member("PATCH", &format!("/v1/actions/{action}"), cancel)
            .await
            .status,
        202
    );
    server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conflicts_and_quota() {
    let server = Server::start().await;
    server.with_hosts().await;
    let check = Some(json!({"check": {}}));
    let busy = server.member("POST", "/v1/clusters/hosts/actions", check).await;
    assert_eq!((busy.status, busy.kind()), (409, "ActionConflict"));
    assert!(busy.headers.get("location").is_none());
    let deleted = server.member("DELETE", "/v1/clusters/hosts", None).await;
    assert_eq!((deleted.status, deleted.body.clone()), (202, Value::Null));
    assert!(deleted.headers["location"].to_str().unwrap().contains("/v1/actions/"));
    for i in 0..4 {
        let cluster = json!({"cluster": {"name": format!("c{i}"), "profile_id": "hp"}});
        assert_eq!(server.member("POST", "/v1/clusters", Some(cluster)).await.status, 202);
    }
    let over = server
        .member(
            "POST",
            "/v1/clusters",
            Some(json!({"cluster": {"name": "c9", "profile_id": "hp"}})),
        )
        .await;
    assert_eq!((over.status, over.kind()), (403, "OverQuota"));
    let used = server.member("DELETE", "/v1/profiles/hp", None).await;
    assert_eq!((used.status, used.kind()), (409, "ResourceInUse"));
    server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_follow_one_another() {
    let server = Server::start().await;
    server.with_hosts().await;
    for i in 0..7 {
        let node = json!({"node": {"name": format!("n{}", i % 3), "profile_id": "hp"}});
        assert_eq!(server.member("POST", "/v1/nodes", Some(node)).await.status, 202);
    }
    for sort in [
        "",
        "&sort=name",
        "&sort=name:desc",
        "&sort=created_at:desc,name",
        "&sort=status,name:desc",
    ] {
        let whole = server
            .member("GET", &format!("/v1/nodes?{}", sort.trim_start_matches('&')), None)
            .await;
        let ids = |v: &Value| -> Vec<String> {
            v["nodes"]
                .as_array()
                .unwrap()
                .iter()
                .map(|n| n["id"].as_str().unwrap().to_owned())
                .collect()
        };
        let whole = ids(&whole.body);
        let mut paged = Vec::new();
        loop {
            let marker = paged.last().map(|id| format!("&marker={id}")).unwrap_or_default();
            let page = ids(&server
                .member("GET", &format!("/v1/nodes?limit=2{sort}{marker}"), None)
                .await
                .body);
            if page.is_empty() {
                break;
            }
            assert!(page.len() <= 2);
            paged.extend(page);
        }
        assert_eq!((whole.len(), &paged), (7, &whole), "{sort}");
    }
    let many = server.member("GET", "/v1/nodes/n1", None).await;
    assert_eq!((many.status, many.kind()), (400, "MultipleChoices"));
    assert_eq!(
        server.member("GET", "/v1/nodes?limit=0", None).await.body,
        json!({"nodes": []})
    );
    assert_eq!(
        server.member("GET", "/v1/nodes?name=n1&name=n2", None).await.body["nodes"]
            .as_array()
            .unwrap()
            .len(),
        4
    );
    let asked = server.member("GET", "/v1/nodes/n1?show_details=true", None).await;
    assert_eq!(asked.status, 400);
    server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_engine_what_is_live_answers_503() {
    let server = Server::start().await;
    server.with_hosts().await;
    let adopt = json!({"identity": "sim://b", "type": "host.dockerinc.engine-1.0", "name": "b"});
    let answer = server.member("POST", "/v1/nodes/adopt", Some(adopt)).await;
    assert_eq!((answer.status, answer.kind()), (503, "ServiceUnavailable"));
    assert!(
        answer.message().contains("no engine is running"),
        "{}",
        answer.message()
    );
    assert_eq!(answer.headers["retry-after"], "5");
    server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_with_a_key_is_carried_out_once() {
    let server = Server::start().await;
    server.with_hosts().await;
    let post = async |key: &str, version: &str, token: &str, name: &str| {
        let body = json!({"cluster": {"name": name, "profile_id": "hp"}});
        let headers = [("Idempotency-Key", key)];
        server
            .call_with(token, version, "POST", "/v1/clusters", Some(body), &headers)
            .await
    };
    let first = post("k1", "1.15", "member", "one").await;
    assert_eq!(first.status, 202, "{}", first.body);
    let again = post("k1", "1.15", "member", "one").await;
    assert_eq!((again.status, &again.body), (202, &first.body));
    assert_eq!(again.headers["location"], first.headers["location"]);
    assert_eq!(again.headers["idempotency-replayed"], "true");
    let other = post("k1", "1.15", "member", "two").await;
    assert_eq!(other.status, 409, "{}", other.body);
    assert!(
        other.message().contains("'k1' was used for another request"),
        "{}",
        other.message()
    );
    // Another project's key is its own; below 1.15 the header is nothing.
    assert_eq!(
        post("k1", "1.15", "other", "one").await.status,
        400,
        "no such profile there"
    );
    assert_eq!(post("k1", "1.14", "member", "two").await.status, 202);
    assert_eq!(post(&"x".repeat(300), "1.15", "member", "two").await.status, 400);
    // What was refused is answered the same way again.
    let refused = post("k2", "1.15", "member", "a b").await;
    assert_eq!(
        (refused.status, post("k2", "1.15", "member", "a b").await.body),
        (400, refused.body)
    );
    let named = "SELECT count(*) FROM clusters WHERE name = 'one'";
    assert_eq!(server.db.count(named).await.unwrap(), 1);
    // Begun, and not answered yet.
    server
        .db
        .execute("UPDATE idempotency_keys SET status = NULL WHERE key = 'k1'")
        .await
        .unwrap();
    let early = post("k1", "1.15", "member", "one").await;
    assert!(
        early.status == 409 && early.message().contains("is under way"),
        "{}",
        early.body
    );
    server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_database_cannot_hold_is_refused() {
    let server = Server::start().await;
    let body = json!({"profile": {"name": "p", "spec": {"type": "x", "version": "1", "properties": {"a": ["\0"]}}}});
    for (method, path, body, place) in [
        ("GET", "/v1/clusters?name=a%00b", None, "the parameter 'name'"),
        ("GET", "/v1/clusters/a%00b", None, "the path"),
        ("POST", "/v1/profiles", Some(body), "'profile' of the body"),
    ] {
        let got = server.member(method, path, body).await;
        assert_eq!(got.status, 400, "{method} {path}: {}", got.body);
        assert_eq!(
            got.message(),
            format!("The character U+0000 is not allowed; it is in {place}.")
        );
    }
    server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_has_so_many_nodes_and_no_more() {
    let server = Server::start().await;
    server.with_hosts().await;
    server
        .db
        .execute("UPDATE actions SET status = 'CANCELLED' WHERE status = 'READY'")
        .await
        .unwrap();
    let scale = json!({"scale_out": {"count": 900}});
    for (path, body) in [
        (
            "/v1/clusters",
            json!({"cluster": {"name": "big", "profile_id": "hp", "desired_capacity": 51}}),
        ),
        ("/v1/clusters/hosts/actions", scale.clone()),
        (
            "/v1/clusters/hosts/actions",
            json!({"resize": {"adjustment_type": "EXACT_CAPACITY", "number": 51}}),
        ),
    ] {
        let got = server.member("POST", path, Some(body)).await;
        assert_eq!((got.status, got.kind()), (403, "OverQuota"), "{path}: {}", got.body);
        assert!(
            got.message().contains("a project may have 50, this one has 0"),
            "{}",
            got.message()
        );
    }
    let fits = json!({"scale_out": {"count": 50}});
    assert_eq!(
        server
            .member("POST", "/v1/clusters/hosts/actions", Some(fits))
            .await
            .status,
        202
    );
    server.close().await;
}

/// The greatest number comes back from the database, and breaks no list.
#[tokio::test(flavor = "multi_thread")]
async fn the_greatest_number_can_be_read_again() {
    let server = Server::start().await;
    server.with_hosts().await;
    let body = json!({"cluster": {"name": "c", "profile_id": "hp", "config": {"n": 1.7976931348623157e308}}});
    let made = server.member("POST", "/v1/clusters", Some(body)).await;
    assert_eq!(made.status, 202, "{}", made.body);
    let listed = server.member("GET", "/v1/clusters?name=c", None).await;
    assert_eq!(
        listed.body["clusters"][0]["config"]["n"],
        json!(1.7976931348623157e308),
        "{}",
        listed.body
    );
    server.close().await;
}

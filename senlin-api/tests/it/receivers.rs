//! Policies, bindings, receivers and webhooks at the API.

use serde_json::{Value, json};

use crate::{Answer, Server};

async fn receiver(server: &Server, token: &str, extra: Value) -> Answer {
    let mut body = json!({"name": "r", "type": "webhook", "cluster_id": "hosts", "action": "CLUSTER_SCALE_OUT",
        "params": {"count": 2}});
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    server
        .call(token, "1.15", "POST", "/v1/receivers", Some(json!({"receiver": body})))
        .await
}

/// Path and query of a receiver's URL.
fn door(answer: &Answer) -> String {
    let url = answer.text("/receiver/channel/alarm_url");
    url.split_once("/v1/").map(|(_, rest)| format!("/v1/{rest}")).unwrap()
}

async fn trigger(server: &Server, path: &str, version: &str, body: Option<Value>) -> Answer {
    server.call("", version, "POST", path, body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_does_what_it_is_for_and_nothing_else() {
    let server = Server::start().await;
    let cluster = server.with_hosts().await;
    // Nothing runs here: what was asked for before is out of the way.
    let quiet = "UPDATE actions SET status = 'CANCELLED' WHERE status = 'READY'";
    server.db.execute(quiet).await.unwrap();
    let made = receiver(&server, "member", json!({})).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let path = door(&made);
    assert!(path.contains("/trigger?V=2&count=2&key="), "{path}");

    let done = trigger(&server, &path, "", None).await;
    assert_eq!(done.status, 202, "{}", done.body);
    let action = done.text("/action");
    assert!(
        done.headers["location"]
            .to_str()
            .unwrap()
            .ends_with(&format!("/v1/actions/{action}"))
    );
    let shown = server.member("GET", &format!("/v1/actions/{action}"), None).await;
    assert_eq!(shown.body["action"]["action"], "CLUSTER_SCALE_OUT");
    assert_eq!(shown.body["action"]["inputs"], json!({"count": 2}));
    assert_eq!(shown.text("/action/user"), "member");
    assert_eq!(shown.text("/action/target"), cluster);
    assert!(shown.text("/action/name").starts_with("webhook_"));

    // A second one meets the first, as any request would.
    assert_eq!(trigger(&server, &path, "", None).await.status, 409);
    let bare = path.split_once('?').unwrap().0.to_owned();
    let id = made.text("/receiver/id");
    for (path, status) in [
        (bare.clone(), 400),
        (format!("{bare}?V=2"), 403),
        (format!("{bare}?V=2&key=wrong"), 403),
        (path.replace(&id, "00000000-0000-0000-0000-000000000000"), 404),
        (path.replace(&id, "nonsense"), 404),
    ] {
        assert_eq!(trigger(&server, &path, "", None).await.status, status, "{path}");
    }

    // How the body is read, by version and V; then checked as the action's own parameters.
    let v1 = path.replace("V=2", "V=1");
    for (path, version, body, expected) in [
        (&path, "", json!({"count": 3}), Ok(json!({"count": 3}))),
        (&v1, "", json!({"params": {"count": "4"}}), Ok(json!({"count": 4}))),
        (&v1, "1.10", json!({"count": 5}), Ok(json!({"count": 5}))),
        (
            &path,
            "1.10",
            json!({"candidates": ["x"], "count": 1}),
            Ok(json!({"count": 1})),
        ),
        (
            &v1,
            "",
            json!({"count": 3}),
            Err("Additional properties are not allowed"),
        ),
        (&path, "", json!({"count": -1}), Err("Value must be >= 0")),
        (&path, "", json!({"count": "many"}), Err("must be an integer")),
    ] {
        server.db.execute(quiet).await.unwrap();
        let got = trigger(&server, path, version, Some(body.clone())).await;
        match expected {
            Ok(inputs) => {
                assert_eq!(got.status, 202, "{body}: {}", got.body);
                let shown = server
                    .member("GET", &format!("/v1/actions/{}", got.text("/action")), None)
                    .await;
                assert_eq!(shown.body["action"]["inputs"], inputs, "{body}");
            }
            Err(part) => {
                assert_eq!(got.status, 400, "{body}: {}", got.body);
                assert!(got.message().contains(part), "{body}: {}", got.message());
            }
        }
    }

    // Rotated, the old URL is nothing; changed, the URL says so; readers do not see what opens it.
    let rotated = server
        .call("member", "1.15", "POST", "/v1/receivers/r/rotate", None)
        .await;
    assert_eq!(rotated.status, 200);
    assert_eq!(trigger(&server, &path, "", None).await.status, 403);
    let params = json!({"receiver": {"params": {"count": 7}}});
    let changed = server.member("PATCH", "/v1/receivers/r", Some(params.clone())).await;
    assert!(door(&changed).contains("count=7"), "{}", changed.body);
    assert_eq!(
        server.member("PATCH", "/v1/receivers/r", Some(params)).await.status,
        400
    );
    let read = server.call("reader", "1.14", "GET", "/v1/receivers/r", None).await;
    assert!(
        door(&read).ends_with("key=***") || door(&read).ends_with("key=%2A%2A%2A"),
        "{}",
        read.body
    );
    assert!(
        read.body["receiver"].get("expires_at").is_none(),
        "1.14 does not know it"
    );

    // Its time passes.
    let past = json!({"receiver": {"expires_at": "2020-01-01T00:00:00Z"}});
    let changed = server
        .call("member", "1.15", "PATCH", "/v1/receivers/r", Some(past))
        .await;
    assert_eq!(changed.text("/receiver/expires_at"), "2020-01-01T00:00:00Z");
    let late = trigger(&server, &door(&changed), "", None).await;
    assert_eq!((late.status, late.message()), (403, "The receiver has expired."));
    server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_receivers_are_named() {
    let server = Server::start().await;
    server.with_hosts().await;
    for (token, extra, status, part) in [
        ("member", json!({"type": "bogus"}), 400, "bogus is invalid"),
        ("member", json!({"type": "message"}), 400, "Zaqar"),
        (
            "member",
            json!({"cluster_id": "missing"}),
            400,
            "'missing' could not be found",
        ),
        ("other", json!({}), 400, "'hosts' could not be found"),
        ("member", json!({"action": "CLUSTER_CREATE"}), 400, "CLUSTER_CREATE"),
        (
            "member",
            json!({"action": "NODE_DELETE"}),
            400,
            "Illegal action 'NODE_DELETE'",
        ),
        ("member", json!({"action": null}), 400, "'action' is required"),
        ("member", json!({"name": "a b"}), 400, "illegal character"),
        (
            "member",
            json!({"expires_at": "soon"}),
            400,
            "'expires_at' is not a time",
        ),
        ("member", json!({"bogus": 1}), 400, "Additional properties"),
        ("reader", json!({}), 403, "not authorized"),
    ] {
        let got = receiver(&server, token, extra.clone()).await;
        assert_eq!(got.status, status, "{extra}: {}", got.body);
        assert!(got.message().contains(part), "{extra}: {}", got.message());
    }
    let made = receiver(&server, "member", json!({})).await;
    let id = made.text("/receiver/id");
    for (method, path) in [
        ("GET", format!("/v1/receivers/{id}")),
        ("DELETE", format!("/v1/receivers/{id}")),
        ("POST", format!("/v1/receivers/{id}/rotate")),
    ] {
        assert_eq!(
            server.call("other", "1.15", method, &path, None).await.status,
            404,
            "{method} {path}"
        );
    }
    // More calls than a minute lets through.
    let path = door(&made);
    let mut refused = 0;
    for _ in 0..70 {
        let got = trigger(&server, &path, "", None).await;
        if got.status == 429 {
            assert_eq!(got.headers["retry-after"], "5");
            refused += 1;
        }
    }
    assert!(refused >= 5, "{refused}");
    server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_are_made_shown_attached_and_kept_apart() {
    let server = Server::start().await;
    server.with_hosts().await;
    let spec = json!({"type": "senlin.policy.scaling", "version": 1.0, "description": "mine",
        "properties": {"event": "CLUSTER_SCALE_OUT", "adjustment": {"cooldown": 60}}});
    let body = json!({"policy": {"name": "out", "spec": spec}});
    let made = server.member("POST", "/v1/policies", Some(body.clone())).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(made.body["policy"]["spec"], spec, "as it was given");
    assert_eq!(made.text("/policy/type"), "senlin.policy.scaling-1.0");
    let valid = json!({"policy": {"spec": spec}});
    let checked = server.member("POST", "/v1/policies/validate", Some(valid)).await;
    assert_eq!(
        (checked.status, checked.text("/policy/name").as_str()),
        (200, "validated_policy")
    );
    for (spec, status, message) in [
        (
            json!({"type": "senlin.policy.bogus", "version": "1.0", "properties": {}}),
            404,
            "The policy_type 'senlin.policy.bogus-1.0' could not be found.",
        ),
        (
            json!({"type": "senlin.policy.scaling", "version": "1.0", "properties": {"bogus": 1}}),
            400,
            "Unrecognizable spec item 'bogus'",
        ),
        (
            json!({"type": "senlin.policy.scaling", "version": "1.0", "properties": {}}),
            400,
            "Required spec item 'event' not provided",
        ),
        (
            json!({"type": "senlin.policy.scaling"}),
            400,
            "The 'version' key is missing from the provided spec map.",
        ),
    ] {
        let body = json!({"policy": {"name": "bad", "spec": spec}});
        let got = server.member("POST", "/v1/policies", Some(body)).await;
        assert_eq!((got.status, got.message()), (status, message), "{spec}");
    }
    assert_eq!(
        server
            .call("other", "1.14", "GET", "/v1/policies/out", None)
            .await
            .status,
        404
    );
    let renamed = json!({"policy": {"name": "renamed"}});
    let shown = server.member("PATCH", "/v1/policies/out", Some(renamed.clone())).await;
    assert_eq!((shown.status, shown.text("/policy/name").as_str()), (200, "renamed"));
    assert_eq!(
        server
            .member("PATCH", "/v1/policies/renamed", Some(renamed))
            .await
            .status,
        400
    );

    // Attached (no engine runs here, so by hand), listed, and not to be deleted.
    server
        .db
        .execute(
            "INSERT INTO cluster_policies (id, cluster_id, policy_id, priority, last_op)
            SELECT gen_random_uuid(), c.id, p.id, 100, now() FROM clusters c, policies p;
            UPDATE actions SET status = 'CANCELLED' WHERE status = 'READY'",
        )
        .await
        .unwrap();
    let path = "/v1/clusters/hosts/policies";
    for (query, count) in [
        ("", 1),
        ("?enabled=true", 1),
        ("?enabled=false", 0),
        (
            "?policy_name=renamed&policy_type=senlin.policy.scaling-1.0&sort=enabled:desc",
            1,
        ),
        ("?policy_name=out", 0),
    ] {
        let got = server.member("GET", &format!("{path}{query}"), None).await;
        assert_eq!(got.body["cluster_policies"].as_array().unwrap().len(), count, "{query}");
    }
    for query in ["?limit=1", "?enabled=perhaps", "?sort=name"] {
        assert_eq!(
            server.member("GET", &format!("{path}{query}"), None).await.status,
            400,
            "{query}"
        );
    }
    let binding = server.member("GET", &format!("{path}/renamed"), None).await;
    assert_eq!(binding.text("/cluster_policy/policy_name"), "renamed");
    let deleted = server.member("DELETE", "/v1/policies/renamed", None).await;
    assert_eq!(
        (deleted.status, deleted.message()),
        (
            409,
            "The policy 'renamed' cannot be deleted: still attached to some clusters."
        )
    );
    // Its cooldown is told at once.
    let out = json!({"scale_out": {}});
    let cooling = server.member("POST", "/v1/clusters/hosts/actions", Some(out)).await;
    assert_eq!(
        (cooling.status, cooling.kind()),
        (409, "ActionCooldown"),
        "{}",
        cooling.body
    );
    let inside = json!({"scale_in": {}});
    let other = server.member("POST", "/v1/clusters/hosts/actions", Some(inside)).await;
    assert_eq!(other.status, 202, "{}", other.body);
    server.close().await;
}

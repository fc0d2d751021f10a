//! What 1.15 adds beside receivers: policy types, plans, the in-container interface.

use serde_json::{Value, json};

use crate::Server;

#[tokio::test(flavor = "multi_thread")]
async fn new_policy_types_are_seen_from_1_15_on() {
    let server = Server::start().await;
    let names = async |version: &str| {
        let got = server.call("member", version, "GET", "/v1/policy-types", None).await;
        let list = got.body["policy_types"].as_array().unwrap().clone();
        let name = |t: &Value| t["name"].as_str().unwrap().to_owned();
        list.iter().map(name).collect::<std::collections::BTreeSet<_>>()
    };
    let (old, new) = (names("1.14").await, names("1.15").await);
    let added: Vec<_> = new.difference(&old).collect();
    assert_eq!(added, ["senlin.policy.host_placement", "senlin.policy.target_tracking"]);
    for name in [
        "affinity",
        "batch",
        "deletion",
        "health",
        "region_placement",
        "scaling",
        "zone_placement",
    ] {
        assert!(old.contains(&format!("senlin.policy.{name}")), "{name}: {old:?}");
    }
    let path = "/v1/policy-types/senlin.policy.host_placement-1.0";
    assert_eq!(server.call("member", "1.14", "GET", path, None).await.status, 404);
    assert_eq!(server.call("member", "1.15", "GET", path, None).await.status, 200);
    server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_checked_before_anybody_is_asked() {
    let server = Server::start().await;
    server.with_hosts().await;
    let path = "/v1/clusters/hosts/plan";
    for (token, version, body, status, part) in [
        (
            "member",
            "1.14",
            json!({"scale_out": {}}),
            400,
            "not supported on this method",
        ),
        (
            "member",
            "1.15",
            json!({"policy_attach": {}}),
            400,
            "There are plans for",
        ),
        ("member", "1.15", json!({"scale_out": {"count": 0}}), 400, "cannot be 0"),
        ("other", "1.15", json!({"scale_out": {}}), 404, "hosts"),
        ("guest", "1.15", json!({"scale_out": {}}), 403, "not authorized"),
        // A reader may know what would be; here no engine is there to say it.
        ("reader", "1.15", json!({"scale_out": {"count": 1}}), 503, "no engine"),
    ] {
        let got = server.call(token, version, "POST", path, Some(body.clone())).await;
        assert_eq!(got.status, status, "{token} {body}: {}", got.body);
        assert!(got.message().contains(part), "{token} {body}: {}", got.message());
    }
    server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_containers_own_key_opens_its_door() {
    let server = Server::start().await;
    for key in ["", "member", "AAAA"] {
        let bearer = format!("Bearer {key}");
        let header = [("Authorization", bearer.as_str())];
        for (method, path) in [
            ("GET", "/v1/self"),
            ("GET", "/v1/self/members"),
            ("POST", "/v1/self/events"),
            ("POST", "/v1/self/protection"),
            ("POST", "/v1/self/lifecycle"),
        ] {
            let got = server.call_with("", "", method, path, Some(json!({})), &header).await;
            assert_eq!(got.status, 401, "{method} {path} with '{key}': {}", got.body);
        }
    }
    // Prometheus can only send its token like this.
    let header = [("Authorization", "Bearer member")];
    let got = server
        .call_with("", "", "GET", "/v1/prometheus/targets", None, &header)
        .await;
    assert_eq!(got.status, 503, "let in; no engine is there: {}", got.body);
    server.close().await;
}

/// A field that a version brought is read past below it or refused there, as it always was.
#[tokio::test(flavor = "multi_thread")]
async fn fields_are_known_from_their_version_on() {
    let server = Server::start().await;
    server.with_hosts().await;
    let (cluster, actions) = ("/v1/clusters/hosts", "/v1/clusters/hosts/actions");
    let nothing = "No property needs an update.";
    for (version, method, path, body, said) in [
        (
            "1.5",
            "PATCH",
            cluster,
            json!({"cluster": {"profile_only": "perhaps"}}),
            nothing,
        ),
        (
            "1.6",
            "PATCH",
            cluster,
            json!({"cluster": {"profile_only": "perhaps"}}),
            "Unrecognized value 'perhaps'",
        ),
        (
            "1.14",
            "PATCH",
            cluster,
            json!({"cluster": {"shared_with": 5}}),
            nothing,
        ),
        (
            "1.15",
            "PATCH",
            cluster,
            json!({"cluster": {"shared_with": 5}}),
            "'shared_with' must be a list",
        ),
        (
            "1.14",
            "POST",
            actions,
            json!({"resize": {"min_size": 0, "plan_token": "t"}}),
            "('plan_token' was unexpected)",
        ),
        (
            "1.14",
            "POST",
            actions,
            json!({"scale_out": {"count": 0, "plan_token": 5}}),
            "cannot be 0",
        ),
        (
            "1.14",
            "POST",
            actions,
            json!({"complete_lifecycle": {"lifecycle_action_token": "t", "heartbeat": true}}),
            "('heartbeat' was unexpected)",
        ),
    ] {
        let got = server.call("member", version, method, path, Some(body.clone())).await;
        assert_eq!(got.status, 400, "{version} {body}: {}", got.body);
        assert!(got.message().contains(said), "{version} {body}: {}", got.message());
    }
    server.close().await;
}

//! Receivers of alerts: each form, repeats, signatures, and what became of it.

use ring::hmac;
use serde_json::{Value, json};

use crate::{Answer, Server};

/// A receiver of that type for CLUSTER_SCALE_OUT; returns it and its door.
async fn receiver(server: &Server, kind: &str, options: Value) -> (Answer, String) {
    let body = json!({"receiver": {"name": kind, "type": kind, "cluster_id": "hosts", "action": "CLUSTER_SCALE_OUT",
        "params": {"count": 1}, "options": options}});
    let made = server.call("member", "1.15", "POST", "/v1/receivers", Some(body)).await;
    let url = made.text("/receiver/channel/alarm_url");
    let path = url.split_once("/v1/").map(|(_, rest)| format!("/v1/{rest}"));
    (made, path.unwrap_or_default())
}

async fn quiet(server: &Server) {
    server
        .db
        .execute("UPDATE actions SET status = 'CANCELLED' WHERE status = 'READY'")
        .await
        .unwrap();
}

fn group(name: &str, alerts: &[&str]) -> Value {
    let list: Vec<_> = alerts
        .iter()
        .map(|status| json!({"status": status, "labels": {"alertname": name}}))
        .collect();
    json!({"version": "4", "groupKey": format!("{{}}:{{alertname=\"{name}\"}}"), "status": alerts[0], "alerts": list})
}

fn outcomes(answer: &Answer) -> Vec<String> {
    let alerts = answer.body["alerts"].as_array().unwrap();
    alerts
        .iter()
        .map(|a| a["outcome"].as_str().unwrap().to_owned())
        .collect()
}

async fn post(server: &Server, door: &str, body: &Value) -> Answer {
    server.call("", "", "POST", door, Some(body.clone())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_acts_once_and_says_what_became_of_it() {
    let server = Server::start().await;
    server.with_hosts().await;
    quiet(&server).await;
    let options = json!({"window": 600, "resolved": "CLUSTER_SCALE_IN", "resolved_params": {"count": 1}});
    let (made, door) = receiver(&server, "alertmanager", options).await;
    assert_eq!(made.status, 201, "{}", made.body);

    let first = post(&server, &door, &group("Hot", &["firing", "firing", "resolved"])).await;
    assert_eq!(first.status, 202, "{}", first.body);
    assert_eq!(outcomes(&first), ["ACTED", "REPEATED", "IGNORED"]);
    let action = first.text("/action");
    let shown = server.member("GET", &format!("/v1/actions/{action}"), None).await;
    assert_eq!(shown.text("/action/inputs/because"), "Alert 'Hot' is firing.");
    // A repeat, while the first is open and after it has ended, is none.
    let again = post(&server, &door, &group("Hot", &["firing"])).await;
    assert_eq!((again.status, outcomes(&again)), (200, vec!["REPEATED".to_owned()]));
    // Another group meets the open action, and is told so.
    let other = post(&server, &door, &group("Slow", &["firing"])).await;
    assert_eq!((other.status, outcomes(&other)), (200, vec!["REFUSED".to_owned()]));
    let why = other.text("/alerts/0/reason");
    assert!(why.contains("conflicts") || why.contains("locked"), "{why}");
    quiet(&server).await;
    // What was refused has not acted: it may when it comes again.
    let other = post(&server, &door, &group("Slow", &["firing"])).await;
    assert_eq!(outcomes(&other), ["ACTED"]);
    quiet(&server).await;
    let resolved = post(&server, &door, &group("Hot", &["resolved"])).await;
    assert_eq!(outcomes(&resolved), ["ACTED"]);
    let shown = server
        .member("GET", &format!("/v1/actions/{}", resolved.text("/action")), None)
        .await;
    assert_eq!(shown.text("/action/action"), "CLUSTER_SCALE_IN");

    let path = format!("/v1/receivers/{}/deliveries", made.text("/receiver/id"));
    let list = server.call("reader", "1.15", "GET", &path, None).await;
    let all = list.body["deliveries"].as_array().unwrap();
    assert_eq!(all.len(), 7, "{}", list.body);
    assert!(all.iter().all(|d| !d["reason"].as_str().unwrap().is_empty()), "{all:?}");
    assert_eq!(server.call("other", "1.15", "GET", &path, None).await.status, 404);
    assert_eq!(server.call("member", "1.14", "GET", &path, None).await.status, 400);
    server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_deliveries_at_once_act_once() {
    let server = Server::start().await;
    server.with_hosts().await;
    quiet(&server).await;
    let (_, door) = receiver(&server, "grafana", json!({})).await;
    let body = group("Hot", &["firing"]);
    let all = futures_util::future::join_all((0..8).map(|_| post(&server, &door, &body))).await;
    let acted = all.iter().flat_map(outcomes).filter(|o| o == "ACTED").count();
    assert_eq!(acted, 1, "{:?}", all.iter().map(outcomes).collect::<Vec<_>>());
    let actions = "SELECT count(*) FROM actions WHERE action = 'CLUSTER_SCALE_OUT'";
    assert_eq!(server.db.count(actions).await.unwrap(), 1);
    server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cooldown_says_so_and_other_states_do_nothing() {
    let server = Server::start().await;
    let cluster = server.with_hosts().await;
    quiet(&server).await;
    let spec = json!({"type": "senlin.policy.scaling", "version": "1.0", "properties":
        {"event": "CLUSTER_SCALE_OUT", "adjustment": {"cooldown": 600}}});
    let made = server
        .member(
            "POST",
            "/v1/policies",
            Some(json!({"policy": {"name": "p", "spec": spec}})),
        )
        .await;
    server
        .db
        .execute(&format!(
            "INSERT INTO cluster_policies (id, cluster_id, policy_id, priority, last_op)
            VALUES (gen_random_uuid(), '{cluster}', '{}', 100, now())",
            made.text("/policy/id")
        ))
        .await
        .unwrap();
    // Aodh's form, which is what type json reads without a map of fields.
    let (_, door) = receiver(&server, "json", json!({})).await;
    let aodh = |current: &str| json!({"alarm_id": "a1", "alarm_name": "cpu", "previous": "ok", "current": current});
    let refused = post(&server, &door, &aodh("alarm")).await;
    assert_eq!(outcomes(&refused), ["REFUSED"]);
    assert!(
        refused
            .text("/alerts/0/reason")
            .contains("policy 'p' is in cooldown for another")
    );
    for state in ["ok", "insufficient data"] {
        let ignored = post(&server, &door, &aodh(state)).await;
        assert_eq!(outcomes(&ignored), ["IGNORED"], "{state}");
    }
    let nonsense = post(&server, &door, &json!({"x": 1})).await;
    assert_eq!(nonsense.status, 400, "{}", nonsense.body);
    server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_door_opens_for_the_secret_only() {
    let server = Server::start().await;
    server.with_hosts().await;
    quiet(&server).await;
    let (made, door) = receiver(&server, "grafana", json!({"secret": "open sesame"})).await;
    assert_eq!(made.text("/receiver/options/secret"), "***", "it is never shown");
    let body = group("Hot", &["firing"]);
    let sign = |secret: &str, text: &str| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let tag = hmac::sign(&key, text.as_bytes());
        hex::encode(tag)
    };
    let text = body.to_string();
    for (signature, status) in [
        (String::new(), 403),
        (sign("another one", &text), 403),
        (sign("open sesame", "another body"), 403),
        (sign("open sesame", &text), 202),
    ] {
        let header = [("X-Grafana-Alerting-Signature", signature.as_str())];
        let got = server
            .call_with("", "", "POST", &door, Some(body.clone()), &header)
            .await;
        assert_eq!(got.status, status, "{signature}: {}", got.body);
    }
    let kept = "SELECT options::text FROM receivers WHERE options::text LIKE '%sesame%'";
    assert!(server.db.column(kept).await.unwrap().is_empty(), "it is sealed");
    server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_options_are_named() {
    let server = Server::start().await;
    server.with_hosts().await;
    for (kind, options, part) in [
        ("json", json!({"window": -1}), "options.window"),
        ("json", json!({"resolved": "CLUSTER_DANCE"}), "CLUSTER_DANCE"),
        ("json", json!({"fields": {"state": "$.["}}), "JSONPath"),
        ("json", json!({"secret": "short"}), "at least 8"),
        ("json", json!({"colour": "red"}), "colour"),
        ("webhook", json!({"window": 1}), "options"),
        ("carrier pigeon", json!({}), "carrier pigeon"),
    ] {
        let (made, _) = receiver(&server, kind, options.clone()).await;
        assert_eq!(made.status, 400, "{kind} {options}");
        assert!(made.message().contains(part), "{kind} {options}: {}", made.message());
    }
    // Below 1.15 there are no such types.
    let body = json!({"receiver": {"name": "r", "type": "json", "cluster_id": "hosts", "action": "CLUSTER_SCALE_OUT"}});
    assert_eq!(
        server
            .call("member", "1.14", "POST", "/v1/receivers", Some(body))
            .await
            .status,
        400
    );
    server.close().await;
}

//! Identity with a real Keystone.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it saw"
)]

use std::time::Duration;

use hyper::Method;
use senlin_tests::{
    http::{Client, raw, text},
    keystone::{Keystone, scope},
    programs::{Plane, Program},
};
use serde_json::{Value, json};

/// Seconds that tokens live here: long enough for the story, short enough to see one end.
const TOKEN_LIFETIME: u32 = 90;

async fn list(plane: &Plane, token: &str) -> (u16, hyper::HeaderMap, Value) {
    let url = format!("{}/v1/clusters", plane.client.base());
    raw(Method::GET, &url, &[("x-auth-token", token)], None).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_keystone() {
    let mut keystone = Keystone::start(TOKEN_LIFETIME).await.unwrap();
    let began = std::time::Instant::now();
    let first = keystone.scoped("member", "demo").await.unwrap();
    let api = keystone.settings("cache_seconds = 300\nnegative_seconds = 1");
    let plane = Plane::with_api(1, "[rules]\nallow_simulated = true\n", &api)
        .await
        .unwrap();

    // Every kind of token.
    let domain = json!({"domain": {"name": "Default"}});
    let table = [
        ("a member's", first.clone(), 200, ""),
        ("a reader's", keystone.scoped("reader", "demo").await.unwrap(), 200, ""),
        ("an admin's", keystone.scoped("admin", "admin").await.unwrap(), 200, ""),
        (
            "unscoped",
            keystone.token("member", &json!("unscoped")).await.unwrap(),
            403,
            "this one is unscoped",
        ),
        (
            "domain-scoped",
            keystone.token("admin", &domain).await.unwrap(),
            403,
            "this one is domain-scoped",
        ),
        (
            "system-scoped",
            keystone
                .token("admin", &json!({"system": {"all": true}}))
                .await
                .unwrap(),
            403,
            "this one is system-scoped",
        ),
        ("none", String::new(), 401, "requires authentication"),
        ("garbage", "gAAAAA".to_owned(), 401, "requires authentication"),
    ];
    for (name, token, status, part) in &table {
        let (got, headers, body) = list(&plane, token).await;
        assert_eq!(got, *status, "{name}: {body}");
        assert!(body.to_string().contains(part), "{name}: {body}");
        if got == 401 {
            let challenge = headers["www-authenticate"].to_str().unwrap();
            assert_eq!(challenge, format!("Keystone uri=\"{}\"", keystone.url()), "{name}");
        }
    }
    let profile = json!({"profile": {"name": "p", "spec": {"type": "host.dockerinc.engine", "version": "1.0",
        "properties": {"endpoints": [{"url": "sim://keystone"}]}}}});
    let reader = plane.client.with(&table[1].1);
    let (status, _) = reader.call(Method::POST, "/v1/profiles", Some(&profile)).await.unwrap();
    assert_eq!(status, 403, "readers do not write");
    // No other header says who somebody is.
    let url = format!("{}/v1/clusters", plane.client.base());
    let pretended = [
        ("x-user-id", "admin"),
        ("x-project-id", "admin"),
        ("x-roles", "admin"),
        ("x-identity-status", "Confirmed"),
    ];
    assert_eq!(raw(Method::GET, &url, &pretended, None).await.unwrap().0, 401);

    // Many requests with one new token ask Keystone once.
    let fresh = keystone.scoped("other_member", "demo").await.unwrap();
    let before = keystone.validations();
    let mut many = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let (url, token) = (url.clone(), fresh.clone());
        many.spawn(async move {
            raw(Method::GET, &url, &[("x-auth-token", &token)], None)
                .await
                .unwrap()
                .0
        });
    }
    while let Some(status) = many.join_next().await {
        assert_eq!(status.unwrap(), 200);
    }
    assert_eq!(keystone.validations() - before, 1, "one validation for 40 requests");

    let door = webhook(&keystone, &plane, &first).await;

    // A token that was revoked before anybody used it, and one that is remembered.
    let revoked = keystone.scoped("reader", "demo").await.unwrap();
    let subject = [("x-auth-token", first.as_str()), ("x-subject-token", revoked.as_str())];
    let admin = keystone.scoped("admin", "admin").await.unwrap();
    let tokens = format!("{}/auth/tokens", keystone.url());
    let as_admin = [("x-auth-token", admin.as_str()), subject[1]];
    let (status, _, _) = raw(Method::DELETE, &tokens, &as_admin, None).await.unwrap();
    assert_eq!(status, 204);
    assert_eq!(list(&plane, &revoked).await.0, 401, "revoked");

    // Keystone away: what is remembered goes on, what is new is not denied but put off.
    let new = keystone.scoped("member", "demo").await.unwrap();
    keystone.stop();
    assert_eq!(list(&plane, &first).await.0, 200, "a remembered token goes on");
    let (status, headers, body) = list(&plane, &new).await;
    assert_eq!(status, 503, "{body}");
    assert!(headers.contains_key("retry-after"));
    keystone.launch().await.unwrap();
    assert_eq!(list(&plane, &new).await.0, 200, "Keystone is back");

    // Who has lost the role cannot act through a webhook any more (once it is forgotten that they had it).
    keystone
        .grant(Method::DELETE, "member", "demo", "member")
        .await
        .unwrap();
    let (_other, client) = api_without_memory(&keystone, &plane).await;
    let late = format!("{}{door}", client.base());
    assert_eq!(
        raw(Method::POST, &late, &[], None).await.unwrap().0,
        403,
        "the role is gone"
    );

    // It has ended by itself, whatever was remembered.
    let left = Duration::from_secs(u64::from(TOKEN_LIFETIME) + 1).saturating_sub(began.elapsed());
    tokio::time::sleep(left).await;
    assert_eq!(list(&plane, &first).await.0, 401, "expired");

    let logs = plane.logs();
    for secret in [
        &first,
        &fresh,
        &new,
        &revoked,
        &senlin_tests::keystone::PASSWORD.to_owned(),
    ] {
        assert!(!logs.contains(secret.as_str()), "a secret is in a log");
    }
}

/// A receiver made with a token; its URL, called at once.
async fn webhook(keystone: &Keystone, plane: &Plane, token: &str) -> String {
    let member = plane.client.with(token);
    let properties = json!({"endpoints": [{"url": "sim://keystone-a"}, {"url": "sim://keystone-b"}]});
    let profile = member
        .profile("hosts", "host.dockerinc.engine", "1.0", properties)
        .await
        .unwrap();
    let cluster = member.cluster("hosts", &profile, 1).await.unwrap();
    member.active(&cluster, 1, Duration::from_secs(30)).await.unwrap();
    let body = json!({"receiver": {"name": "r", "type": "webhook", "cluster_id": "hosts",
        "action": "CLUSTER_SCALE_OUT", "params": {}}});
    let made = member.post("/v1/receivers", &body).await.unwrap();
    let url = text(&made, "/receiver/channel/alarm_url").unwrap();
    let (status, _, answer) = raw(Method::POST, &url, &[], None).await.unwrap();
    assert_eq!(status, 202, "{answer}");
    member
        .ended(&text(&answer, "/action").unwrap(), Duration::from_secs(30))
        .await
        .unwrap();
    member.active(&cluster, 2, Duration::from_secs(30)).await.unwrap();
    let user = keystone.id("users", "member").await.unwrap();
    let shown = member
        .get(&format!("/v1/actions/{}", text(&answer, "/action").unwrap()))
        .await
        .unwrap();
    assert_eq!(text(&shown, "/action/user").unwrap(), user);
    url.split_once("/v1/").map(|(_, rest)| format!("/v1/{rest}")).unwrap()
}

/// Another API on the same database and key, which remembers nothing; its
/// service user is an application credential.
async fn api_without_memory(keystone: &Keystone, plane: &Plane) -> (Program, Client) {
    let own = keystone
        .token("senlin", &json!({"project": scope("service")}))
        .await
        .unwrap();
    let user = keystone.id("users", "senlin").await.unwrap();
    let body = json!({"application_credential": {"name": "senlin-api", "secret": "swordfish-application"}});
    let url = format!("{}/users/{user}/application_credentials", keystone.url());
    let (status, _, made) = raw(Method::POST, &url, &[("x-auth-token", &own)], Some(&body))
        .await
        .unwrap();
    assert_eq!(status, 201, "{made}");
    let id = text(&made, "/application_credential/id").unwrap();
    let section = format!(
        "[keystone]\nauth_url = \"{}\"\napplication_credential_id = \"{id}\"\n\
         application_credential_secret = \"swordfish-application\"\n",
        keystone.url()
    );
    plane.another_api(&section).await.unwrap()
}

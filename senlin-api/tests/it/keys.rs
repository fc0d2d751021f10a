//! Requests with an `Idempotency-Key`, whatever fails on the way.

use std::time::Duration;

use futures_util::future::join_all;
use senlin_api::Settings;
use senlin_core::{ids::*, seal::Sealer};
use senlin_db::{
    DbError,
    idempotency::{self, Begun, Claim, Keep, Stored},
    profiles::{self, NewProfile},
};
use serde_json::{Value, json};

use crate::{
    Server,
    asked::{THREE, count, member, quiet},
};

fn stored(status: u16) -> Stored {
    Stored {
        status,
        location: None,
        body: json!({"n": 1}),
    }
}

async fn post(server: &Server, token: &str, path: &str, key: &str, body: Value) -> crate::Answer {
    let headers = [("Idempotency-Key", key)];
    server
        .call_with(token, "1.15", "POST", path, Some(body), &headers)
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn g4_a_key_is_its_users_and_holds_no_secret_in_the_clear() {
    let server = quiet(Settings::default()).await;
    let body = json!({"receiver": {"name": "r", "type": "webhook", "cluster_id": "hosts",
        "action": "CLUSTER_SCALE_OUT"}});
    let first = post(&server, "member", "/v1/receivers", "k", body.clone()).await;
    assert_eq!(first.status, 201, "{}", first.body);
    let door = first.text("/receiver/channel/alarm_url");
    let (_, key) = door.split_once("key=").unwrap();
    // Another member of the project asks in their own name, and is refused as ever.
    let stranger = post(&server, "second", "/v1/receivers", "k", body.clone()).await;
    assert_eq!(stranger.status, 403, "{}", stranger.body);
    // One whose rights do not reach the operation is refused before any key is looked at.
    assert_eq!(
        post(&server, "reader", "/v1/receivers", "k", body.clone()).await.status,
        403
    );
    let again = post(&server, "member", "/v1/receivers", "k", body).await;
    assert_eq!((again.status, &again.body), (201, &first.body));
    let rows = server
        .db
        .column("SELECT k::text FROM idempotency_keys k")
        .await
        .unwrap();
    assert_eq!(rows.len(), 2, "one of each user who has the right");
    assert!(!rows.concat().contains(key), "b11: {rows:?}");
    server.close().await;
}

/// Everything that a POST makes is there together with its answer, or not at all.
#[tokio::test(flavor = "multi_thread")]
async fn a8_an_answer_that_cannot_be_kept_undoes_the_work() {
    let server = quiet(Settings::default()).await;
    member(&server, THREE, "h1", "hosts").await;
    let spec =
        json!({"type": "host.dockerinc.engine", "version": "1.0", "properties": {"endpoints": [{"url": "sim://z"}]}});
    let policy = json!({"type": "senlin.policy.deletion", "version": "1.1", "properties": {}});
    let requests = [
        (
            "profiles",
            "/v1/profiles",
            json!({"profile": {"name": "p", "spec": spec}}),
            201,
        ),
        (
            "policies",
            "/v1/policies",
            json!({"policy": {"name": "p", "spec": policy}}),
            201,
        ),
        (
            "clusters",
            "/v1/clusters",
            json!({"cluster": {"name": "c", "profile_id": "hp"}}),
            202,
        ),
        (
            "nodes",
            "/v1/nodes",
            json!({"node": {"name": "n", "profile_id": "hp"}}),
            202,
        ),
        (
            "receivers",
            "/v1/receivers",
            json!({"receiver": {"name": "r", "type": "webhook", "cluster_id": "hosts", "action": "CLUSTER_CHECK"}}),
            201,
        ),
        ("actions", "/v1/clusters/hosts/actions", json!({"check": {}}), 202),
        ("actions", "/v1/nodes/h1/actions", json!({"check": {}}), 202),
    ];
    let sabotage = "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'no answer is kept'; END $$;
        CREATE TRIGGER no BEFORE UPDATE ON idempotency_keys FOR EACH ROW EXECUTE FUNCTION no()";
    server.db.execute(sabotage).await.unwrap();
    for (i, (table, path, body, _)) in requests.iter().enumerate() {
        let all = format!("SELECT count(*) FROM {table}");
        let had = count(&server, &all).await;
        let got = post(&server, "member", path, &format!("k{i}"), body.clone()).await;
        assert_eq!(got.status, 500, "{path}: {}", got.body);
        assert_eq!(count(&server, &all).await, had, "{path}: nothing was done");
    }
    server.db.execute("DROP TRIGGER no ON idempotency_keys").await.unwrap();
    for (i, (table, path, body, status)) in requests.iter().enumerate() {
        let all = format!("SELECT count(*) FROM {table}");
        let had = count(&server, &all).await;
        for turn in 0..2 {
            let got = post(&server, "member", path, &format!("k{i}"), body.clone()).await;
            assert_eq!(got.status, *status, "{path} {turn}: {}", got.body);
        }
        assert_eq!(count(&server, &all).await, had + 1, "{path}: once");
    }
    server.close().await;
}

/// What fails after the insertion fails before the commit: a repeat makes one.
#[tokio::test(flavor = "multi_thread")]
async fn a8_a_failure_after_the_insertion_leaves_no_second_object() {
    let server = quiet(Settings::default()).await;
    let sabotage = "ALTER TABLE clusters DROP CONSTRAINT clusters_status_check;
        CREATE FUNCTION odd() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN NEW.status = 'UNREADABLE'; RETURN NEW; END $$;
        CREATE TRIGGER odd BEFORE INSERT ON clusters FOR EACH ROW EXECUTE FUNCTION odd()";
    server.db.execute(sabotage).await.unwrap();
    let body = json!({"cluster": {"name": "c", "profile_id": "hp"}});
    let broken = post(&server, "member", "/v1/clusters", "k", body.clone()).await;
    assert_eq!(broken.status, 500, "{}", broken.body);
    server.db.execute("DROP TRIGGER odd ON clusters").await.unwrap();
    let again = post(&server, "member", "/v1/clusters", "k", body).await;
    assert_eq!(again.status, 202, "{}", again.body);
    assert_eq!(
        count(&server, "SELECT count(*) FROM clusters WHERE name = 'c'").await,
        1
    );
    assert_eq!(
        count(&server, "SELECT count(*) FROM actions WHERE status = 'READY'").await,
        1
    );
    server.close().await;
}

/// A server that dies between the commit and its answer has answered, and one
/// that died before the commit has done nothing, even if it comes back.
#[tokio::test(flavor = "multi_thread")]
async fn a8_a_repeat_after_the_commit_gets_the_answer_that_was_lost() {
    let server = quiet(Settings::default()).await;
    let claim = |key: &str| Claim {
        project: "p1".to_owned(),
        user: "member".to_owned(),
        key: key.to_owned(),
        token: uuid::Uuid::new_v4(),
        sealer: Sealer::new(&Sealer::generate_key()).unwrap(),
    };
    let profile = |name: &str| NewProfile {
        id: ProfileId::random(),
        name: name.to_owned(),
        type_name: "x-1".to_owned(),
        spec: json!({"type": "x", "version": "1", "properties": {}}),
        user: "member".to_owned(),
        project: "p1".to_owned(),
        domain: None,
        metadata: senlin_core::Map::new(),
        host_node: None,
        host_cluster: None,
    };
    let answer = |_: &senlin_core::profile::Profile| stored(201);
    let mut conn = server.db.db.session();
    let first = claim("k");
    assert_eq!(idempotency::begin(&mut conn, &first, "f").await.unwrap(), Begun::New);
    let keep = Keep::new(Some(&first), &answer);
    profiles::create(&mut conn, &profile("once"), &keep).await.unwrap();
    // The answer is lost here; not even an error after it takes the key back.
    idempotency::forget(&mut conn, &first).await.unwrap();
    let repeat = Claim {
        token: uuid::Uuid::new_v4(),
        ..first.clone()
    };
    let begun = idempotency::begin(&mut conn, &repeat, "f").await.unwrap();
    assert_eq!(begun, Begun::Answered(stored(201)));

    // Begun and cut off: under way for a while, then anybody's who repeats it.
    let slow = claim("slow");
    assert_eq!(idempotency::begin(&mut conn, &slow, "f").await.unwrap(), Begun::New);
    let repeat = Claim {
        token: uuid::Uuid::new_v4(),
        ..slow.clone()
    };
    assert_eq!(
        idempotency::begin(&mut conn, &repeat, "f").await.unwrap(),
        Begun::Unanswered
    );
    assert_eq!(idempotency::begin(&mut conn, &repeat, "g").await.unwrap(), Begun::Other);
    server
        .db
        .execute("UPDATE idempotency_keys SET begun_at = now() - interval '2 minutes' WHERE key = 'slow'")
        .await
        .unwrap();
    assert_eq!(idempotency::begin(&mut conn, &repeat, "f").await.unwrap(), Begun::New);
    // The slow one wakes up: what it does is not committed.
    let late = profiles::create(&mut conn, &profile("twice"), &Keep::new(Some(&slow), &answer)).await;
    assert!(matches!(late, Err(DbError::KeyLost)), "{late:?}");
    let keep = Keep::new(Some(&repeat), &answer);
    profiles::create(&mut conn, &profile("twice"), &keep).await.unwrap();
    for name in ["once", "twice"] {
        let made = format!("SELECT count(*) FROM profiles WHERE name = '{name}'");
        assert_eq!(count(&server, &made).await, 1, "{name}");
    }
    server.close().await;
}

/// The same over the wire, with two at once: one does it, the other waits or
/// is told the same.
#[tokio::test(flavor = "multi_thread")]
async fn a8_repeats_at_once_make_one() {
    let server = quiet(Settings::default()).await;
    let body = json!({"cluster": {"name": "c", "profile_id": "hp"}});
    let all = join_all((0..12).map(|_| post(&server, "member", "/v1/clusters", "k", body.clone()))).await;
    for got in &all {
        assert!(matches!(got.status, 202 | 409), "{}", got.body);
    }
    assert!(all.iter().any(|got| got.status == 202));
    let answered = senlin_testkit::until("the answer", Duration::from_secs(10), async || {
        let got = post(&server, "member", "/v1/clusters", "k", body.clone()).await;
        anyhow::ensure!(got.status == 202, "{}", got.body);
        Ok(got)
    });
    assert_eq!(answered.await.unwrap().headers["idempotency-replayed"], "true");
    assert_eq!(
        count(&server, "SELECT count(*) FROM clusters WHERE name = 'c'").await,
        1
    );
    server.close().await;
}

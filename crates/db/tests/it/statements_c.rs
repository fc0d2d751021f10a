//! Lifecycle hooks, deliveries and keys, on real rows.

use senlin_core::{action::Action, ids::*, seal::Sealer};
use senlin_db::{
    deliveries::{self, Noted},
    fence::Fence,
    hooks,
    idempotency::{self, Begun, Stored},
};
use serde_json::json;
use uuid::Uuid;

use crate::yard::Yard;

async fn asked(yard: &Yard, node: NodeId, timeout: i64) -> Action {
    yard.check_orphan("p", node).await;
    let action = yard.claim_nodes(1).await.remove(0);
    let hook = serde_json::from_value(json!({"queue": "drains", "timeout": timeout})).unwrap();
    let (mut conn, fence) = (yard.db.db.session(), Fence::of(&action).unwrap());
    hooks::wait(&mut conn, fence, "ASKED", &hook).await.unwrap();
    assert!(hooks::wait(&mut conn, fence, "ASKED", &hook).await.is_err(), "not ours");
    action
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_waits_for_its_answer_and_goes_on() {
    let yard = Yard::new().await;
    let node = yard.node("p", None, -1).await;
    let action = asked(&yard, node, 600).await;
    let mut conn = yard.db.db.session();
    let waits = "status = 'WAITING_LIFECYCLE_COMPLETION' AND phase = 'ASKED' AND owner IS NULL
        AND cause = 'Derived Action with Lifecycle Hook'
        AND run_after BETWEEN now() + interval '590 s' AND now() + interval '600 s'";
    assert!(yard.is(action.id, waits).await);
    let (open, hook) = hooks::open(&mut conn, node).await.unwrap().unwrap();
    assert_eq!((open, &hook["timeout"]), (action.id, &json!(600)));

    let questions = hooks::unsent(&mut conn, 10, 60.0).await.unwrap();
    assert_eq!(questions.len(), 1);
    let question = &questions[0];
    assert_eq!(
        (question.action, question.node, &*question.node_name),
        (action.id, node, "n-1")
    );
    assert_eq!(question.physical_id, Some(node.to_string()));
    assert_eq!(question.hook["queue"], "drains");
    assert!(hooks::unsent(&mut conn, 10, 60.0).await.unwrap().is_empty(), "taken");
    let passed = "UPDATE actions SET data = jsonb_set(data, '{hook,try_at}', to_jsonb(now()))";
    yard.db.execute(passed).await.unwrap();
    assert_eq!(hooks::unsent(&mut conn, 10, 0.0).await.unwrap().len(), 1, "not sent");
    hooks::sent(&mut conn, action.id).await.unwrap();
    assert!(hooks::unsent(&mut conn, 10, 0.0).await.unwrap().is_empty(), "sent");

    let late = "UPDATE actions SET run_after = now()";
    yard.db.execute(late).await.unwrap();
    assert!(hooks::heartbeat(&mut conn, action.id).await.unwrap());
    assert!(yard.is(action.id, waits).await, "the wait begins anew");
    yard.sweep().await;
    assert!(hooks::answered(&mut conn, action.id, "It may go.").await.unwrap());
    assert!(!hooks::answered(&mut conn, action.id, "It may go.").await.unwrap());
    assert!(!hooks::heartbeat(&mut conn, action.id).await.unwrap());
    assert!(hooks::open(&mut conn, node).await.unwrap().is_none());
    assert!(yard.is(action.id, "status = 'READY' AND run_after <= now()").await);
    let told = "SELECT status_reason FROM events WHERE status = 'lifecycle'";
    assert_eq!(yard.db.column(told).await.unwrap(), ["It may go."]);
    yard.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_that_nobody_answers_goes_on() {
    let yard = Yard::new().await;
    let (late, stopped) = (yard.node("p", None, 1).await, yard.node("p", None, 2).await);
    let (late, stopped) = (asked(&yard, late, 0).await, asked(&yard, stopped, 600).await);
    let stop = format!("UPDATE actions SET control = 'CANCEL' WHERE id = '{}'", stopped.id);
    yard.db.execute(&stop).await.unwrap();
    yard.sweep().await;
    for (action, why) in [
        (late, "No answer to the lifecycle hook within 0 s."),
        (stopped, "Its end was asked for while the lifecycle hook was open."),
    ] {
        let told = format!(
            "SELECT status_reason FROM events WHERE status = 'lifecycle' AND oid = '{}'",
            action.target
        );
        assert_eq!(yard.db.column(&told).await.unwrap(), [why]);
    }
    yard.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_acts_once_in_its_window_and_old_ones_are_forgotten() {
    let yard = Yard::new().await;
    let node = yard.node("p", None, -1).await;
    let action = yard.check_orphan("p", node).await;
    let receiver = ReceiverId::random();
    let insert = format!(
        "INSERT INTO receivers (id, name, type, user_id, project) VALUES ('{receiver}', 'r', 'json', 'u', 'p')"
    );
    yard.db.execute(&insert).await.unwrap();
    let noted = Noted {
        fingerprint: "f".to_owned(),
        alert: "hot".to_owned(),
        state: "FIRING",
    };
    let mut conn = yard.db.db.session();
    let mine = async |window| {
        let claim = deliveries::claim(&mut yard.db.db.session(), receiver, &noted, window).await;
        match claim.unwrap() {
            deliveries::Claim::Mine(id) => Some(id),
            deliveries::Claim::Repeated => None,
        }
    };
    let age = async |seconds: i32| {
        let age = format!("UPDATE deliveries SET received_at = received_at - interval '{seconds} s'");
        yard.db.execute(&age).await.unwrap();
    };
    let first = mine(60.0).await.unwrap();
    assert_eq!(mine(60.0).await, None, "it is about to act");
    age(31).await;
    let second = mine(60.0).await.unwrap();
    deliveries::forget(&mut conn, second).await.unwrap();
    deliveries::became(&mut conn, first, "ACTED", "It did.", Some(action))
        .await
        .unwrap();
    assert_eq!(mine(60.0).await, None, "it has acted");
    let other = mine(10.0).await.unwrap();
    deliveries::became(&mut conn, other, "REFUSED", "No.", None)
        .await
        .unwrap();

    let listed = deliveries::list(&mut conn, receiver).await.unwrap();
    let outcomes: Vec<&str> = listed.iter().map(|d| &*d.outcome).collect();
    assert_eq!(outcomes, ["REFUSED", "ACTED"], "newest first");
    assert_eq!(listed[0].action, None);
    assert_eq!(listed[1].action, Some(action));
    assert_eq!(listed[1].action_status.as_deref(), Some("READY"));

    // Beyond a hundred the oldest go, but for what has acted within a day.
    let many = format!(
        "INSERT INTO deliveries (receiver_id, fingerprint, alert, state, outcome, reason)
        SELECT '{receiver}', 'f', 'hot', 'OTHER', 'IGNORED', '' FROM generate_series(1, 100)"
    );
    yard.db.execute(&many).await.unwrap();
    let kept = async |outcome: &str| {
        let kept = format!("SELECT count(*) FROM deliveries WHERE outcome = '{outcome}'");
        yard.db.count(&kept).await.unwrap()
    };
    deliveries::note(&mut conn, receiver, &noted, "REPEATED", "")
        .await
        .unwrap();
    let left = (
        kept("ACTED").await,
        kept("REFUSED").await,
        kept("IGNORED").await,
        kept("REPEATED").await,
    );
    assert_eq!(left, (1, 0, 99, 1));
    age(86_400).await;
    deliveries::note(&mut conn, receiver, &noted, "REPEATED", "")
        .await
        .unwrap();
    assert_eq!(kept("ACTED").await, 0);
    yard.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_one_requests_until_it_has_an_answer() {
    let yard = Yard::new().await;
    let mut conn = yard.db.db.session();
    let claim = idempotency::Claim {
        project: "p".to_owned(),
        user: "u".to_owned(),
        key: "k".to_owned(),
        token: Uuid::new_v4(),
        sealer: Sealer::new(&Sealer::generate_key()).unwrap(),
    };
    let repeat = idempotency::Claim {
        token: Uuid::new_v4(),
        ..claim.clone()
    };
    let begun = async |claim, fingerprint| {
        let begun = idempotency::begin(&mut yard.db.db.session(), claim, fingerprint).await;
        begun.unwrap()
    };
    assert_eq!(begun(&claim, "f").await, Begun::New);
    assert_eq!(begun(&repeat, "f").await, Begun::Unanswered);
    assert_eq!(begun(&repeat, "g").await, Begun::Other);
    idempotency::forget(&mut conn, &repeat).await.unwrap();
    let old = "UPDATE idempotency_keys SET begun_at = now() - interval '61 s'";
    yard.db.execute(old).await.unwrap();
    assert_eq!(begun(&repeat, "g").await, Begun::Other, "another request waits in vain");
    assert_eq!(begun(&repeat, "f").await, Begun::New, "the first gave up");

    let answer = Stored {
        status: 202,
        location: None,
        body: json!({"secret": 1}),
    };
    assert!(!idempotency::finish(&mut conn, &claim, &answer).await.unwrap());
    assert!(idempotency::finish(&mut conn, &repeat, &answer).await.unwrap());
    assert!(!idempotency::finish(&mut conn, &repeat, &answer).await.unwrap());
    idempotency::forget(&mut conn, &repeat).await.unwrap();
    assert_eq!(begun(&claim, "f").await, Begun::Answered(answer));

    assert_eq!(idempotency::purge(&mut conn, 1).await.unwrap(), 0);
    let old = "UPDATE idempotency_keys SET created_at = now() - interval '61 min'";
    yard.db.execute(old).await.unwrap();
    assert_eq!(idempotency::purge(&mut conn, 1).await.unwrap(), 1);
    yard.db.close().await.unwrap();
}

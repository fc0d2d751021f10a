//! Policies attached to clusters.

use std::time::Duration;

use senlin_core::{Map, action::ActionStatus, ids::*};
use senlin_db::{
    bindings::{self, Attach, Attached, Wanted},
    fence::{self, Fence},
    page::Direction,
    policies::{self, NewPolicy},
};
use senlin_testkit::records;
use serde_json::{Value, json};

use crate::yard::{Yard, end};

fn map(value: Value) -> Map {
    serde_json::from_value(value).unwrap()
}

async fn policy(yard: &Yard, type_name: &str) -> PolicyId {
    let new = NewPolicy {
        type_name: type_name.to_owned(),
        spec: json!({"type": "t", "version": "1.0", "properties": {"of": type_name}}),
        ..records::policy("p", &format!("my {type_name}"))
    };
    policies::insert(&mut yard.db.db.session(), &new).await.unwrap();
    new.id
}

fn attach(policy: PolicyId, enabled: bool, priority: i32) -> Attach {
    Attach {
        policy,
        enabled,
        priority,
        rivals: Vec::new(),
        data: None,
    }
}

async fn claimed(yard: &Yard, cluster: ClusterId) -> Fence {
    yard.check_cluster("p", cluster).await;
    Fence::of(&yard.claim_cluster(1).await.unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_attached_listed_changed_and_detached() {
    let yard = Yard::new().await;
    let cluster = yard.cluster("p", 0).await.id;
    let (health, scaling) = (policy(&yard, "health-1.0").await, policy(&yard, "scaling-1.1").await);
    let rival = policy(&yard, "health-1.1").await;
    let mut conn = yard.db.db.session();
    let fence = claimed(&yard, cluster).await;

    let kept = Attach {
        data: Some(map(json!({"kept": true}))),
        ..attach(health, true, 7)
    };
    for (new, became) in [
        (&kept, Attached::Now),
        (&kept, Attached::Already),
        (&attach(scaling, false, 3), Attached::Now),
        (
            &Attach {
                rivals: vec!["health-1.0".to_owned()],
                ..attach(rival, true, 0)
            },
            Attached::Rival("my health-1.0".to_owned()),
        ),
    ] {
        assert_eq!(bindings::attach(&mut conn, fence, cluster, new).await.unwrap(), became);
    }
    let lost = Fence { attempt: 9, ..fence };
    let late = bindings::attach(&mut conn, lost, cluster, &attach(rival, true, 0)).await;
    assert!(matches!(late, Err(senlin_db::DbError::LeaseLost)), "{late:?}");

    for (wanted, expected) in [
        (
            Wanted {
                by_enabled: Some(Direction::Asc),
                ..Wanted::default()
            },
            vec![scaling, health],
        ),
        (
            Wanted {
                by_enabled: Some(Direction::Desc),
                ..Wanted::default()
            },
            vec![health, scaling],
        ),
        (
            Wanted {
                enabled: Some(false),
                ..Wanted::default()
            },
            vec![scaling],
        ),
        (
            Wanted {
                names: vec!["my health-1.0".to_owned(), "none".to_owned()],
                ..Wanted::default()
            },
            vec![health],
        ),
        (
            Wanted {
                types: vec!["health-1.0".to_owned()],
                names: vec!["my scaling-1.1".to_owned()],
                ..Wanted::default()
            },
            vec![],
        ),
    ] {
        let found = bindings::list(&mut conn, cluster, &wanted).await.unwrap();
        let ids: Vec<PolicyId> = found.iter().map(|b| b.policy_id).collect();
        assert_eq!(ids, expected, "{wanted:?}");
    }
    let (_, active) = bindings::active(&mut conn, cluster).await.unwrap().unwrap();
    assert_eq!(active.len(), 1);
    let first = &active[0];
    assert_eq!(first.properties, map(json!({"of": "health-1.0"})));
    assert_eq!(first.binding.data, kept.data);
    assert_eq!((first.binding.cluster_name.as_str(), first.binding.priority), ("c", 7));
    assert!(
        bindings::active(&mut conn, ClusterId::random())
            .await
            .unwrap()
            .is_none()
    );
    let of_type = bindings::of_type(&mut conn, cluster, "health").await.unwrap().unwrap();
    assert_eq!(of_type.binding.id, first.binding.id);
    assert!(
        bindings::of_type(&mut conn, cluster, "scaling")
            .await
            .unwrap()
            .is_none()
    );

    // The end of an action begins the cooldowns.
    let marked = [first.binding.id];
    let ended = end(ActionStatus::Succeeded);
    fence::finish_cluster(&mut conn, fence, &ended, cluster, "CLUSTER_CHECK", &marked)
        .await
        .unwrap();
    let (now, active) = bindings::active(&mut conn, cluster).await.unwrap().unwrap();
    assert!(active[0].binding.last_op.is_some_and(|at| at <= now));

    // Nothing to change leaves it as it is.
    for (enabled, count) in [(None, 1), (Some(false), 0)] {
        let fence = claimed(&yard, cluster).await;
        let done = bindings::enable(&mut conn, fence, cluster, health, enabled, &ended).await;
        assert!(done.unwrap().is_some());
        let on = "SELECT count(*) FROM cluster_policies WHERE enabled";
        assert_eq!(yard.db.count(on).await.unwrap(), count, "{enabled:?}");
    }
    let fence = claimed(&yard, cluster).await;
    let none = bindings::enable(&mut conn, fence, cluster, rival, Some(true), &ended).await;
    assert_eq!(none.unwrap(), None);
    bindings::detach(&mut conn, fence, cluster, health, &ended)
        .await
        .unwrap();
    let left = bindings::list(&mut conn, cluster, &Wanted::default()).await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].policy_id, scaling);
    yard.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_due_binding_is_one_engines_until_it_is_due_again() {
    let yard = Yard::new().await;
    let cluster = yard.cluster("p", 0).await.id;
    let fence = claimed(&yard, cluster).await;
    let mut conn = yard.db.db.session();
    for type_name in ["health-1.0", "health-1.1", "scaling-1.0"] {
        let new = attach(policy(&yard, type_name).await, true, 1);
        bindings::attach(&mut conn, fence, cluster, &new).await.unwrap();
    }
    let due = async || {
        let taken = bindings::due(&mut yard.db.db.session(), "health", 60.0, 10).await;
        taken.unwrap()
    };
    let taken = due().await;
    assert_eq!(taken.len(), 2);
    assert_eq!(due().await.len(), 0, "taken");
    let health = taken.iter().find(|d| d.policy_type == "health-1.0").unwrap();
    assert_eq!(health.properties, map(json!({"of": "health-1.0"})));
    assert_eq!(health.state, Map::new());

    let state = map(json!({"seen": 3}));
    bindings::reschedule(&mut conn, health.id, health.now, 0.0, &state)
        .await
        .unwrap();
    let again = due().await;
    assert_eq!(again.len(), 1);
    assert_eq!((again[0].id, &again[0].state), (health.id, &state));

    let later = health.now + Duration::from_secs(3600);
    let (one, other) = (taken[0].id, taken[1].id);
    bindings::reschedule_all(&mut conn, &[(one, health.now), (other, later)])
        .await
        .unwrap();
    bindings::extend(&mut conn, &[], 0.0).await.unwrap();
    let again = due().await;
    assert_eq!(again.iter().map(|d| d.id).collect::<Vec<_>>(), [one]);
    bindings::extend(&mut conn, &[one, other], -1.0).await.unwrap();
    assert_eq!(due().await.len(), 2);
    yard.db.close().await.unwrap();
}

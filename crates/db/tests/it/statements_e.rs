//! Leases, ends by force, and what is fenced.

use senlin_core::{
    Map,
    action::{Action, ActionKind, LockScope},
    cluster::ClusterStatus,
    ids::*,
};
use senlin_db::{
    DbError,
    actions::{self, Obstacle},
    child_actions::{self, SizeChange},
    fence::{self, Fence},
    leases::{self, Claim, OwnedClaim},
};
use serde_json::json;

use crate::yard::Yard;

fn claim_of(action: &Action) -> Claim {
    (action.id, action.attempt)
}

/// So many claimed actions on orphans.
async fn claimed(yard: &Yard, count: i32) -> Vec<Action> {
    for index in 0..count {
        let node = yard.node("p1", None, index).await;
        yard.check_orphan("p1", node).await;
    }
    yard.claim_nodes(64).await
}

async fn told(yard: &Yard, status: &str) -> i64 {
    let query = format!("SELECT count(*) FROM events WHERE status = '{status}'");
    yard.db.count(&query).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_are_renewed_and_handed_back_by_name() {
    let yard = Yard::new().await;
    let held = claimed(&yard, 3).await;
    let claims: Vec<Claim> = held.iter().map(claim_of).collect();
    let (other, mut conn) = (ServiceId::random(), yard.db.db.session());
    let later = (claims[0].0, claims[0].1 + 1);

    actions::cancel(&mut conn, claims[1].0).await.unwrap();
    assert_eq!(
        leases::cancelled(&mut conn, yard.owner, &claims).await.unwrap(),
        [claims[1]]
    );
    assert_eq!(leases::cancelled(&mut conn, other, &claims).await.unwrap(), []);

    // The third one's row is held by a statement of its own.
    let holder = yard.db.session().await.unwrap();
    let hold = format!("BEGIN; SELECT id FROM actions WHERE id = '{}' FOR UPDATE", claims[2].0);
    holder.batch_execute(&hold).await.unwrap();
    assert_eq!(leases::renew(&mut conn, other, &claims, 600).await.unwrap(), []);
    let asked = [later, claims[0], claims[1], claims[2]];
    let mut renewed = leases::renew(&mut conn, yard.owner, &asked, 600).await.unwrap();
    renewed.sort_by_key(|h| claims.iter().position(|c| *c == h.claim));
    let of = |nth: usize, renewed, cancel| OwnedClaim {
        claim: claims[nth],
        renewed,
        cancel,
    };
    assert_eq!(renewed, [of(0, true, false), of(1, true, true), of(2, false, false)]);
    assert!(
        yard.is(claims[0].0, "lease_expires_at > now() + interval '9 minutes'")
            .await
    );
    holder.batch_execute("ROLLBACK").await.unwrap();

    // What is known stays, and so does what is younger than the grace.
    let handed = leases::release_others(&mut conn, yard.owner, &claims[..2], 60, 30.0).await;
    assert_eq!(handed.unwrap(), []);
    let handed = leases::release_others(&mut conn, yard.owner, &[later, claims[1]], 700, 0.0).await;
    let mut handed = handed.unwrap();
    handed.sort_by_key(|id| claims.iter().position(|c| c.0 == *id));
    assert_eq!(handed, [claims[0].0, claims[2].0]);
    assert_eq!(yard.reason(claims[0].0).await, "Its engine lost track of it.");
    assert!(yard.is(claims[0].0, "status = 'READY' AND retries = 1").await);
    assert_eq!(told(&yard, "retry").await, 2);

    let broken = leases::release(&mut conn, yard.owner, claims[1], "It broke off.").await;
    assert!(broken.unwrap());
    let again = leases::release(&mut conn, yard.owner, claims[1], "It broke off.").await;
    assert!(!again.unwrap(), "it is nobody's");
    assert_eq!(yard.reason(claims[1].0).await, "It broke off.");
    yard.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_shuts_down_hands_back_its_own() {
    let mut yard = Yard::new().await;
    let mine = claimed(&yard, 2).await;
    yard.owner = ServiceId::random();
    let others = claimed(&yard, 1).await;
    let mut conn = yard.db.db.session();
    let owner = mine[0].owner.unwrap();
    assert_eq!(leases::release_all(&mut conn, owner).await.unwrap(), 2);
    assert_eq!(leases::release_all(&mut conn, owner).await.unwrap(), 0);
    assert!(yard.is(mine[1].id, "status = 'READY' AND retries = 0").await);
    assert_eq!(yard.status(others[0].id).await, "RUNNING");
    yard.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_by_force_takes_all_below_and_fences_off_who_works() {
    let yard = Yard::new().await;
    let herd = yard.cluster("p1", 2).await;
    let parent = yard.check_cluster("p1", herd.id).await;
    let top = yard.claim_cluster(64).await.unwrap();
    let mut conn = yard.db.db.session();
    let fence = Fence::of(&top).unwrap();
    fence::cluster_status(&mut conn, fence, ClusterStatus::Checking, "Checking.")
        .await
        .unwrap();
    let children: Vec<_> = herd
        .nodes
        .iter()
        .map(|node| {
            let mut child = Yard::action("p1", ActionKind::NodeCheck, node.0, Some(herd.id), LockScope::Node);
            child.parent_id = Some(parent);
            child
        })
        .collect();
    child_actions::launch(&mut conn, fence, herd.id, SizeChange::default(), "finish", &children)
        .await
        .unwrap();
    let working = yard.claim_nodes(1).await.remove(0);
    let busy = format!("UPDATE nodes SET status = 'UPDATING' WHERE id = '{}'", working.target);
    yard.db.execute(&busy).await.unwrap();

    // By a child's end its parent is to be woken.
    let idle = children.iter().find(|c| c.id != working.id).unwrap().id;
    assert_eq!(actions::force_cancel(&mut conn, idle).await.unwrap(), [parent]);
    assert_eq!(actions::force_cancel(&mut conn, parent).await.unwrap(), []);
    for id in [parent, working.id, idle] {
        assert_eq!(yard.reason(id).await, "The action was cancelled by force.");
        assert!(yard.is(id, "status = 'CANCELLED' AND owner IS NULL").await);
    }
    let late = yard.finish(&working).await;
    assert!(matches!(late, Err(DbError::LeaseLost)), "{late:?}");
    let left = "SELECT (SELECT count(*) FROM node_locks) + (SELECT count(*) FROM cluster_locks)
        + (SELECT count(*) FROM action_dependencies)";
    assert_eq!(yard.db.count(left).await.unwrap(), 0);
    let targets = "SELECT status FROM nodes WHERE cluster_id IS NOT NULL UNION ALL SELECT status FROM clusters";
    let mut targets = yard.db.column(targets).await.unwrap();
    targets.sort();
    assert_eq!(targets, ["ACTIVE", "ERROR", "WARNING"], "only what was being changed");
    assert_eq!(told(&yard, "error").await, 3);
    yard.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_lost_the_claim_writes_nothing() {
    let yard = Yard::new().await;
    let herd = yard.cluster("p1", 1).await;
    yard.check_cluster("p1", herd.id).await;
    let action = yard.claim_cluster(64).await.unwrap();
    let ours = Fence::of(&action).unwrap();
    let mut conn = yard.db.db.session();
    let map = |word: &str| Map::from_iter([(word.to_owned(), json!(word))]);
    let wrong = [
        Fence {
            attempt: ours.attempt + 1,
            ..ours
        },
        Fence {
            owner: ServiceId::random(),
            ..ours
        },
    ];
    for lost in wrong {
        for refused in [
            fence::cluster_status(&mut conn, lost, ClusterStatus::Updating, "Lost.").await,
            fence::merge_data(&mut conn, lost, &map("lost"), &map("lost")).await,
            fence::lock_action(&mut conn, lost).await,
            fence::retry(&mut conn, lost, 0.0, "Lost.").await,
        ] {
            assert!(matches!(refused, Err(DbError::LeaseLost)), "{refused:?}");
        }
    }
    assert_eq!(told(&yard, "retry").await, 0, "not even that it is tried again");
    let kept = "SELECT status || ': ' || status_reason FROM clusters";
    assert_eq!(yard.db.column(kept).await.unwrap(), ["ACTIVE: Initializing"]);

    fence::merge_data(&mut conn, ours, &map("a"), &map("x")).await.unwrap();
    fence::merge_data(&mut conn, ours, &map("b"), &Map::new())
        .await
        .unwrap();
    fence::cluster_status(&mut conn, ours, ClusterStatus::Checking, "Ours.")
        .await
        .unwrap();
    let data = r#"data @> '{"a": "a", "b": "b"}' AND outputs = '{"x": "x"}'"#;
    assert!(yard.is(action.id, data).await);
    assert_eq!(yard.db.column(kept).await.unwrap(), ["CHECKING: Ours."]);
    fence::retry(&mut conn, ours, 0.0, "Again.").await.unwrap();
    assert_eq!(told(&yard, "retry").await, 1);
    yard.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_judged_by_its_members_and_created_once() {
    let yard = Yard::new().await;
    let (herd, empty) = (yard.cluster("p1", 3).await, yard.cluster("p1", 0).await);
    let mut conn = yard.db.db.session();
    let broken = format!("UPDATE nodes SET status = 'ERROR' WHERE id = '{}'", herd.nodes[0]);
    yard.db.execute(&broken).await.unwrap();
    let counts = fence::member_counts(&mut conn, herd.id).await.unwrap().unwrap();
    assert_eq!(
        (counts.active, counts.total, counts.desired, counts.min, counts.max),
        (2, 3, 3, 0, -1)
    );
    let counts = fence::member_counts(&mut conn, empty.id).await.unwrap().unwrap();
    assert_eq!((counts.active, counts.total), (0, 0));
    let gone = ClusterId::random();
    assert!(fence::member_counts(&mut conn, gone).await.unwrap().is_none());
    assert!(fence::reevaluate(&mut conn, gone, "").await.unwrap().is_none());

    let times = format!(
        "SELECT concat_ws(' ', created_at IS NOT NULL, updated_at IS NOT NULL) FROM clusters WHERE id = '{}'",
        herd.id
    );
    let steps = [
        ("CLUSTER_CREATE", "f f", false),
        ("CLUSTER_CREATE", "t f", true),
        ("CLUSTER_CHECK", "t t", true),
    ];
    for (operation, expected, well) in steps {
        if well {
            yard.db.execute("UPDATE nodes SET status = 'ACTIVE'").await.unwrap();
        }
        let status = fence::reevaluate(&mut conn, herd.id, operation).await.unwrap().unwrap();
        assert_eq!(status == ClusterStatus::Active, well, "{operation}: {status:?}");
        assert_eq!(yard.db.column(&times).await.unwrap(), [expected], "{operation}");
    }
    let first = format!("SELECT created_at::text FROM clusters WHERE id = '{}'", herd.id);
    let created = yard.db.column(&first).await.unwrap();
    fence::reevaluate(&mut conn, herd.id, "CLUSTER_CREATE").await.unwrap();
    assert_eq!(yard.db.column(&first).await.unwrap(), created);
    yard.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_the_way_of_an_action_is_named() {
    let yard = Yard::new().await;
    let node = yard.node("p1", None, 1).await;
    let mut conn = yard.db.db.session();
    let check = ActionKind::NodeCheck;
    assert_eq!(actions::obstacle(&mut conn, check, node.0).await.unwrap(), None);
    let waits = yard.check_orphan("p1", node).await;
    let found = actions::obstacle(&mut conn, check, node.0).await.unwrap();
    assert_eq!(found, Some(Obstacle::Active(waits)));
    let action = yard.claim_nodes(1).await.remove(0);
    let found = actions::obstacle(&mut conn, check, node.0).await.unwrap();
    assert_eq!(found, Some(Obstacle::Locked));
    yard.finish(&action).await.unwrap();
    assert_eq!(actions::obstacle(&mut conn, check, node.0).await.unwrap(), None);
    let found = actions::obstacle(&mut conn, ActionKind::ClusterCheck, node.0).await;
    assert_eq!(found.unwrap(), Some(Obstacle::Gone), "it is no cluster");
    yard.db.close().await.unwrap();
}

//! Claims, cancels and sweeps, one at a time and at once.

use senlin_core::{
    Map,
    action::{ActionKind, LockScope},
    ids::*,
};
use senlin_db::{
    child_actions::{self, SizeChange},
    fence::{self, Fence},
    policy_actions, queue,
};

use crate::yard::{LIMITS, Yard};

#[tokio::test(flavor = "multi_thread")]
async fn a6_an_action_whose_cluster_is_gone_does_not_block_the_queue() {
    let yard = Yard::new().await;
    let (gone, node) = (ClusterId::random(), yard.node("p1", None, -1).await);
    let lost = yard.check_member("p1", gone, node).await;
    let missing = yard.check_cluster("p1", gone).await;
    let deleted = Yard::action(
        "p1",
        ActionKind::NodeDelete,
        NodeId::random().0,
        Some(gone),
        LockScope::Member,
    );
    let deleted = yard.submit(deleted).await;
    let cluster = yard.cluster("p1", 1).await;
    let other = yard.check_cluster("p1", cluster.id).await;
    assert_eq!(
        yard.claim_cluster(64).await.unwrap().id,
        other,
        "what can be locked is picked"
    );
    yard.sweep().await;
    assert_eq!(yard.status(lost).await, "FAILED");
    assert_eq!(yard.reason(lost).await, "The cluster could not be found.");
    assert_eq!(yard.status(missing).await, "FAILED");
    assert_eq!(yard.reason(missing).await, "The target could not be found.");
    assert_eq!(yard.status(deleted).await, "SUCCEEDED", "it is gone, as was asked");
    assert_eq!(yard.status(other).await, "RUNNING");
    yard.db.close().await.unwrap();
}

/// An engine with few free slots finds what another, that claims at the same
/// moment, has not locked; and locks no more than it may take.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_finds_work_behind_what_others_lock() {
    let yard = Yard::new().await;
    let mut ready = Vec::new();
    for _ in 0..100 {
        let node = yard.node("p1", None, -1).await;
        ready.push(yard.check_orphan("p1", node).await);
    }
    let other = yard.db.session().await.unwrap();
    let held = "BEGIN; SELECT id FROM actions ORDER BY seq LIMIT 48 FOR UPDATE";
    other.batch_execute(held).await.unwrap();
    let claimed: Vec<ActionId> = yard.claim_nodes(16).await.into_iter().map(|a| a.id).collect();
    assert_eq!(claimed, ready[48..60], "three quarters of its slots, in order");
    other.batch_execute("ROLLBACK").await.unwrap();
    let claimed: Vec<ActionId> = yard.claim_nodes(8).await.into_iter().map(|a| a.id).collect();
    assert_eq!(claimed, ready[..3], "what runs here already counts");
    yard.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a9_a_cancel_wakes_what_is_postponed() {
    let yard = Yard::new().await;
    let cluster = yard.cluster("p1", 1).await;
    let action = yard.check_cluster("p1", cluster.id).await;
    let claimed = yard.claim_cluster(64).await.unwrap();
    let mut conn = yard.db.db.session();
    let fence = Fence::of(&claimed).unwrap();
    fence::postpone(&mut conn, fence, "grace", 3000.0, "Waiting.")
        .await
        .unwrap();
    assert!(yard.claim_cluster(64).await.is_none());
    yard.cancel(action).await;
    let again = yard.claim_cluster(64).await.unwrap();
    assert!(
        again.id == action && again.cancel,
        "it is claimed to be ended, with its lock"
    );
    // And a cancel that comes first is not lost in the pause either.
    let fence = Fence::of(&again).unwrap();
    fence::retry(&mut conn, fence, 60.0, "Again.").await.unwrap();
    assert_eq!(yard.claim_cluster(64).await.unwrap().id, action);
    yard.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a9_what_is_postponed_is_due_when_its_time_is_up() {
    let yard = Yard::new().await;
    let cluster = yard.cluster("p1", 1).await;
    let mut new = Yard::action(
        "p1",
        ActionKind::ClusterCheck,
        cluster.id.0,
        Some(cluster.id),
        LockScope::Cluster,
    );
    new.timeout = 5;
    let action = yard.submit(new).await;
    let claimed = yard.claim_cluster(64).await.unwrap();
    let mut conn = yard.db.db.session();
    let fence = Fence::of(&claimed).unwrap();
    fence::postpone(&mut conn, fence, "grace", 3000.0, "Waiting.")
        .await
        .unwrap();
    assert!(yard.is(action, "run_after = started_at + interval '5 seconds'").await);
    yard.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a9_a_cancelled_action_that_never_began_needs_no_lock_to_end() {
    let yard = Yard::new().await;
    let cluster = yard.cluster("p1", 1).await;
    let running = yard.check_cluster("p1", cluster.id).await;
    let holder = yard.claim_cluster(64).await.unwrap();
    let behind = yard.check_member("p1", cluster.id, cluster.nodes[0]).await;
    assert!(yard.claim_cluster(64).await.is_none(), "it waits for the lock");
    yard.cancel(behind).await;
    assert_eq!(yard.status(behind).await, "CANCELLED");
    let node = format!("SELECT status FROM nodes WHERE id = '{}'", cluster.nodes[0]);
    assert_eq!(yard.db.column(&node).await.unwrap(), ["ACTIVE"]);
    assert_eq!(yard.status(running).await, "RUNNING");
    yard.finish(&holder).await.unwrap();
    yard.db.close().await.unwrap();
}

/// What a cancelled creation was to make is said to be not made, and a parent
/// whose last children never began goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a9_children_that_never_began_end_when_their_parent_is_cancelled() {
    let yard = Yard::new().await;
    let cluster = yard.cluster("p1", 2).await;
    let parent = yard.check_cluster("p1", cluster.id).await;
    let claimed = yard.claim_cluster(64).await.unwrap();
    let unmade = cluster.nodes[0];
    yard.db
        .execute(&format!("UPDATE nodes SET status = 'INIT' WHERE id = '{unmade}'"))
        .await
        .unwrap();
    let mut children = Vec::new();
    for (kind, node) in [
        (ActionKind::NodeCreate, unmade),
        (ActionKind::NodeCheck, cluster.nodes[1]),
    ] {
        let mut child = Yard::action("p1", kind, node.0, Some(cluster.id), LockScope::Node);
        child.parent_id = Some(parent);
        children.push(child);
    }
    let mut conn = yard.db.db.session();
    let fence = Fence::of(&claimed).unwrap();
    child_actions::launch(&mut conn, fence, cluster.id, SizeChange::default(), "finish", &children)
        .await
        .unwrap();
    yard.cancel(parent).await;
    for child in &children {
        assert_eq!(yard.status(child.id).await, "CANCELLED");
    }
    assert!(yard.is(parent, "status = 'READY' AND control = 'CANCEL'").await);
    let statuses = format!(
        "SELECT status FROM nodes WHERE cluster_id = '{}' ORDER BY index",
        cluster.id
    );
    assert_eq!(yard.db.column(&statuses).await.unwrap(), ["ERROR", "ACTIVE"]);
    yard.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a10_a_claim_locks_no_more_than_it_takes() {
    let yard = Yard::new().await;
    for project in 0..10 {
        let node = yard.node("p", None, -1).await;
        yard.db
            .execute(&format!(
                "WITH n AS (INSERT INTO nodes (id, name, profile_id, user_id, project, status)
                    SELECT gen_random_uuid(), name, profile_id, user_id, 'p{project}', 'WARNING'
                    FROM nodes, generate_series(1, 50) WHERE id = '{node}' RETURNING *)
                INSERT INTO actions (id, name, action, target, cause, lock_scope, status, timeout, user_id, project)
                SELECT gen_random_uuid(), 'a', 'NODE_CHECK', id, 'RPC Request', 'NODE', 'READY', 60, 'u', project FROM n"
            ))
            .await
            .unwrap();
    }
    // A claim that has locked its rows and cannot go on: one of the nodes is
    // being locked by another session, which does not say for what yet.
    let other = yard.db.session().await.unwrap();
    let hold = "BEGIN;
        INSERT INTO actions (id, name, action, target, cause, lock_scope, status, timeout, user_id, project)
            SELECT gen_random_uuid(), 'b', 'NODE_CHECK', target, 'RPC Request', 'NODE', 'INIT', 60, 'u', 'p'
            FROM actions ORDER BY seq LIMIT 1;
        INSERT INTO node_locks (node_id, action_id) SELECT target, id FROM actions WHERE name = 'b'";
    other.batch_execute(hold).await.unwrap();
    let claim = {
        let (db, owner) = (yard.db.db.clone(), yard.owner);
        tokio::spawn(async move {
            let mut conn = db.session();
            queue::claim_nodes(&mut conn, owner, 20, LIMITS).await.unwrap().len()
        })
    };
    yard.db.waiting(1).await.unwrap();
    let free = "SELECT count(*) FROM (SELECT id FROM actions FOR UPDATE SKIP LOCKED) AS x";
    assert_eq!(yard.db.count(free).await.unwrap(), 480);
    // The last slot is left to a project that has nothing running yet.
    assert_eq!(
        yard.claim_nodes(20).await.len(),
        19,
        "another engine finds as many as it has slots for"
    );
    other.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(claim.await.unwrap(), 19);
    let index = "SELECT count(*) FROM pg_indexes WHERE tablename = 'actions' AND indexdef LIKE '%(status)'";
    assert_eq!(
        yard.db.count(index).await.unwrap(),
        0,
        "no index that ended actions fill"
    );
    yard.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a15_projects_take_turns_with_their_clusters() {
    let yard = Yard::new().await;
    for _ in 0..6 {
        let cluster = yard.cluster("p1", 0).await;
        yard.check_cluster("p1", cluster.id).await;
    }
    let late = yard.cluster("p2", 0).await;
    let late = yard.check_cluster("p2", late.id).await;
    yard.claim_cluster(64).await.unwrap();
    assert_eq!(
        yard.claim_cluster(64).await.unwrap().id,
        late,
        "the second turn is the other's"
    );
    let limits = queue::Limits {
        per_project: 3,
        ..LIMITS
    };
    let mut conn = yard.db.db.session();
    let mut more = 0;
    while queue::claim_cluster(&mut conn, yard.owner, 64, limits)
        .await
        .unwrap()
        .is_some()
    {
        more += 1;
    }
    assert_eq!(more, 2, "and the limit holds for cluster actions: one runs, three may");
    yard.db.close().await.unwrap();
}

/// Two tenants whose actions never end leave slots for a third.
#[tokio::test(flavor = "multi_thread")]
async fn a15_tar_pits_leave_slots_for_others() {
    const SLOTS: i64 = 128;
    let yard = Yard::new().await;
    for project in ["p1", "p2"] {
        for _ in 0..SLOTS {
            let node = yard.node(project, None, -1).await;
            yard.check_orphan(project, node).await;
        }
    }
    let mut free = SLOTS;
    loop {
        let claimed = i64::try_from(yard.claim_nodes(free.min(64)).await.len()).unwrap();
        if claimed == 0 {
            break;
        }
        free -= claimed;
    }
    println!("{free} of {SLOTS} slots are left");
    assert!((8..=32).contains(&free), "{free} slots are left");
    let node = yard.node("p3", None, -1).await;
    let late = yard.check_orphan("p3", node).await;
    assert_eq!(yard.claim_nodes(free).await[0].id, late);
    let cluster = yard.cluster("p4", 0).await;
    let late = yard.check_cluster("p4", cluster.id).await;
    assert_eq!(yard.claim_cluster(1).await.unwrap().id, late, "also of the last slot");
    yard.db.close().await.unwrap();
}

/// A member does not overtake an older action on its cluster for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a15_shared_holders_do_not_starve_who_wants_the_cluster_alone() {
    let yard = Yard::new().await;
    let cluster = yard.cluster("p1", 3).await;
    yard.check_member("p1", cluster.id, cluster.nodes[0]).await;
    let first = yard.claim_cluster(64).await.unwrap();
    let alone = yard.check_cluster("p1", cluster.id).await;
    let young = yard.check_member("p1", cluster.id, cluster.nodes[1]).await;
    assert!(yard.claim_cluster(64).await.is_none(), "the young one waits its turn");
    yard.finish(&first).await.unwrap();
    let claimed = yard.claim_cluster(64).await.unwrap();
    assert_eq!(claimed.id, alone);
    yard.finish(&claimed).await.unwrap();
    assert_eq!(yard.claim_cluster(64).await.unwrap().id, young);
    yard.db.close().await.unwrap();
}

/// A parent that was claimed and waits for new children, all while a statement
/// that once saw it without any was waiting: it goes on waiting.
#[tokio::test(flavor = "multi_thread")]
async fn a15_a_parent_with_new_children_is_not_woken() {
    let yard = Yard::new().await;
    for by_sweep in [false, true] {
        let cluster = yard.cluster("p1", 1).await;
        let parent = yard.check_cluster("p1", cluster.id).await;
        let child = yard.check_orphan("p1", cluster.nodes[0]).await;
        yard.db
            .execute(&format!(
                "UPDATE actions SET status = 'RUNNING', owner = '{owner}', lease_expires_at = now() WHERE id = '{parent}';
                UPDATE actions SET status = 'WAITING', owner = NULL, lease_expires_at = NULL, started_at = now()
                WHERE id = '{parent}'",
                owner = yard.owner
            ))
            .await
            .unwrap();
        let other = yard.db.session().await.unwrap();
        let meanwhile = format!(
            "BEGIN; UPDATE actions SET attempt = attempt + 1 WHERE id = '{parent}';
            INSERT INTO action_dependencies VALUES ('{child}', '{parent}')"
        );
        other.batch_execute(&meanwhile).await.unwrap();
        let db = yard.db.db.clone();
        let mut wake = tokio::spawn(async move {
            let mut conn = db.session();
            if by_sweep {
                queue::sweep(&mut conn).await.unwrap().promoted
            } else {
                queue::promote(&mut conn, &[parent]).await.unwrap()
            }
        });
        let skipped = tokio::select! {
            waits = yard.db.waiting(1) => waits.map(|()| None).unwrap(),
            woken = &mut wake => Some(woken.unwrap()),
        };
        other.batch_execute("COMMIT").await.unwrap();
        let woken = match skipped {
            Some(woken) => woken,
            None => wake.await.unwrap(),
        };
        assert_eq!(woken, [], "by the sweep: {by_sweep}");
        assert_eq!(yard.status(parent).await, "WAITING", "by the sweep: {by_sweep}");
        yard.cancel(child).await;
        assert_eq!(yard.status(parent).await, "READY", "the child's end wakes it");
        yard.db.execute("DELETE FROM actions").await.unwrap();
    }
    yard.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a15_two_engines_record_an_automatic_action_once() {
    let yard = Yard::new().await;
    let cluster = yard.cluster("p1", 0).await.id;
    let other = yard.db.session().await.unwrap();
    let hold = format!("BEGIN; SELECT 1 FROM clusters WHERE id = '{cluster}' FOR UPDATE");
    other.batch_execute(&hold).await.unwrap();
    let mut engines = tokio::task::JoinSet::new();
    for _ in 0..2 {
        let db = yard.db.db.clone();
        engines.spawn(async move {
            let mut conn = db.session();
            policy_actions::cluster(&mut conn, cluster, ActionKind::ClusterResize, &Map::new())
                .await
                .unwrap()
        });
    }
    yard.db.waiting(2).await.unwrap();
    other.batch_execute("COMMIT").await.unwrap();
    let recorded = engines.join_all().await.into_iter().flatten().count();
    assert_eq!(recorded, 1);
    assert_eq!(yard.db.count("SELECT count(*) FROM actions").await.unwrap(), 1);
    yard.db.close().await.unwrap();
}

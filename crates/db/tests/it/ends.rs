//! The ends and marks of many node actions in one statement.

use std::time::Duration;

use senlin_core::{
    action::{Action, ActionKind, ActionStatus, LockScope},
    ids::*,
    node::NodeStatus,
};
use senlin_db::{
    DbError, child_actions,
    child_actions::SizeChange,
    fence::{self, Fence, Mark, NodeChange, NodeEnd},
};

use crate::yard::{Yard, end};

/// A cluster's check that waits for the checks of its members, which are claimed.
async fn claimed_children(yard: &Yard, members: i32) -> (ActionId, Vec<Action>) {
    let cluster = yard.cluster("p1", members).await;
    let parent = yard.check_cluster("p1", cluster.id).await;
    let claimed = yard.claim_cluster(64).await.unwrap();
    let children = cluster.nodes.iter().map(|node| {
        let mut child = Yard::action("p1", ActionKind::NodeCheck, node.0, Some(cluster.id), LockScope::Node);
        child.parent_id = Some(parent);
        child
    });
    let children: Vec<_> = children.collect();
    let (mut conn, fence) = (yard.db.db.session(), Fence::of(&claimed).unwrap());
    let change = SizeChange::default();
    child_actions::launch(&mut conn, fence, cluster.id, change, "finish", &children)
        .await
        .unwrap();
    let mut claimed = yard.claim_nodes(64).await;
    assert_eq!(claimed.len(), children.len());
    claimed.sort_by_key(|c| c.id);
    (parent, claimed)
}

fn ended(action: &Action, physical_id: &str) -> NodeEnd {
    NodeEnd {
        fence: Fence::of(action).unwrap(),
        end: end(ActionStatus::Succeeded),
        change: NodeChange {
            status: Some(NodeStatus::Active),
            reason: format!("By {physical_id}."),
            physical_id: Some(Some(physical_id.to_owned())),
            ..NodeChange::default()
        },
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_many_ends_as_it_would_alone() {
    let yard = Yard::new().await;
    let (parent, children) = claimed_children(&yard, 4).await;
    let mut ends: Vec<NodeEnd> = children.iter().map(|c| ended(c, &c.id.to_string())).collect();
    ends[1].fence.attempt += 1;
    ends[2].end.status = ActionStatus::Failed;
    let mut conn = yard.db.db.session();
    // Somebody holds the last one's node: it is left out, and not waited for.
    let holder = yard.db.session().await.unwrap();
    let held = format!(
        "BEGIN; SELECT id FROM nodes WHERE id = '{}' FOR UPDATE",
        children[3].target
    );
    holder.batch_execute(&held).await.unwrap();
    let answers = fence::finish_nodes(&mut conn, &ends).await.unwrap();
    assert_eq!(answers, [Some(vec![parent]), None, Some(vec![parent]), None]);
    let mut seen = Vec::new();
    for child in &children {
        seen.push(yard.status(child.id).await);
    }
    assert_eq!(seen, ["SUCCEEDED", "RUNNING", "FAILED", "RUNNING"]);
    let row = format!(
        "SELECT count(*) FROM nodes WHERE id = '{}' AND physical_id = '{}' AND status_reason = 'By {}.'",
        children[0].target, children[0].id, children[0].id
    );
    assert_eq!(yard.db.count(&row).await.unwrap(), 1, "the node's own change");
    let left = "SELECT count(*) FROM node_locks";
    assert_eq!(yard.db.count(left).await.unwrap(), 2, "of those that go on");
    let edges = "SELECT count(*) FROM action_dependencies";
    assert_eq!(yard.db.count(edges).await.unwrap(), 2);
    let told = "SELECT count(*) FROM events WHERE action = 'NODE_CHECK' AND status IN ('end', 'error')";
    assert_eq!(yard.db.count(told).await.unwrap(), 2);

    holder.batch_execute("ROLLBACK").await.unwrap();
    let answers = fence::finish_nodes(&mut conn, &ends).await.unwrap();
    assert_eq!(answers, [None, None, None, Some(vec![parent])], "none twice");
    let lost = fence::finish(&mut conn, ends[1].fence, &ends[1].end, None).await;
    assert!(matches!(lost, Err(DbError::LeaseLost)), "{lost:?}");
    yard.db.close().await.unwrap();
}

/// An engine may hold two claims of one action for a moment: each is told of its own.
#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_claim_is_not_taken_for_a_later_one() {
    let yard = Yard::new().await;
    let (parent, children) = claimed_children(&yard, 1).await;
    let now = ended(&children[0], "now");
    let mut before = ended(&children[0], "before");
    before.fence.attempt -= 1;
    let mark = |end: &NodeEnd| Mark {
        fence: end.fence,
        status: NodeStatus::Updating,
        reason: end.change.reason.clone(),
    };
    let mut conn = yard.db.db.session();
    let marked = fence::node_statuses(&mut conn, &[mark(&before), mark(&now)]).await;
    assert_eq!(marked.unwrap(), [false, true]);
    let answers = fence::finish_nodes(&mut conn, &[before, now]).await;
    assert_eq!(answers.unwrap(), [None, Some(vec![parent])]);
    let kept = "SELECT count(*) FROM nodes WHERE physical_id = 'now' AND status_reason = 'By now.'";
    assert_eq!(yard.db.count(kept).await.unwrap(), 1);
    yard.db.close().await.unwrap();
}

/// Whichever of its rows is locked, and by whom.
#[tokio::test(flavor = "multi_thread")]
async fn an_end_among_many_waits_for_no_row() {
    let yard = Yard::new().await;
    let (parent, children) = claimed_children(&yard, 1).await;
    let (action, node) = (children[0].id, children[0].target);
    let mut conn = yard.db.db.session();
    let ends = [ended(&children[0], "it")];
    for held in [
        format!("SELECT id FROM actions WHERE id = '{action}' FOR UPDATE"),
        format!("SELECT id FROM nodes WHERE id = '{node}' FOR NO KEY UPDATE"),
        format!("SELECT node_id FROM node_locks WHERE node_id = '{node}' FOR UPDATE"),
    ] {
        let holder = yard.db.session().await.unwrap();
        holder.batch_execute(&format!("BEGIN; {held}")).await.unwrap();
        assert_eq!(fence::finish_nodes(&mut conn, &ends).await.unwrap(), [None], "{held}");
        holder.batch_execute("ROLLBACK").await.unwrap();
    }
    let ended = fence::finish_nodes(&mut conn, &ends).await;
    assert_eq!(ended.unwrap(), [Some(vec![parent])]);
    yard.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_refused_ends_none() {
    let yard = Yard::new().await;
    let (parent, children) = claimed_children(&yard, 2).await;
    // A physical id is of one node.
    let ends: Vec<NodeEnd> = children.iter().map(|c| ended(c, "the same")).collect();
    let mut conn = yard.db.db.session();
    let refused = fence::finish_nodes(&mut conn, &ends).await;
    assert!(refused.as_ref().is_err_and(DbError::is_duplicate), "{refused:?}");
    for child in &children {
        assert_eq!(yard.status(child.id).await, "RUNNING");
    }
    let alone = fence::finish(&mut conn, ends[0].fence, &ends[0].end, Some(&ends[0].change)).await;
    assert_eq!(alone.unwrap(), [parent]);
    yard.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_are_marked_and_none_is_waited_for() {
    let yard = Yard::new().await;
    let (_, children) = claimed_children(&yard, 3).await;
    let mut marks: Vec<Mark> = children
        .iter()
        .map(|c| Mark {
            fence: Fence::of(c).unwrap(),
            status: NodeStatus::Updating,
            reason: "Update in progress".to_owned(),
        })
        .collect();
    marks[1].fence.owner = ServiceId::random();
    let mut conn = yard.db.db.session();
    let holder = yard.db.session().await.unwrap();
    let held = format!(
        "BEGIN; SELECT id FROM nodes WHERE id = '{}' FOR UPDATE",
        children[2].target
    );
    holder.batch_execute(&held).await.unwrap();
    assert_eq!(
        fence::node_statuses(&mut conn, &marks).await.unwrap(),
        [true, false, false]
    );
    let updating = "SELECT count(*) FROM nodes WHERE status = 'UPDATING' AND status_reason = 'Update in progress'";
    assert_eq!(yard.db.count(updating).await.unwrap(), 1);

    // By itself it waits its turn.
    let alone = tokio::spawn({
        let (db, mark) = (yard.db.db.clone(), marks[2].clone());
        async move { fence::node_status(&mut db.session(), &mark).await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!alone.is_finished());
    holder.batch_execute("ROLLBACK").await.unwrap();
    alone.await.unwrap().unwrap();
    assert_eq!(yard.db.count(updating).await.unwrap(), 2);
    let stranger = fence::node_status(&mut conn, &marks[1]).await;
    assert!(matches!(stranger, Err(DbError::LeaseLost)), "{stranger:?}");
    yard.db.close().await.unwrap();
}

//! What actions write of nodes, members, children and attempts.

use senlin_core::{
    Map,
    action::{ActionKind, ActionStatus, LockScope},
    ids::*,
    node::NodeStatus,
    profile_type::Made,
};
use senlin_db::{
    DbError,
    attempts::{self, Kept},
    child_actions::{self, NewMember, NewNode, SizeChange},
    children,
    fence::{self, Fence, NodeChange},
    members::{self, Change},
    nodes,
    placement::Place,
    profiles,
    settling::{self, SETTLING, Wait},
};
use serde_json::json;

use crate::{
    nodes::{host, needs, new_node, placed, profile},
    yard::{Yard, end},
};

async fn rows(yard: &Yard, query: &str) -> Vec<String> {
    yard.db.column(query).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_keeps_what_both_need_until_it_is_settled() {
    let yard = Yard::new().await;
    let host = host(&yard, "h").await;
    let (node, action) = placed(&yard, host, &needs(300, &[80])).await;
    let fence = Fence::of(&action).unwrap();
    let mut conn = yard.db.db.session();
    let next = profile("next", None);
    profiles::insert(&mut conn, &next).await.unwrap();
    let more = needs(200, &[80, 81]);
    let refused = attempts::begin(&mut conn, fence, node, host, next.id, &more, |_| Err("no room")).await;
    assert_eq!(refused.unwrap(), Err("no room"));
    let mut seen = None;
    let decide = |host: Option<_>| {
        seen = host;
        Ok::<_, ()>(())
    };
    let begun = attempts::begin(&mut conn, fence, node, host, next.id, &more, decide).await;
    let begun = begun.unwrap().unwrap();
    assert_eq!((begun.generation, begun.profile_id), (2, next.id));
    let seen = seen.unwrap();
    assert_eq!((seen.cpu_used, seen.memory_used), (0, 0), "without its own share");
    assert_eq!(seen.ports, [], "and its own ports");
    // It goes on with the one that it began.
    let again = attempts::begin(&mut conn, fence, node, host, next.id, &more, |_| Err(())).await;
    assert_eq!(again.unwrap(), Ok(begun));
    let ports = "SELECT port::text FROM host_ports ORDER BY port";
    assert_eq!(rows(&yard, ports).await, ["80", "81"]);
    let kept = "SELECT cpu_millis::text FROM nodes WHERE host_id IS NOT NULL";
    assert_eq!(rows(&yard, kept).await, ["300"], "the larger of both");

    let mut left = Kept {
        profile: next.id,
        container: Some(Made {
            physical_id: "made".to_owned(),
            generation: 2,
        }),
        place: Place::on(host, &needs(200, &[81])),
    };
    attempts::conclude(&mut conn, fence, node, &left).await.unwrap();
    assert_eq!(rows(&yard, ports).await, ["81"]);
    assert_eq!(rows(&yard, kept).await, ["200"]);
    let now = nodes::get(&mut conn, node).await.unwrap().unwrap();
    assert_eq!((now.generation, now.profile_id, now.attempt), (2, next.id, None));
    assert_eq!(
        (now.physical_id.as_deref(), now.status),
        (Some("made"), NodeStatus::Active)
    );
    left.container = None;
    attempts::conclude(&mut conn, fence, node, &left).await.unwrap();
    let now = nodes::get(&mut conn, node).await.unwrap().unwrap();
    assert_eq!(
        (now.generation, now.physical_id, now.status),
        (2, None, NodeStatus::Error)
    );
    yard.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_attempt_is_checked_once() {
    let yard = Yard::new().await;
    let host = host(&yard, "h").await;
    let (node, action) = placed(&yard, host, &needs(100, &[])).await;
    let fence = Fence::of(&action).unwrap();
    let mut conn = yard.db.db.session();
    let yes = |_| Ok::<_, ()>(());
    let begun = attempts::begin(&mut conn, fence, node, host, yard.profile, &needs(100, &[]), yes).await;
    begun.unwrap().unwrap();
    assert_eq!(
        attempts::check_open(&mut conn, host).await.unwrap(),
        [],
        "it is worked on"
    );
    yard.finish(&action).await.unwrap();
    let checks = attempts::check_open(&mut conn, host).await.unwrap();
    let told = format!("target = '{node}' AND action = 'NODE_CHECK' AND host_id = '{host}' AND status = 'READY'");
    assert!(yard.is(checks[0], &told).await);
    yard.cancel(checks[0]).await;
    assert_eq!(attempts::check_open(&mut conn, host).await.unwrap(), [], "a moment ago");
    let long_ago = "UPDATE node_attempts SET checked_at = now() - interval '6 minutes'";
    yard.db.execute(long_ago).await.unwrap();
    assert_eq!(attempts::check_open(&mut conn, host).await.unwrap().len(), 1);
    yard.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_that_waits_is_told_of_once_and_woken() {
    let yard = Yard::new().await;
    let host = host(&yard, "h").await;
    let (node, action) = placed(&yard, host, &needs(100, &[])).await;
    let mut conn = yard.db.db.session();
    let data = Map::from_iter([("since".to_owned(), json!(5))]);
    let mut wait = Wait {
        phase: Some(SETTLING),
        delay: 600.0,
        reason: "It has to run for a while.",
        data: &data,
        physical_id: Some("settles"),
    };
    let mut fence = Fence::of(&action).unwrap();
    for _ in 0..2 {
        settling::wait(&mut conn, fence, &wait).await.unwrap();
        let waits = "status = 'READY' AND phase = 'settling' AND owner IS NULL AND data->>'since' = '5'
            AND data->>'waits_for' = status_reason AND run_after > now() + interval '9 minutes'";
        assert!(yard.is(action.id, waits).await);
        assert!(yard.claim_nodes(1).await.is_empty());
        assert!(
            !settling::host_is_back(&mut conn, host).await.unwrap(),
            "it gives it time"
        );
        assert!(settling::look_now(&mut conn, node).await.unwrap());
        assert!(!settling::look_now(&mut conn, node).await.unwrap(), "it is due");
        fence = Fence::of(&yard.claim_nodes(1).await[0]).unwrap();
    }
    let told = "SELECT count(*) FROM events WHERE status = 'wait'";
    assert_eq!(yard.db.count(told).await.unwrap(), 1);
    let settles = "SELECT count(*) FROM nodes WHERE physical_id = 'settles'";
    assert_eq!(yard.db.count(settles).await.unwrap(), 1);

    // For a host that has to come back.
    child_actions::enter(&mut conn, fence, "create").await.unwrap();
    assert!(yard.is(action.id, "phase = 'create' AND NOT data ? 'waits_for'").await);
    wait.phase = None;
    wait.reason = "The host does not answer.";
    settling::wait(&mut conn, fence, &wait).await.unwrap();
    assert_eq!(yard.db.count(told).await.unwrap(), 2);
    assert!(!settling::look_now(&mut conn, node).await.unwrap(), "not in that phase");
    // Whoever holds it will look at it: it is not waited for.
    let holder = yard.db.session().await.unwrap();
    let held = format!("BEGIN; SELECT id FROM actions WHERE id = '{}' FOR UPDATE", action.id);
    holder.batch_execute(&held).await.unwrap();
    assert!(!settling::host_is_back(&mut conn, host).await.unwrap());
    holder.batch_execute("ROLLBACK").await.unwrap();
    assert!(settling::host_is_back(&mut conn, host).await.unwrap());
    assert!(yard.is(action.id, "run_after <= now()").await);

    // What went wrong may go well there now.
    let again = Fence::of(&yard.claim_nodes(1).await[0]).unwrap();
    fence::retry(&mut conn, again, 600.0, "It failed.").await.unwrap();
    let elsewhere = NodeId::random();
    assert!(!settling::host_is_back(&mut conn, elsewhere).await.unwrap());
    assert!(settling::host_is_back(&mut conn, host).await.unwrap());

    let lost = settling::wait(&mut conn, fence, &wait).await;
    assert!(matches!(lost, Err(DbError::LeaseLost)), "{lost:?}");
    let lost = child_actions::enter(&mut conn, fence, "create").await;
    assert!(matches!(lost, Err(DbError::LeaseLost)), "{lost:?}");
    yard.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn members_come_and_go() {
    let yard = Yard::new().await;
    let host = host(&yard, "h").await;
    let herd = yard.cluster("p", 1).await;
    yard.db.execute("UPDATE clusters SET next_index = 4").await.unwrap();
    let (node, action) = placed(&yard, host, &needs(100, &[])).await;
    let mut conn = yard.db.db.session();
    let done = end(ActionStatus::Succeeded);
    let fence = Fence::of(&action).unwrap();
    members::join(&mut conn, fence, node, herd.id, &done).await.unwrap();
    let joined = nodes::get(&mut conn, node).await.unwrap().unwrap();
    assert_eq!((joined.cluster_id, joined.index), (Some(herd.id), 4));
    let protect = format!("UPDATE nodes SET protected_until = now() + interval '1 hour' WHERE id = '{node}'");
    yard.db.execute(&protect).await.unwrap();

    let list = members::list(&mut conn, herd.id).await.unwrap();
    assert_eq!(list.iter().map(|m| m.id).collect::<Vec<_>>(), [herd.nodes[0], node]);
    assert_eq!(
        (list[0].host_id, list[0].zone.as_deref(), list[0].protected),
        (None, None, false)
    );
    assert_eq!((list[1].host_id, list[1].status), (Some(host), NodeStatus::Active));
    assert_eq!(list[1].zone.as_deref(), Some("z1"));
    assert_eq!(list[1].region.as_deref(), Some("r1"));
    assert!(list[1].protected);

    // Once more: it is a member, and no index is used up.
    yard.check_orphan("p", node).await;
    let fence = Fence::of(&yard.claim_nodes(1).await[0]).unwrap();
    members::join(&mut conn, fence, node, herd.id, &done).await.unwrap();
    assert_eq!(rows(&yard, "SELECT next_index::text FROM clusters").await, ["5"]);
    assert_eq!(nodes::next_index(&mut conn, herd.id).await.unwrap(), Some(5));

    yard.check_orphan("p", node).await;
    let fence = Fence::of(&yard.claim_nodes(1).await[0]).unwrap();
    let recovering = format!("UPDATE nodes SET status = 'RECOVERING' WHERE id = '{node}'");
    yard.db.execute(&recovering).await.unwrap();
    members::next_generation(&mut conn, fence, node, "anew").await.unwrap();
    let next = nodes::get(&mut conn, node).await.unwrap().unwrap();
    assert_eq!((next.generation, next.physical_id), (2, None));
    members::leave(&mut conn, fence, node, &done).await.unwrap();
    let left = nodes::get(&mut conn, node).await.unwrap().unwrap();
    assert_eq!((left.cluster_id, left.index), (None, -1));

    yard.check_orphan("p", node).await;
    let fence = Fence::of(&yard.claim_nodes(1).await[0]).unwrap();
    let renamed = Change {
        name: Some("renamed".to_owned()),
        tainted: Some(true),
        ..Change::default()
    };
    let as_it_is = NodeChange::default();
    let write = members::update_node(&mut conn, fence, node, &renamed, None, &done, &as_it_is, None);
    write.await.unwrap();
    let now = nodes::get(&mut conn, node).await.unwrap().unwrap();
    assert_eq!((now.name.as_str(), now.tainted, now.role), ("renamed", true, None));
    assert_eq!((now.profile_id, now.metadata), (left.profile_id, left.metadata));

    yard.check_orphan("p", node).await;
    let fence = Fence::of(&yard.claim_nodes(1).await[0]).unwrap();
    let role = Change {
        role: Some("db".to_owned()),
        metadata: Some(Map::from_iter([("b".to_owned(), json!(2))])),
        ..Change::default()
    };
    let write = members::update_node(&mut conn, fence, node, &role, None, &done, &as_it_is, None);
    write.await.unwrap();
    let now = nodes::get(&mut conn, node).await.unwrap().unwrap();
    assert_eq!(
        (now.name.as_str(), now.tainted, now.role.as_deref()),
        ("renamed", true, Some("db"))
    );
    assert_eq!(Some(now.metadata), role.metadata);

    yard.check_orphan("p", node).await;
    let fence = Fence::of(&yard.claim_nodes(1).await[0]).unwrap();
    members::delete(&mut conn, fence, node, true, Some(herd.id), &done)
        .await
        .unwrap();
    assert!(nodes::get(&mut conn, node).await.unwrap().is_none());
    let gone = format!("SELECT count(*) FROM departed_nodes WHERE node_id = '{node}' AND generation = 2");
    assert_eq!(yard.db.count(&gone).await.unwrap(), 1);
    yard.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_grows_by_children_that_it_waits_for() {
    let yard = Yard::new().await;
    let host = host(&yard, "h").await;
    let herd = yard.cluster("p", 0).await;
    yard.check_cluster("p", herd.id).await;
    let parent = yard.claim_cluster(64).await.unwrap();
    let fence = Fence::of(&parent).unwrap();
    let mut conn = yard.db.db.session();
    let change = Change {
        timeout: Some(60),
        ..Change::default()
    };
    members::update_cluster(&mut conn, fence, herd.id, &change)
        .await
        .unwrap();
    let size = SizeChange {
        desired: Some(2),
        max: Some(3),
        ..SizeChange::default()
    };
    let small = needs(10, &[]);
    let mut looks = 0;
    let plan = |hosts: Vec<_>, first: i32| {
        assert_eq!(hosts.len(), 1);
        looks += 1;
        // One that goes between the look and the record: it is decided anew.
        let host = if looks == 1 { NodeId::random() } else { host };
        let member = |index: i32| {
            let node = NewNode {
                cluster_id: Some(herd.id),
                index,
                ..new_node(&yard, &format!("m{index}"))
            };
            let kind = ActionKind::NodeCreate;
            let mut action = Yard::action("p", kind, node.id.0, Some(herd.id), LockScope::Node);
            action.parent_id = Some(parent.id);
            NewMember {
                node,
                action,
                place: Some(Place::on(host, &small)),
            }
        };
        let told = Map::from_iter([("placed".to_owned(), json!(2))]);
        Ok::<_, ()>((vec![member(first), member(first + 1)], told))
    };
    let grown = child_actions::grow(&mut conn, fence, herd.id, size, 2, &small, "made", plan).await;
    grown.unwrap().unwrap();
    assert_eq!(looks, 2);
    let sizes = "SELECT concat_ws(' ', desired_capacity, min_size, max_size, next_index, timeout, name) FROM clusters";
    assert_eq!(rows(&yard, sizes).await, ["2 0 3 3 60 c"]);
    let waits = "status = 'WAITING' AND phase = 'made' AND data->>'placed' = '2'";
    assert!(yard.is(parent.id, waits).await);
    let edges = format!(
        "SELECT count(*) FROM action_dependencies WHERE dependent = '{}'",
        parent.id
    );
    assert_eq!(yard.db.count(&edges).await.unwrap(), 2);
    let ends = children::ends(&mut conn, parent.id, "made").await.unwrap();
    let names: Vec<_> = ends.iter().map(|e| (e.name.as_str(), e.status)).collect();
    assert_eq!(names, [("m1", ActionStatus::Ready), ("m2", ActionStatus::Ready)]);
    assert!(children::ends(&mut conn, parent.id, "other").await.unwrap().is_empty());
    let here = nodes::containers_on(&mut conn, &[host]).await.unwrap();
    assert_eq!(here, ["m1", "m2"]);
    let lost = child_actions::grow(&mut conn, fence, herd.id, size, 2, &small, "made", |_, _| Err(())).await;
    assert!(matches!(lost, Err(DbError::LeaseLost)), "{lost:?}");
    children::cancel(&mut conn, parent.id).await.unwrap();
    let cancelled = children::ends(&mut conn, parent.id, "made").await.unwrap();
    assert!(cancelled.iter().all(|e| e.status == ActionStatus::Cancelled));
    yard.db.close().await.unwrap();
}

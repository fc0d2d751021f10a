//! Hosts that answer or do not, members as they are seen, and places that
//! are taken and left.

use senlin_core::{
    Map,
    action::{Action, ActionKind, LockScope},
    host::{HostInfo, HostState},
    ids::*,
    node::{Condition, NodeStatus},
    placement::Requirements,
};
use senlin_db::{
    DbError,
    fence::Fence,
    health::{self, Begun, RecoveryRequest},
    hosts::{self, Leftover},
    placement::{self, Place},
    services,
};

use crate::{placement::host, yard::Yard};

/// A claimed NODE_CREATE of the node.
async fn creating(yard: &Yard, node: NodeId) -> Action {
    yard.submit(Yard::action("p", ActionKind::NodeCreate, node.0, None, LockScope::Node))
        .await;
    yard.claim_nodes(64).await.remove(0)
}

/// What a condition holds of, a row of the table or none.
async fn holds(yard: &Yard, table: &str, condition: &str) -> bool {
    let query = format!("SELECT count(*) FROM {table} WHERE {condition}");
    yard.db.count(&query).await.unwrap() > 0
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_is_given_to_one_host() {
    let yard = Yard::new().await;
    let mut conn = yard.db.db.session();
    let pool = ["tcp://a".to_owned(), "tcp://b".to_owned()];
    let mut actions = Vec::new();
    for index in 0..3 {
        let node = yard.node("p", None, index).await;
        actions.push((node, creating(&yard, node).await));
    }
    for (nth, of) in [
        (0, Some("tcp://a")),
        (1, Some("tcp://b")),
        (0, Some("tcp://a")),
        (2, None),
    ] {
        let (node, action) = &actions[nth];
        let fence = Fence::of(action).unwrap();
        let taken = hosts::take_endpoint(&mut conn, fence, *node, &pool).await.unwrap();
        assert_eq!(taken.as_deref(), of, "node {nth}");
    }
    let (first, action) = &actions[0];
    let fence = Fence::of(action).unwrap();
    hosts::release_endpoint(&mut conn, fence, *first).await.unwrap();
    let (last, action) = &actions[2];
    let fence = Fence::of(action).unwrap();
    let late = Fence { attempt: 0, ..fence };
    let lost = hosts::take_endpoint(&mut conn, late, *last, &pool).await;
    assert!(matches!(lost, Err(DbError::LeaseLost)));
    let taken = hosts::take_endpoint(&mut conn, fence, *last, &pool).await.unwrap();
    assert_eq!(taken.as_deref(), Some("tcp://a"), "given back");
    yard.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_host_is_unknown_until_it_answers() {
    let yard = Yard::new().await;
    let mut conn = yard.db.db.session();
    let id = host(&yard, 2, 1 << 20).await;
    let state = async || {
        let mut conn = yard.db.db.session();
        hosts::get(&mut conn, id).await.unwrap().unwrap().state
    };
    assert_eq!(state().await, HostState::Up);
    assert!(
        !hosts::silent(&mut conn, id, "no route").await.unwrap(),
        "it answered just now"
    );
    let long_ago = "UPDATE hosts SET last_seen = now() - interval '31 seconds'";
    yard.db.execute(long_ago).await.unwrap();
    assert!(hosts::silent(&mut conn, id, "no route").await.unwrap());
    assert!(!hosts::silent(&mut conn, id, "no route").await.unwrap(), "told once");
    assert_eq!(state().await, HostState::Unknown);
    let said = "status = 'WARNING' AND condition = 'UNKNOWN' AND status_reason = 'Host unknown: no route'";
    assert!(holds(&yard, "nodes", said).await);

    let mut info = HostInfo::default();
    info.labels.insert("zone".to_owned(), "z1".to_owned());
    let answered = hosts::answered(&mut conn, id, &info).await.unwrap();
    assert!(answered.is_back && !answered.has_leftovers);
    let again = hosts::answered(&mut conn, id, &info).await.unwrap();
    assert!(!again.is_back);
    assert!(holds(&yard, "nodes", "status = 'ACTIVE'").await);
    let known = hosts::get(&mut conn, id).await.unwrap().unwrap();
    assert_eq!(known.zone.as_deref(), Some("z1"), "its own label");
    let zone = r#"UPDATE profiles SET spec = '{"properties": {"zone": "z2"}}'"#;
    yard.db.execute(zone).await.unwrap();
    let known = hosts::get(&mut conn, id).await.unwrap().unwrap();
    assert_eq!(known.zone.as_deref(), Some("z2"), "the profile goes before it");
    yard.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_that_is_due_is_made_once() {
    let yard = Yard::new().await;
    let mut conn = yard.db.db.session();
    let (a, b) = (host(&yard, 1, 1).await, host(&yard, 1, 1).await);
    let earlier = format!("UPDATE hosts SET beat_at = now() - interval '1 minute' WHERE node_id = '{b}'");
    let now = format!("UPDATE hosts SET beat_at = now() WHERE node_id = '{a}'");
    yard.db.execute(&now).await.unwrap();
    yard.db.execute(&earlier).await.unwrap();
    assert_eq!(hosts::due(&mut conn, 0.5, 1).await.unwrap(), [b], "the earliest");
    assert_eq!(hosts::due(&mut conn, 60.0, 9).await.unwrap(), [a]);
    assert!(hosts::due(&mut conn, 60.0, 9).await.unwrap().is_empty());
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    assert_eq!(hosts::due(&mut conn, 60.0, 9).await.unwrap(), [b], "half a second on");
    yard.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn engines_share_the_hosts_that_they_watch() {
    let yard = Yard::new().await;
    let mut conn = yard.db.db.session();
    let mut all = Vec::new();
    for _ in 0..4 {
        all.push(host(&yard, 1, 1).await);
    }
    all.sort();
    let engines = [ServiceId::random(), ServiceId::random()];
    services::register(&mut conn, engines[0], "h", "senlin-engine", "t")
        .await
        .unwrap();
    let mut alone = health::watch(&mut conn, engines[0], 60.0).await.unwrap();
    alone.sort();
    assert_eq!(alone, all);
    services::register(&mut conn, engines[1], "h", "senlin-engine", "t")
        .await
        .unwrap();
    assert!(health::watch(&mut conn, engines[1], 60.0).await.unwrap().is_empty());
    let mut share = health::watch(&mut conn, engines[0], 60.0).await.unwrap();
    share.sort();
    assert_eq!(share, all[..2]);
    // The others are let go when their time is over.
    let over = "UPDATE hosts SET watch_until = now() WHERE watch_until < (SELECT max(watch_until) FROM hosts)";
    yard.db.execute(over).await.unwrap();
    let mut others = health::watch(&mut conn, engines[1], 60.0).await.unwrap();
    others.sort();
    assert_eq!(others, all[2..]);
    yard.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_seen_of_a_member_is_told_once() {
    let yard = Yard::new().await;
    let mut conn = yard.db.db.session();
    let herd = yard.cluster("p", 2).await;
    let members = health::members_of(&mut conn, &[herd.id]).await.unwrap();
    assert_eq!(members.iter().map(|m| m.id).collect::<Vec<_>>(), herd.nodes);
    let seen = &members[0];
    assert!(!seen.busy && !seen.is_host && !seen.pinned && seen.silence.is_none());
    assert!((0.0..60.0).contains(&seen.age), "{}", seen.age);
    let gone = async |seen| {
        let mut conn = yard.db.db.session();
        health::observe(&mut conn, seen, NodeStatus::Error, Condition::Gone, "It is gone.")
            .await
            .unwrap()
    };
    yard.check_member("p", herd.id, seen.id).await;
    let check = yard.claim_cluster(64).await.unwrap();
    assert!(
        health::node(&mut conn, seen.id).await.unwrap().unwrap().busy,
        "it is checked"
    );
    assert!(!gone(seen).await, "it is held");
    yard.finish(&check).await.unwrap();
    assert!(!health::node(&mut conn, seen.id).await.unwrap().unwrap().busy);

    assert!(!health::standings(&mut conn, &[herd.id]).await.unwrap()[0].is_stale);
    assert!(gone(seen).await);
    assert!(!gone(seen).await, "it is known");
    let of_node = format!("oid = '{}' AND action = 'NODE_HEALTH' AND status = 'error'", seen.id);
    assert!(holds(&yard, "events", &of_node).await);
    assert!(
        holds(&yard, "clusters", "status <> 'ACTIVE'").await,
        "the cluster follows"
    );
    assert!(!health::standings(&mut conn, &[herd.id]).await.unwrap()[0].is_stale);

    let well = "UPDATE nodes SET status = 'ACTIVE'";
    yard.db.execute(well).await.unwrap();
    assert!(health::standings(&mut conn, &[herd.id]).await.unwrap()[0].is_stale);
    yard.check_cluster("p", herd.id).await;
    let node = health::node(&mut conn, herd.nodes[1]).await.unwrap().unwrap();
    assert!(node.busy, "its cluster waits to be checked");
    let held = yard.claim_cluster(64).await.unwrap();
    health::settle(&mut conn, herd.id).await.unwrap();
    assert!(
        !health::standings(&mut conn, &[herd.id]).await.unwrap()[0].is_stale,
        "something is being done to it"
    );
    assert!(holds(&yard, "clusters", "status <> 'ACTIVE'").await);
    yard.finish(&held).await.unwrap();
    health::settle(&mut conn, herd.id).await.unwrap();
    assert!(holds(&yard, "clusters", "status = 'ACTIVE'").await);
    yard.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_is_begun_within_bounds() {
    let yard = Yard::new().await;
    let mut conn = yard.db.db.session();
    let herd = yard.cluster("p", 1).await;
    let node = herd.nodes[0];
    let request = RecoveryRequest {
        node,
        cluster: herd.id,
        physical_id: Some(node.to_string()),
        reason: "It exited.".to_owned(),
        inputs: Map::new(),
        budget: 2,
        window: 3600,
    };
    let other = RecoveryRequest {
        physical_id: Some("another".to_owned()),
        ..request.clone()
    };
    assert_eq!(health::recover(&mut conn, &other).await.unwrap(), Begun::Busy);
    for nth in 0..2 {
        let begun = health::recover(&mut conn, &request).await.unwrap();
        assert!(matches!(begun, Begun::Yes(_)), "{nth}: {begun:?}");
        assert_eq!(health::recover(&mut conn, &request).await.unwrap(), Begun::Busy);
        let action = yard.claim_cluster(64).await.unwrap();
        yard.finish(&action).await.unwrap();
    }
    let again = health::recover(&mut conn, &request).await.unwrap();
    assert!(matches!(again, Begun::BackOff(8..=10)), "{again:?}");
    yard.db
        .execute("UPDATE recoveries SET begun_at = now() - interval '11 minutes'")
        .await
        .unwrap();
    assert_eq!(health::recover(&mut conn, &request).await.unwrap(), Begun::Spent);
    let shorter = RecoveryRequest { window: 60, ..request };
    let begun = health::recover(&mut conn, &shorter).await.unwrap();
    assert!(matches!(begun, Begun::Yes(_)), "{begun:?}");
    yard.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_held_back_is_told_once_per_reason() {
    let yard = Yard::new().await;
    let mut conn = yard.db.db.session();
    let node = yard.node("p", None, -1).await;
    yard.db
        .execute("UPDATE nodes SET status = 'ERROR', condition = NULL")
        .await
        .unwrap();
    for (reason, unknown, told) in [("a", false, 1), ("a", true, 1), ("b", true, 2), ("c", false, 3)] {
        health::hold_back(&mut conn, node, reason, unknown).await.unwrap();
        let query = "SELECT count(*) FROM events WHERE action = 'NODE_RECOVER' AND status = 'held back'";
        assert_eq!(yard.db.count(query).await.unwrap(), told, "{reason}");
        let is_unknown = holds(&yard, "nodes", "condition = 'UNKNOWN'").await;
        assert_eq!(is_unknown, told > 1, "{reason}");
    }
    yard.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn members_on_a_host_are_unknown_while_it_is() {
    let yard = Yard::new().await;
    let mut conn = yard.db.db.session();
    let on = host(&yard, 4, 1 << 30).await;
    let herd = yard.cluster("p", 3).await;
    let place = format!(
        "UPDATE nodes SET host_id = '{on}' WHERE cluster_id = '{}' AND index < 2",
        herd.id
    );
    yard.db.execute(&place).await.unwrap();
    health::unknown(&mut conn, on).await.unwrap();
    let there = health::on_host(&mut conn, on).await.unwrap();
    assert_eq!(there.len(), 2);
    assert!(
        there
            .iter()
            .all(|m| m.status == NodeStatus::Warning && m.silence.is_some())
    );
    let elsewhere = health::node(&mut conn, herd.nodes[2]).await.unwrap().unwrap();
    assert_eq!(elsewhere.status, NodeStatus::Active);
    assert!(health::node(&mut conn, on).await.unwrap().unwrap().is_host);
    assert!(holds(&yard, "clusters", "status = 'WARNING'").await, "it follows");

    let runs = [there[0].physical_id.clone().unwrap()];
    let of = health::known_again(&mut conn, on, &runs).await.unwrap();
    assert_eq!(of, [herd.id]);
    let there = health::on_host(&mut conn, on).await.unwrap();
    assert_eq!(there[0].status, NodeStatus::Active);
    assert_eq!(there[1].status, NodeStatus::Warning, "it was not seen");
    assert!(health::known_again(&mut conn, on, &[]).await.unwrap().is_empty());
    yard.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_leaves_on_a_host_is_noted_until_it_is_gone() {
    let yard = Yard::new().await;
    let mut conn = yard.db.db.session();
    let on = host(&yard, 4, 1 << 30).await;
    let node = yard.node("p", None, 1).await;
    let action = creating(&yard, node).await;
    let fence = Fence::of(&action).unwrap();
    let needs = Requirements {
        cpu_millis: 100,
        memory: 1 << 20,
        ports: vec![(80, "tcp".to_owned())],
        ..Requirements::default()
    };
    let place = async || {
        let mut conn = yard.db.db.session();
        let decide = |hosts: Vec<_>| hosts.first().map(|_| on).ok_or(());
        let placed = placement::place(&mut conn, fence, node, None, &needs, decide).await;
        assert_eq!(placed.unwrap(), Ok(on));
    };
    let container = Some(node.to_string());
    yard.db
        .execute("UPDATE nodes SET status = 'CREATING' WHERE index = 1")
        .await
        .unwrap();
    place().await;
    assert!(holds(&yard, "actions", &format!("host_id = '{on}'")).await);
    let generation = yard.db.count("SELECT max(generation) FROM nodes").await.unwrap();
    let generation = i32::try_from(generation).unwrap();
    placement::give_up(&mut conn, fence, node).await.unwrap();
    let left = format!(
        "id = '{node}' AND host_id IS NULL AND physical_id IS NULL AND generation = {}",
        generation + 1
    );
    assert!(holds(&yard, "nodes", &left).await);
    assert!(!holds(&yard, "host_ports", "true").await, "its port is free");
    let noted = hosts::leftovers(&mut conn, on).await.unwrap();
    assert_eq!(noted, [Leftover::Node(node, generation, container.clone())]);

    // Once more, before it had a container: the one that is left is still known.
    place().await;
    placement::give_up(&mut conn, fence, node).await.unwrap();
    let noted = hosts::leftovers(&mut conn, on).await.unwrap();
    assert_eq!(noted, [Leftover::Node(node, generation + 1, container.clone())]);
    let other = yard.node("p", None, 2).await;
    let taken = format!("UPDATE nodes SET physical_id = '{node}' WHERE id = '{other}'");
    yard.db.execute(&taken).await.unwrap();
    let asked = format!(
        "INSERT INTO unaccounted_containers (host_id, container_id, node_id, generation, name, running, reason,
            remove_asked_at) VALUES ('{on}', 'c', '{other}', 1, 'n', true, 'NODE_UNKNOWN', now()), ('{on}', 'd', '{other}', 1, 'n', true,
            'NODE_UNKNOWN', NULL)"
    );
    yard.db.execute(&asked).await.unwrap();
    let noted = hosts::leftovers(&mut conn, on).await.unwrap();
    assert_eq!(noted.len(), 2);
    assert!(
        noted.contains(&Leftover::Node(node, generation + 1, None)),
        "it is another's"
    );
    assert!(noted.contains(&Leftover::Container("c".to_owned())));
    let answered = hosts::answered(&mut conn, on, &HostInfo::default()).await.unwrap();
    assert!(answered.has_leftovers);
    hosts::cleared(&mut conn, on, node, generation).await.unwrap();
    assert!(holds(&yard, "leftovers", "true").await, "an older one");
    hosts::cleared(&mut conn, on, node, generation + 1).await.unwrap();
    assert!(!holds(&yard, "leftovers", "true").await);
    yard.db.close().await.unwrap();
}

/// A container that runs already takes what it takes, but for a port that the
/// record says is another's.
#[tokio::test(flavor = "multi_thread")]
async fn an_occupied_place_is_recorded_whatever_is_promised() {
    let yard = Yard::new().await;
    let mut conn = yard.db.db.session();
    let (one, two) = (host(&yard, 1, 1 << 20).await, host(&yard, 1, 1 << 20).await);
    let (first, second) = (yard.node("p", None, 1).await, yard.node("p", None, 2).await);
    let place = |host, ports: &[u16]| Place {
        host,
        cpu_millis: 900,
        memory: 1 << 20,
        ports: ports.iter().map(|port| (*port, "tcp".to_owned())).collect(),
    };
    placement::record(&mut conn, &[(first, place(one, &[80]))])
        .await
        .unwrap();
    let taken = placement::record(&mut conn, &[(second, place(one, &[80]))]).await;
    assert!(taken.is_err(), "a placement is refused the port");
    placement::occupy(&mut conn, second, &place(two, &[80, 81]))
        .await
        .unwrap();
    placement::occupy(&mut conn, second, &place(one, &[80, 82]))
        .await
        .unwrap();
    let ports = "SELECT node_id || ' ' || port FROM host_ports ORDER BY port";
    let expected = [format!("{first} 80"), format!("{second} 82")];
    assert_eq!(yard.db.column(ports).await.unwrap(), expected);
    let both = format!("host_id = '{one}' AND containers = 2 AND cpu_millis = 1800");
    assert!(holds(&yard, "host_use", &both).await);
    let none = format!("host_id = '{two}' AND containers = 0 AND cpu_millis = 0");
    assert!(holds(&yard, "host_use", &none).await);
    yard.db.close().await.unwrap();
}

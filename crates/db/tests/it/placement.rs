//! Many planners at once: nothing is promised twice.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use senlin_core::{
    action::{Action, ActionKind, ActionStatus, LockScope},
    host::HostInfo,
    ids::*,
    placement::{HostSnapshot, Requirements},
};
use senlin_db::{
    fence::{self, Fence},
    hosts, placement,
};

use crate::yard::{Yard, end};

pub(crate) async fn host(yard: &Yard, cpus: i64, memory: i64) -> NodeId {
    let id = yard.node("p", None, -1).await;
    yard.db
        .execute(&format!(
            "INSERT INTO hosts (node_id, endpoint) VALUES ('{id}', '{id}')"
        ))
        .await
        .unwrap();
    let info = HostInfo {
        cpus,
        memory,
        labels: BTreeMap::new(),
        ..HostInfo::default()
    };
    hosts::answered(&mut yard.db.db.session(), id, &info).await.unwrap();
    id
}

/// The fullest that still takes it: every planner wants the same one.
fn fullest(hosts: &[HostSnapshot], needs: &Requirements) -> Result<NodeId, ()> {
    let open = hosts.iter().filter(|h| h.has_room(needs));
    open.max_by_key(|h| (h.memory_used, h.id)).map(|h| h.id).ok_or(())
}

/// What the triggers count is what a count says.
async fn counts_are_true(yard: &Yard) {
    let wrong = "SELECT count(*) FROM host_use u CROSS JOIN LATERAL (
            SELECT coalesce(sum(cpu_millis), 0) AS cpu, coalesce(sum(memory), 0) AS memory, count(*) AS n
            FROM nodes WHERE host_id = u.host_id) c
        WHERE (u.cpu_millis, u.memory, u.containers) <> (c.cpu, c.memory, c.n)";
    assert_eq!(yard.db.count(wrong).await.unwrap(), 0, "promised and counted differ");
}

/// Ten planners, hosts for fewer containers than are asked for, and places
/// that get free again: capacity and ports are used up and never exceeded.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a13_ten_planners_never_promise_a_place_twice() {
    let yard = Yard::new().await;
    for _ in 0..4 {
        host(&yard, 64, 10 << 20).await;
    }
    for _ in 0..100 {
        let node = yard.node("p1", None, -1).await;
        let kind = ActionKind::NodeCreate;
        yard.submit(Yard::action("p1", kind, node.0, None, LockScope::Node))
            .await;
    }
    yard.db
        .execute("UPDATE nodes SET status = 'CREATING', physical_id = NULL WHERE id IN (SELECT target FROM actions)")
        .await
        .unwrap();
    let mut claimed: Vec<Action> = Vec::new();
    let mut conn = yard.db.db.session();
    while claimed.len() < 100 {
        let owner = ServiceId::random();
        let limits = senlin_db::queue::Limits {
            per_project: 1000,
            ..crate::yard::LIMITS
        };
        let some = senlin_db::queue::claim_nodes(&mut conn, owner, 64, limits)
            .await
            .unwrap();
        assert!(!some.is_empty());
        claimed.extend(some.into_iter().map(|c| c.action));
    }
    let (placed, refused) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let begun = Instant::now();
    let mut planners = tokio::task::JoinSet::new();
    for share in claimed.chunks(10) {
        let (share, db) = (share.to_vec(), yard.db.db.clone());
        let (placed, refused) = (placed.clone(), refused.clone());
        planners.spawn(async move {
            for (at, action) in share.into_iter().enumerate() {
                let mut conn = db.session();
                let fence = Fence::of(&action).unwrap();
                let node = NodeId::from(action.target);
                let needs = Requirements {
                    cpu_millis: 500,
                    memory: 1 << 20,
                    ports: if at % 2 == 0 {
                        vec![(8080, "tcp".to_owned())]
                    } else {
                        Vec::new()
                    },
                    ..Requirements::default()
                };
                let decide = |hosts: Vec<HostSnapshot>| fullest(&hosts, &needs);
                let place = placement::place(&mut conn, fence, node, None, &needs, decide)
                    .await
                    .unwrap();
                match place {
                    Ok(_) => placed.fetch_add(1, Ordering::Relaxed),
                    Err(()) => refused.fetch_add(1, Ordering::Relaxed),
                };
                if at == 9 && place.is_ok() {
                    placement::free(&mut conn, fence, node).await.unwrap();
                    let end = end(ActionStatus::Failed);
                    fence::finish(&mut conn, fence, &end, None).await.unwrap();
                }
            }
        });
    }
    planners.join_all().await;
    let (placed, refused) = (placed.load(Ordering::Relaxed), refused.load(Ordering::Relaxed));
    println!("{placed} placed and {refused} refused in {:?}", begun.elapsed());
    assert!(
        (40..=54).contains(&placed),
        "{placed} were placed where forty fit at once"
    );
    let over = "SELECT count(*) FROM host_use u JOIN hosts h ON h.node_id = u.host_id
        WHERE u.memory > (h.info->>'memory')::bigint OR u.cpu_millis > 1000 * (h.info->>'cpus')::bigint";
    assert_eq!(
        yard.db.count(over).await.unwrap(),
        0,
        "a host is promised more than it has"
    );
    let twice =
        "SELECT count(*) FROM host_ports p JOIN nodes n ON n.id = p.node_id WHERE n.host_id IS DISTINCT FROM p.host_id";
    assert_eq!(
        yard.db.count(twice).await.unwrap(),
        0,
        "a port is held where its node is not"
    );
    counts_are_true(&yard).await;
    yard.db.close().await.unwrap();
}

/// One who decides for a host while another planner's transaction is open
/// there waits for that one only, and decides anew when it took the last place.
#[tokio::test(flavor = "multi_thread")]
async fn a13_only_chosen_hosts_are_locked() {
    let yard = Yard::new().await;
    let (full, free) = (host(&yard, 1, 1 << 20).await, host(&yard, 1, 1 << 20).await);
    let mut actions = Vec::new();
    for _ in 0..2 {
        let node = yard.node("p1", None, -1).await;
        yard.submit(Yard::action(
            "p1",
            ActionKind::NodeCreate,
            node.0,
            None,
            LockScope::Node,
        ))
        .await;
        actions.extend(yard.claim_nodes(64).await);
    }
    let other = yard.db.session().await.unwrap();
    let taken = yard.node("p2", None, -1).await;
    other
        .batch_execute(&format!(
            "BEGIN; UPDATE nodes SET host_id = '{full}', memory = 1048576 WHERE id = '{taken}'"
        ))
        .await
        .unwrap();
    let needs = Requirements {
        memory: 1 << 20,
        ..Requirements::default()
    };
    let on = |wanted: NodeId| {
        let needs = needs.clone();
        move |hosts: Vec<HostSnapshot>| {
            let open = |h: &&HostSnapshot| h.has_room(&needs);
            let first = hosts.iter().filter(open).find(|h| h.id == wanted);
            first.or_else(|| hosts.iter().find(open)).map(|h| h.id).ok_or(())
        }
    };
    let place = async |action: Action, wanted: NodeId| {
        let mut conn = yard.db.db.session();
        let fence = Fence::of(&action).unwrap();
        placement::place(&mut conn, fence, action.target.into(), None, &needs, on(wanted))
            .await
            .unwrap()
    };
    let (first, second) = (actions[0].clone(), actions[1].clone());
    assert_eq!(place(first, free).await, Ok(free), "the other host is not locked");
    let both = async {
        yard.db.waiting(1).await.unwrap();
        other.batch_execute("COMMIT").await.unwrap();
    };
    let (refused, ()) = tokio::join!(place(second, full), both);
    assert_eq!(refused, Err(()), "the last place went meanwhile");
    counts_are_true(&yard).await;
    yard.db.close().await.unwrap();
}

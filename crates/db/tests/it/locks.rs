//! Locks under everything at once: many connections claim, end, cancel, sweep
//! and delete at random, and a watcher looks on.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use senlin_core::{
    action::{Action, ActionKind, ActionStatus, LockScope, NewAction},
    ids::*,
    node::NodeStatus,
};
use senlin_db::{
    DbError, Result, actions,
    child_actions::{self, SizeChange},
    fence::{self, Fence, NodeChange, NodeEnd},
    members,
    queue::{self, Limits},
};

use crate::yard::{Herd, LIMITS, Yard, end};

/// Numbers that a seed gives again.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % 1_000_003).unwrap() % most
    }

    fn of<T: Clone>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())].clone()
    }
}

struct Field {
    yard: Yard,
    herds: Vec<Herd>,
    orphans: Vec<NodeId>,
    /// Every action that was recorded, and those that somebody works on.
    recorded: Mutex<Vec<ActionId>>,
    held: Mutex<Vec<Action>>,
    ended: AtomicUsize,
    /// Of them, in statements about many.
    together: AtomicUsize,
    over: AtomicBool,
}

/// Leases that run out in the middle of things now and then.
const SHORT: Limits = Limits { lease: 1, ..LIMITS };

impl Field {
    async fn submit(&self, conn: &mut senlin_db::Conn, action: NewAction) -> Result<()> {
        actions::submit(conn, &action, false).await?.unwrap();
        self.recorded.lock().unwrap().push(action.id);
        Ok(())
    }

    fn take(&self, dice: &mut Dice) -> Option<Action> {
        let mut held = self.held.lock().unwrap();
        let n = held.len();
        (n > 0).then(|| held.swap_remove(dice.below(n)))
    }

    async fn check(&self, conn: &mut senlin_db::Conn, herd: &Herd, node: NodeId) -> Result<()> {
        let action = Yard::action("p1", ActionKind::NodeCheck, node.0, Some(herd.id), LockScope::Member);
        self.submit(conn, action).await
    }

    /// One thing at random.
    async fn step(&self, conn: &mut senlin_db::Conn, dice: &mut Dice) -> Result<()> {
        let herd = dice.of(&self.herds);
        let node = dice.of(&herd.nodes);
        let owner = ServiceId::random();
        match dice.below(23) {
            0 => {
                for node in &herd.nodes {
                    self.check(conn, &herd, *node).await?;
                }
            }
            1 | 2 => self.check(conn, &herd, node).await?,
            3 => {
                let kind = ActionKind::ClusterCheck;
                let action = Yard::action("p2", kind, herd.id.0, Some(herd.id), LockScope::Cluster);
                self.submit(conn, action).await?;
            }
            4 => {
                let node = dice.of(&self.orphans);
                let action = Yard::action("p3", ActionKind::NodeCheck, node.0, None, LockScope::Node);
                self.submit(conn, action).await?;
            }
            5 if dice.below(4) == 0 => {
                let kind = ActionKind::NodeDelete;
                let action = Yard::action("p1", kind, node.0, Some(herd.id), LockScope::Member);
                self.submit(conn, action).await?;
            }
            6 if dice.below(20) == 0 => {
                let kind = ActionKind::ClusterDelete;
                let action = Yard::action("p1", kind, herd.id.0, Some(herd.id), LockScope::Cluster);
                self.submit(conn, action).await?;
            }
            7..=11 => {
                let limits = dice.of(&[LIMITS, LIMITS, SHORT]);
                let claimed = queue::claim_cluster(conn, owner, 64, limits).await?;
                self.held.lock().unwrap().extend(claimed.map(|c| c.action));
            }
            12 | 13 => {
                let claimed = queue::claim_nodes(conn, owner, 8, LIMITS).await?;
                self.held.lock().unwrap().extend(claimed.into_iter().map(|c| c.action));
            }
            14..=19 => {
                if let Some(action) = self.take(dice) {
                    self.work(conn, dice, &herd, action).await?;
                }
            }
            20 => {
                let id = dice.of(&self.recorded.lock().unwrap().clone());
                actions::cancel(conn, id).await?;
            }
            21 => {
                let id = dice.of(&self.recorded.lock().unwrap().clone());
                let parents = actions::force_cancel(conn, id).await?;
                queue::promote(conn, &parents).await?;
            }
            _ => {
                queue::sweep(conn).await?;
            }
        }
        Ok(())
    }

    /// What a handler may do with what it holds.
    async fn work(&self, conn: &mut senlin_db::Conn, dice: &mut Dice, herd: &Herd, action: Action) -> Result<()> {
        let fence = Fence::of(&action)?;
        let begun = !action.phase.is_empty();
        let parents = match (action.kind, dice.below(10)) {
            (_, 0) => return fence::retry(conn, fence, 0.0, "again").await,
            (_, 1) => return fence::postpone(conn, fence, "later", 0.05, "later").await,
            (_, 2) => return Ok(()), // Whoever worked on it died; its lease runs out.
            (ActionKind::ClusterCheck, 3..=6) if !begun && !action.cancel && action.target == herd.id.0 => {
                let children: Vec<NewAction> = herd.nodes[..2]
                    .iter()
                    .map(|node| {
                        let kind = ActionKind::NodeCheck;
                        let mut child = Yard::action("p2", kind, node.0, Some(herd.id), LockScope::Node);
                        child.parent_id = Some(action.id);
                        child
                    })
                    .collect();
                child_actions::launch(conn, fence, herd.id, SizeChange::default(), "finish", &children).await?;
                self.recorded.lock().unwrap().extend(children.iter().map(|c| c.id));
                return Ok(());
            }
            (ActionKind::ClusterCheck, n) => {
                let status = if n > 8 {
                    ActionStatus::Failed
                } else {
                    ActionStatus::Succeeded
                };
                fence::finish_cluster(conn, fence, &end(status), action.target.into(), "CLUSTER_CHECK", &[]).await?
            }
            (ActionKind::NodeDelete, _) => {
                let cluster = action.cluster_id;
                members::delete(
                    conn,
                    fence,
                    action.target.into(),
                    false,
                    cluster,
                    &end(ActionStatus::Succeeded),
                )
                .await?
            }
            (ActionKind::ClusterDelete, _) => {
                // Its members go on without it.
                for node in &herd.nodes {
                    let free = format!(
                        "UPDATE nodes SET cluster_id = NULL WHERE id = '{node}' AND cluster_id = '{}'",
                        action.target
                    );
                    self.yard.db.execute(&free).await.unwrap();
                }
                let gone = end(ActionStatus::Succeeded);
                match members::delete_cluster(conn, fence, action.target.into(), &gone).await? {
                    members::Deletion::Done(parents) => parents,
                    _ => fence::finish(conn, fence, &end(ActionStatus::Failed), None).await?,
                }
            }
            (_, _) if action.parent_id.is_none() && action.cluster_id.is_some() => {
                let cluster = action.cluster_id.unwrap();
                let end = end(ActionStatus::Succeeded);
                members::finish_member(conn, fence, &end, None, cluster, "NODE_CHECK").await?
            }
            (_, _) => self.end_together(conn, action).await?,
        };
        self.ended.fetch_add(1, Ordering::Relaxed);
        queue::promote(conn, &parents).await?;
        Ok(())
    }

    /// Ends it with others that are held and need only their node, some of
    /// them claimed by other engines.
    async fn end_together(&self, conn: &mut senlin_db::Conn, action: Action) -> Result<Vec<ActionId>> {
        let mut ending = vec![action];
        {
            let mut held = self.held.lock().unwrap();
            let joins =
                |a: &Action| a.kind == ActionKind::NodeCheck && (a.parent_id.is_some() || a.cluster_id.is_none());
            ending.extend(held.extract_if(.., |a| joins(a)).take(8));
        }
        let change = NodeChange {
            status: Some(NodeStatus::Active),
            reason: "Ended with others.".to_owned(),
            ..NodeChange::default()
        };
        let ends: Vec<NodeEnd> = ending
            .iter()
            .map(|action| NodeEnd {
                fence: Fence::of(action).unwrap(),
                end: end(ActionStatus::Succeeded),
                change: change.clone(),
            })
            .collect();
        let mut parents = Vec::new();
        for (one, answer) in ends.iter().zip(fence::finish_nodes(conn, &ends).await?) {
            match answer {
                Some(woken) => {
                    self.together.fetch_add(1, Ordering::Relaxed);
                    parents.extend(woken);
                }
                None => match fence::finish(conn, one.fence, &one.end, Some(&one.change)).await {
                    Ok(woken) => parents.extend(woken),
                    Err(DbError::LeaseLost) => {}
                    Err(other) => return Err(other),
                },
            }
        }
        Ok(parents)
    }

    /// What must hold at every moment.
    async fn watch(&self) -> Result<usize, String> {
        let mut looks = 0;
        while !self.over.load(Ordering::Relaxed) {
            for (what, query) in [
                (
                    "not alone",
                    "SELECT count(*) FROM cluster_locks a JOIN cluster_locks b USING (cluster_id)
                        WHERE a.action_id <> b.action_id AND (a.exclusive OR b.exclusive)",
                ),
                (
                    "locks of the dead",
                    "SELECT count(*) FROM (SELECT action_id FROM cluster_locks UNION ALL SELECT action_id FROM node_locks) l
                        JOIN actions a ON a.id = l.action_id WHERE a.status IN ('SUCCEEDED', 'FAILED', 'CANCELLED')",
                ),
                (
                    "running without its lock",
                    "SELECT count(*) FROM actions a WHERE status = 'RUNNING' AND ((lock_scope <> 'NODE' AND NOT EXISTS
                        (SELECT 1 FROM cluster_locks l WHERE l.action_id = a.id)) OR (lock_scope <> 'CLUSTER'
                        AND NOT EXISTS (SELECT 1 FROM node_locks l WHERE l.action_id = a.id)))",
                ),
            ] {
                let found = self.yard.db.count(query).await.unwrap();
                if found > 0 {
                    return Err(format!("{what}: {found}"));
                }
            }
            looks += 1;
        }
        Ok(looks)
    }

    /// Everything is claimed and ended until nothing is left open.
    async fn quiet(&self) {
        let mut conn = self.yard.db.db.session();
        let open = "SELECT count(*) FROM actions WHERE status NOT IN ('SUCCEEDED', 'FAILED', 'CANCELLED')";
        for _ in 0..500 {
            self.yard
                .db
                .execute(
                    "UPDATE actions SET lease_expires_at = now() - interval '1 second' WHERE status = 'RUNNING';
                    UPDATE actions SET run_after = now() WHERE status = 'READY'",
                )
                .await
                .unwrap();
            queue::sweep(&mut conn).await.unwrap();
            self.yard
                .db
                .execute("UPDATE actions SET run_after = now() WHERE status = 'READY'")
                .await
                .unwrap();
            let mut claimed = queue::claim_nodes(&mut conn, ServiceId::random(), 64, LIMITS)
                .await
                .unwrap();
            while let Some(one) = queue::claim_cluster(&mut conn, ServiceId::random(), 64, LIMITS)
                .await
                .unwrap()
            {
                claimed.push(one);
            }
            for one in claimed {
                let fence = Fence::of(&one.action).unwrap();
                let parents = fence::finish(&mut conn, fence, &end(ActionStatus::Succeeded), None)
                    .await
                    .unwrap();
                queue::promote(&mut conn, &parents).await.unwrap();
            }
            if self.yard.db.count(open).await.unwrap() == 0 {
                return;
            }
        }
        let left = "SELECT action || ' ' || lock_scope || ' ' || status || ' ' || attempt || ' ' || status_reason
            FROM actions WHERE status NOT IN ('SUCCEEDED', 'FAILED', 'CANCELLED')";
        panic!("still open: {:?}", self.yard.db.column(left).await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a0_locks_hold_whatever_happens_at_once() {
    let seed = std::env::var("SENLIN_SEED")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or_else(|| ActionId::random().0.as_u64_pair().0 | 1);
    println!("SENLIN_SEED={seed}");
    let yard = Yard::new().await;
    let mut herds = Vec::new();
    for _ in 0..5 {
        herds.push(yard.cluster("p1", 4).await);
    }
    let mut orphans = Vec::new();
    for _ in 0..3 {
        orphans.push(yard.node("p3", None, -1).await);
    }
    let field = Arc::new(Field {
        yard,
        herds,
        orphans,
        recorded: Mutex::new(vec![ActionId::random()]),
        held: Mutex::default(),
        ended: AtomicUsize::new(0),
        together: AtomicUsize::new(0),
        over: AtomicBool::new(false),
    });
    let watcher = {
        let field = field.clone();
        tokio::spawn(async move { field.watch().await })
    };
    let mut hands = tokio::task::JoinSet::new();
    for hand in 0..12_u64 {
        let field = field.clone();
        hands.spawn(async move {
            let mut dice = Dice(seed ^ hand.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
            let mut lost = 0;
            for _ in 0..150 {
                let mut conn = field.yard.db.db.session();
                match field.step(&mut conn, &mut dice).await {
                    Ok(()) => {}
                    Err(DbError::LeaseLost) => lost += 1,
                    Err(error) => panic!("{error:?}"),
                }
            }
            lost
        });
    }
    let lost: usize = hands.join_all().await.into_iter().sum();
    field.over.store(true, Ordering::Relaxed);
    let looks = watcher.await.unwrap().unwrap();
    field.quiet().await;
    let recorded = field.yard.db.count("SELECT count(*) FROM actions").await.unwrap();
    let ended = field.ended.load(Ordering::Relaxed);
    let together = field.together.load(Ordering::Relaxed);
    println!(
        "{recorded} actions, {ended} times ended by hand, {together} ended together, {lost} leases lost, {looks} looks"
    );
    assert!(ended > 50 && together > 0 && looks > 0, "it was about something");
    for table in ["cluster_locks", "node_locks", "action_dependencies"] {
        let left = field
            .yard
            .db
            .count(&format!("SELECT count(*) FROM {table}"))
            .await
            .unwrap();
        assert_eq!(left, 0, "{table}");
    }
    Arc::into_inner(field).unwrap().yard.db.close().await.unwrap();
}

/// The database itself refuses what no statement of ours would write.
#[tokio::test(flavor = "multi_thread")]
async fn a0_the_schema_knows_alone_from_shared() {
    let yard = Yard::new().await;
    let cluster = yard.cluster("p1", 2).await;
    let alone = yard.check_cluster("p1", cluster.id).await;
    let mut shared = Vec::new();
    for node in &cluster.nodes {
        shared.push(yard.check_member("p1", cluster.id, *node).await);
    }
    let hold = async |action: ActionId, exclusive: bool| {
        let insert = format!(
            "INSERT INTO cluster_locks VALUES ('{}', '{action}', {exclusive})",
            cluster.id
        );
        yard.db.execute(&insert).await.is_ok()
    };
    assert!(hold(shared[0], false).await && hold(shared[1], false).await);
    assert!(!hold(alone, true).await, "beside shared ones");
    yard.db.execute("DELETE FROM cluster_locks").await.unwrap();
    assert!(hold(alone, true).await);
    assert!(!hold(shared[0], false).await, "beside one that is alone");
    assert!(!hold(shared[0], true).await, "beside another");
    yard.db.close().await.unwrap();
}

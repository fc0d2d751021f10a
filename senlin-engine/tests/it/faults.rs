//! The fault harness: for every action kind and every step in it, an error, a
//! crash before the effect, and a crash after it. Afterwards nothing is left.

use std::{collections::BTreeSet, sync::Arc};

use senlin_core::{action::ActionKind, ids::*};
use senlin_engine::actions::faults::{Fault, NoFaults};
use serde_json::json;

use crate::{
    by_hand::ByHand,
    world::{Once, World},
};

/// A story: what is there before, and the action that is put to the test.
#[derive(Clone, Copy, Debug)]
enum Story {
    CreateHosts,
    Create,
    Delete,
    ScaleOut,
    ScaleIn,
    Resize,
    Check,
    Restart,
    Recreate,
    UpdateInPlace,
    UpdateByReplacement,
    AddNodes,
    DelNodes,
    ReplaceNodes,
    Operation,
    MemberCreate,
    MemberDelete,
    AttachPolicy,
    DetachPolicy,
    UpdatePolicy,
    ScaleInWithGrace,
    ScaleInWithHook,
    MemberDeleteWithHook,
    RollingUpdate,
    Rebalance,
}

const STORIES: [Story; 25] = [
    Story::CreateHosts,
    Story::Create,
    Story::Delete,
    Story::ScaleOut,
    Story::ScaleIn,
    Story::Resize,
    Story::Check,
    Story::Restart,
    Story::Recreate,
    Story::UpdateInPlace,
    Story::UpdateByReplacement,
    Story::AddNodes,
    Story::DelNodes,
    Story::ReplaceNodes,
    Story::Operation,
    Story::MemberCreate,
    Story::MemberDelete,
    Story::AttachPolicy,
    Story::DetachPolicy,
    Story::UpdatePolicy,
    Story::ScaleInWithGrace,
    Story::ScaleInWithHook,
    Story::MemberDeleteWithHook,
    Story::RollingUpdate,
    Story::Rebalance,
];

async fn members(world: &World, cluster: ClusterId) -> Vec<NodeId> {
    let query = format!("SELECT id FROM nodes WHERE cluster_id = '{cluster}' ORDER BY index");
    world
        .db
        .column(&query)
        .await
        .unwrap()
        .iter()
        .map(|id| id.parse().unwrap())
        .collect()
}

/// Sets the scene and records the action.
async fn begin(world: &World, story: Story) -> (ClusterId, ActionId) {
    let profile = world.containers(json!({"command": ["sleep", "1"]})).await;
    if matches!(story, Story::CreateHosts) {
        let name = format!("sim://{}-extra", uuid::Uuid::new_v4().simple());
        let properties = json!({"endpoints": [{"url": name}]});
        let hosts = world
            .profile("more", "host.dockerinc.engine", "1.0", properties, None)
            .await;
        return world.cluster("more", hosts, 1).await;
    }
    if matches!(story, Story::Create) {
        return world.cluster("web", profile, 2).await;
    }
    if matches!(story, Story::Rebalance) {
        return unbalanced(world, profile).await;
    }
    let (cluster, _) = world.cluster("web", profile, 2).await;
    let (one, _) = world.node("one", profile, None).await;
    world.settle().await;
    let nodes = members(world, cluster).await;
    let action = match story {
        Story::CreateHosts | Story::Create | Story::Rebalance => unreachable!(),
        Story::ScaleInWithHook | Story::MemberDeleteWithHook => {
            let hooks = json!({"params": {"queue": "drains"}});
            let properties = json!({"hooks": hooks});
            let policy = world.policy("d", "senlin.policy.deletion", "1.1", properties).await;
            world.attach(cluster, policy).await;
            if matches!(story, Story::ScaleInWithHook) {
                world
                    .act(ActionKind::ClusterScaleIn, cluster, json!({"count": 1}))
                    .await
            } else {
                world.act_on_node(ActionKind::NodeDelete, nodes[0], json!({})).await
            }
        }
        Story::RollingUpdate => {
            let properties = json!({"max_batch_size": 1, "pause_time": 0, "on_failure": "ROLLBACK"});
            let policy = world.policy("b", "senlin.policy.batch", "1.0", properties).await;
            world.attach(cluster, policy).await;
            let new = world.containers(json!({"command": ["sleep", "2"]})).await;
            world
                .act(ActionKind::ClusterUpdate, cluster, json!({"new_profile_id": new}))
                .await
        }
        Story::Delete => world.act(ActionKind::ClusterDelete, cluster, json!({})).await,
        Story::ScaleOut => {
            world
                .act(ActionKind::ClusterScaleOut, cluster, json!({"count": 1}))
                .await
        }
        Story::ScaleIn => {
            world
                .act(ActionKind::ClusterScaleIn, cluster, json!({"count": 1}))
                .await
        }
        Story::Resize => {
            let inputs = json!({"adjustment_type": "EXACT_CAPACITY", "number": 3, "strict": true});
            world.act(ActionKind::ClusterResize, cluster, inputs).await
        }
        Story::Check => world.act(ActionKind::ClusterCheck, cluster, json!({})).await,
        Story::Restart => {
            world
                .act_on_node(ActionKind::NodeRecover, nodes[0], json!({"operation": "RESTART"}))
                .await
        }
        Story::Recreate => {
            world
                .db
                .execute(&format!("UPDATE nodes SET status = 'ERROR' WHERE id = '{}'", nodes[0]))
                .await
                .unwrap();
            let inputs = json!({"operation": "RECREATE", "check": false, "check_capacity": true});
            world.act(ActionKind::ClusterRecover, cluster, inputs).await
        }
        Story::UpdateInPlace | Story::UpdateByReplacement => {
            let extra = match story {
                Story::UpdateInPlace => json!({"command": ["sleep", "1"], "memory": "128m", "name": "renamed"}),
                _ => json!({"command": ["sleep", "2"]}),
            };
            let new = world.containers(extra).await;
            world
                .act(
                    ActionKind::ClusterUpdate,
                    cluster,
                    json!({"new_profile_id": new, "name": "newname"}),
                )
                .await
        }
        Story::AddNodes => {
            world
                .act(ActionKind::ClusterAddNodes, cluster, json!({"nodes": [one]}))
                .await
        }
        Story::DelNodes => {
            let inputs = json!({"candidates": [nodes[0]], "destroy_after_deletion": true});
            world.act(ActionKind::ClusterDelNodes, cluster, inputs).await
        }
        Story::ReplaceNodes => {
            let pair = json!({"candidates": {nodes[0].to_string(): one}});
            world.act(ActionKind::ClusterReplaceNodes, cluster, pair).await
        }
        Story::Operation => {
            world
                .act(
                    ActionKind::ClusterOperation,
                    cluster,
                    json!({"operation": "restart", "params": {}}),
                )
                .await
        }
        Story::MemberCreate => world.node("member", profile, Some(cluster)).await.1,
        Story::MemberDelete => world.act_on_node(ActionKind::NodeDelete, nodes[0], json!({})).await,
        Story::AttachPolicy | Story::DetachPolicy | Story::UpdatePolicy | Story::ScaleInWithGrace => {
            let properties = json!({"criteria": "OLDEST_FIRST", "grace_period": 1});
            let policy = world.policy("d", "senlin.policy.deletion", "1.1", properties).await;
            let inputs = json!({"policy_id": policy, "enabled": false});
            if matches!(story, Story::AttachPolicy) {
                return (
                    cluster,
                    world.act(ActionKind::ClusterAttachPolicy, cluster, inputs).await,
                );
            }
            world.attach(cluster, policy).await;
            match story {
                Story::DetachPolicy => world.act(ActionKind::ClusterDetachPolicy, cluster, inputs).await,
                Story::UpdatePolicy => world.act(ActionKind::ClusterUpdatePolicy, cluster, inputs).await,
                _ => {
                    world
                        .act(ActionKind::ClusterScaleIn, cluster, json!({"count": 1}))
                        .await
                }
            }
        }
    };
    (cluster, action)
}

/// Two members on one of two hosts.
async fn unbalanced(world: &World, profile: ProfileId) -> (ClusterId, ActionId) {
    let (cluster, _) = world.cluster("web", profile, 0).await;
    let together = json!({"servergroup": {"policies": "affinity"}});
    let policy = world.policy("a", "senlin.policy.affinity", "1.0", together).await;
    world.settle().await;
    world.attach(cluster, policy).await;
    world
        .act(ActionKind::ClusterScaleOut, cluster, json!({"count": 2}))
        .await;
    world.settle().await;
    let detach = json!({"policy_id": policy});
    world.act(ActionKind::ClusterDetachPolicy, cluster, detach).await;
    world.settle().await;
    (
        cluster,
        world.act(ActionKind::ClusterRebalance, cluster, json!({})).await,
    )
}

/// What must be true in the end when nothing failed but an engine.
async fn assert_done(world: &World, story: Story, cluster: ClusterId, action: ActionId, context: &str) {
    let (status, reason) = world.outcome(action).await;
    assert_eq!(status, "SUCCEEDED", "{reason}: {context}");
    let expected = match story {
        Story::CreateHosts => return,
        Story::Delete => 0,
        Story::ScaleOut | Story::Resize | Story::AddNodes | Story::MemberCreate => 3,
        Story::ScaleIn | Story::ScaleInWithGrace | Story::ScaleInWithHook => 1,
        Story::DelNodes | Story::MemberDelete | Story::MemberDeleteWithHook => 1,
        _ => 2,
    };
    let bindings: Vec<String> = world
        .db
        .column("SELECT enabled::text FROM cluster_policies")
        .await
        .unwrap();
    match story {
        Story::AttachPolicy | Story::UpdatePolicy => assert_eq!(bindings, ["false"], "{context}"),
        Story::ScaleInWithGrace | Story::ScaleInWithHook | Story::MemberDeleteWithHook | Story::RollingUpdate => {
            assert_eq!(bindings, ["true"], "{context}");
        }
        _ => assert!(bindings.is_empty(), "{context}"),
    }
    let active = format!("SELECT count(*) FROM nodes WHERE cluster_id = '{cluster}' AND status = 'ACTIVE'");
    assert_eq!(world.db.count(&active).await.unwrap(), expected, "members: {context}");
    let containers: usize = world.containers_by_host().iter().sum();
    let nodes = "SELECT count(*) FROM nodes WHERE host_id IS NOT NULL";
    assert_eq!(
        world.db.count(nodes).await.unwrap(),
        i64::try_from(containers).unwrap(),
        "one each: {context}"
    );
}

/// Puts one story to the test at every step; returns the steps it struck.
async fn harness(story: Story) -> (usize, BTreeSet<(String, &'static str)>) {
    let (mut cases, mut steps) = (0, BTreeSet::new());
    for at in 1.. {
        let mut reached = false;
        for fault in [Fault::Crash, Fault::Error] {
            let hosts = if matches!(story, Story::Rebalance) { 2 } else { 1 };
            let world = World::new(hosts).await;
            let (cluster, action) = begin(&world, story).await;
            let once = Once::new(at, fault);
            let engine = world.engine(once.clone()).await;
            engine.drain().await.unwrap();
            // What waits for a time to pass goes on at once.
            for _ in 0..4 {
                world.skip_waits().await;
                engine.drain().await.unwrap();
            }
            let Some((kind, step, when)) = once.seen().1 else {
                // Past the last step: the story ran through unharmed.
                world.settle().await;
                assert_done(&world, story, cluster, action, &format!("{story:?} unharmed")).await;
                world.db.close().await.unwrap();
                continue;
            };
            reached = true;
            cases += 1;
            steps.insert((kind.as_str().to_owned(), step));
            let context = format!("{story:?}: {fault:?} {when:?} step '{step}' of {}", kind.as_str());
            world.settle().await;
            world.assert_clean(&context).await;
            if fault == Fault::Crash {
                assert_done(&world, story, cluster, action, &context).await;
            }
            // Whatever became of it, it can all be taken away.
            take_away(&world, &context).await;
            world.db.close().await.unwrap();
        }
        if !reached {
            break;
        }
    }
    (cases, steps)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_of_every_action_fails_and_crashes() {
    let mut running = tokio::task::JoinSet::new();
    let slots = Arc::new(tokio::sync::Semaphore::new(6));
    for story in STORIES {
        let slots = slots.clone();
        running.spawn(async move {
            let _slot = slots.acquire().await.unwrap();
            harness(story).await
        });
    }
    let mut cases = 0;
    let mut steps: BTreeSet<(String, &'static str)> = BTreeSet::new();
    let mut failed = Vec::new();
    while let Some(done) = running.join_next().await {
        match done {
            Ok((n, struck)) => {
                cases += n;
                steps.extend(struck);
            }
            Err(error) => failed.push(error.to_string()),
        }
    }
    assert!(failed.is_empty(), "{} stories failed; see above", failed.len());
    println!(
        "fault harness: {cases} cases over {} steps of {} stories",
        steps.len(),
        STORIES.len()
    );
    assert!(cases > 300, "the harness reached only {cases} cases");
    let kinds: BTreeSet<&str> = steps.iter().map(|(kind, _)| kind.as_str()).collect();
    for kind in ActionKind::ALL {
        assert!(
            kinds.contains(kind.as_str()),
            "no step of {} was put to the test",
            kind.as_str()
        );
    }
}

async fn take_away(world: &World, context: &str) {
    let clusters = world
        .db
        .column("SELECT id FROM clusters WHERE name <> 'hosts'")
        .await
        .unwrap();
    for id in clusters {
        world
            .act(ActionKind::ClusterDelete, id.parse().unwrap(), json!({}))
            .await;
    }
    world.settle().await;
    let orphans = "SELECT n.id FROM nodes n WHERE cluster_id IS NULL";
    for id in world.db.column(orphans).await.unwrap() {
        world
            .act_on_node(ActionKind::NodeDelete, id.parse().unwrap(), json!({}))
            .await;
    }
    world.settle().await;
    world.engine(Arc::new(NoFaults)).await.beat_all().await.unwrap();
    assert_eq!(
        world.containers_by_host().iter().sum::<usize>(),
        0,
        "containers are left: {context}"
    );
    let nodes = format!(
        "SELECT count(*) FROM nodes WHERE cluster_id IS DISTINCT FROM '{}'",
        world.hosts
    );
    assert_eq!(world.db.count(&nodes).await.unwrap(), 0, "nodes are left: {context}");
    world.assert_clean(context).await;
}

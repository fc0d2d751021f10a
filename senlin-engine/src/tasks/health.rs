//! The health manager: members are looked at, their status follows what is
//! true, and what is lost is recovered, within bounds.
//!
//! Every engine takes its share: a cluster that is due is swept by whoever
//! takes it on, a host is listened to by whoever holds its lease ([`watch`]).
//! An engine that dies leaves nothing behind that has to be handed over.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use senlin_core::{
    Map,
    action::inputs::{self, Recover},
    driver::{ContainerSummary, LABEL_OWNER},
    ids::*,
    node::NodeStatus,
    profile_type::{Health, ProfileError},
};
use senlin_db::{
    Conn, bindings, clusters,
    health::{self as db, Begun, Member, RecoveryRequest},
    settling,
};
use senlin_policies::types::health::{Health as Policy, ModeKind};
use tokio::task::JoinSet;

use crate::{
    Engine,
    actions::node::{UNKNOWN, status_of},
    failure::Failure,
};

pub(crate) mod memory;
pub mod sweep;
pub mod watch;

mod probe;

use memory::{Containers, Listing};

/// The policy type.
pub(crate) const TYPE: &str = "senlin.policy.health";
/// Seconds of silence after which a host is unknown.
const SILENT: f64 = 30.0;
/// Lists kept.
const KEPT: usize = 4096;
/// A list of a host's containers serves clusters whose members were read at
/// most so long after the host was asked.
const LISTED: Duration = Duration::from_secs(2);

/// Whether a list may be older than what was last done to the member.
fn is_listed_before(member: &Member) -> bool {
    member.age <= LISTED.as_secs_f64()
}

/// The policy with the defaults of its type filled in.
pub(crate) fn read(engine: &Engine, type_name: &str, properties: &Map) -> Result<Policy, Failure> {
    let kind = engine
        .policies
        .find(type_name)
        .ok_or_else(|| Failure::Refused(format!("This engine does not know {type_name}.")))?;
    let checked = kind.schema().check(properties).map_err(|e| Failure::Refused(e.0))?;
    Policy::read(&checked).map_err(|e| Failure::Refused(e.0))
}

/// Statuses of a member that is not on its way to another.
fn looks(status: NodeStatus) -> bool {
    matches!(status, NodeStatus::Active | NodeStatus::Warning | NodeStatus::Error)
}

/// What each host of the members has, who were read at `read`. A host that is silent already is not
/// asked: it would only be waited for.
async fn lists(engine: &Arc<Engine>, members: &[Member], read: Instant) -> BTreeMap<NodeId, Option<Containers>> {
    let hosts: BTreeMap<NodeId, bool> = members
        .iter()
        .filter_map(|m| Some((m.host_id?, m.silence.is_some_and(|s| s < SILENT))))
        .collect();
    let mut asked = JoinSet::new();
    let mut lists = BTreeMap::new();
    for (host, answers) in hosts {
        lists.insert(host, None);
        if answers {
            let engine = engine.clone();
            asked.spawn(async move { (host, list(&engine, host, read).await) });
        }
    }
    while let Some(done) = asked.join_next().await {
        lists.extend(done.ok());
    }
    lists
}

/// A host's containers of ours; none when it does not answer. Clusters that
/// are swept at the same time share one list.
async fn list(engine: &Arc<Engine>, host: NodeId, read: Instant) -> Option<Containers> {
    let slot = {
        let mut lists = engine.health.lists.lock().await;
        if lists.len() >= KEPT {
            // What nobody uses any more is stale anyway.
            lists.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        lists.entry(host).or_default().clone()
    };
    let mut slot = slot.lock().await;
    if let Some(listing) = slot.as_ref().filter(|l| l.asked + LISTED >= read) {
        return listing.containers.clone();
    }
    let asked = Instant::now();
    let containers = ask(engine, host).await.ok().map(Arc::new);
    *slot = Some(Listing {
        asked,
        containers: containers.clone(),
    });
    containers
}

async fn ask(engine: &Engine, host: NodeId) -> Result<HashMap<String, ContainerSummary>, Failure> {
    let mut conn = engine.db.session();
    let driver = engine
        .connections
        .driver(&mut conn, &engine.profile_cache, host)
        .await?;
    let list = driver
        .find(&[(LABEL_OWNER, engine.installation.as_str())])
        .await
        .map_err(ProfileError::from)?;
    Ok(list.into_iter().map(|c| (c.id.clone(), c)).collect())
}

/// What is true of a member as far as its host's list tells; none when the
/// container itself must be asked.
fn glance(member: &Member, list: Option<&Containers>) -> Option<Health> {
    if member.is_host {
        return Some(match member.silence {
            Some(silence) if silence < SILENT => Health::Healthy,
            _ => Health::Unknown("it does not answer.".to_owned()),
        });
    }
    let Some(list) = list else {
        return Some(match member.host_id {
            Some(_) => Health::Unknown("its host does not answer.".to_owned()),
            None => Health::Gone("It has no container.".to_owned()),
        });
    };
    match member.physical_id.as_ref().and_then(|id| list.get(id)) {
        Some(c) if c.state == "running" && !is_listed_before(member) => {
            Some(Health::of(&c.state, c.health.as_deref(), None, None))
        }
        // Ended, gone, or adopted without our labels.
        _ => None,
    }
}

/// What is true of a member that is asked itself, after what its host's list told.
async fn look(engine: &Engine, policy: &Policy, member: &Member, told: Option<Health>) -> Health {
    let own = match told {
        Some(health) => health,
        None => inspect(engine, member).await.0,
    };
    // What does not run cannot answer either.
    if own != Health::Healthy || member.is_host {
        return own;
    }
    probe::all(engine, policy, member).await
}

/// What the member's host says of its container, and whether the host's engine
/// is about to start it again by itself.
async fn inspect(engine: &Engine, member: &Member) -> (Health, bool) {
    let gone = || Health::Gone("The container is gone from its host.".to_owned());
    let (Some(host), Some(id)) = (member.host_id, member.physical_id.as_deref()) else {
        return (gone(), false);
    };
    let asked = async {
        let mut conn = engine.db.session();
        let driver = engine
            .connections
            .driver(&mut conn, &engine.profile_cache, host)
            .await?;
        Ok::<_, Failure>(driver.inspect(id).await.map_err(ProfileError::from)?)
    };
    match asked.await {
        Ok(state) => {
            let health = state.health.as_deref();
            let seen = Health::of(&state.status, health, state.exit_code, state.error.as_deref());
            (seen, state.status == "restarting")
        }
        Err(Failure::Profile(ProfileError::Driver(error))) if error.is_not_found() => (gone(), false),
        Err(failure) => (Health::Unknown(failure.to_string()), false),
    }
}

/// What was seen becomes the member's status.
async fn record(engine: &Engine, member: &Member, seen: &Health) -> Result<bool, Failure> {
    // A container that somebody stopped or paused stays as they left it.
    if member.at_rest && !matches!(seen, Health::Healthy | Health::Gone(_) | Health::Unknown(_)) {
        return Ok(false);
    }
    let (status, reason) = status_of(seen);
    if status == member.status {
        // No news: nothing is written.
        return Ok(false);
    }
    let mut conn = engine.db.session();
    Ok(db::observe(&mut conn, member, status, seen.condition(), &reason).await?)
}

/// What is to be recovered from.
struct Loss {
    reason: String,
    /// The container runs, but does not answer.
    mute: bool,
    host_lost: bool,
}

/// Whether what was seen is a loss that the policy recovers from.
fn judge(policy: &Policy, member: &Member, seen: &Health) -> Option<Loss> {
    // A host cannot be mended from here.
    if member.is_host || member.at_rest {
        return None;
    }
    let loss = |reason: &str| {
        Some(Loss {
            reason: reason.to_owned(),
            mute: matches!(seen, Health::Unresponsive(_)),
            host_lost: false,
        })
    };
    #[expect(clippy::cast_precision_loss, reason = "seconds of a grace fit a double")]
    let (startup, host_grace) = (
        policy.detection.node_update_timeout as f64,
        policy.recovery.host_grace as f64,
    );
    match seen {
        Health::Healthy | Health::Suspended(_) => None,
        Health::Gone(reason) | Health::Exited(reason) => loss(reason),
        // What runs and does not answer yet may only have been started.
        Health::Unhealthy(reason) | Health::Unresponsive(reason) => loss(reason).filter(|_| member.age > startup),
        Health::Unknown(_) => {
            let silent = member.silence.filter(|s| *s > host_grace)?;
            (!member.pinned).then(|| Loss {
                reason: format!("Its host has been silent for {silent:.0} s."),
                mute: false,
                host_lost: true,
            })
        }
    }
}

/// Begins a recovery, or says why not.
async fn begin(engine: &Engine, policy: &Policy, desired: i32, member: &Member, loss: &Loss) -> Result<(), Failure> {
    let Some(cluster) = member.cluster_id else {
        return Ok(());
    };
    let operations = if loss.host_lost {
        vec!["RECREATE"]
    } else {
        policy.operations()
    };
    let asked = Recover {
        operations: operations.into_iter().map(str::to_owned).collect(),
        check: Some(!loss.mute),
        host_lost: Some(loss.host_lost),
        ..Recover::default()
    };
    let request = RecoveryRequest {
        node: member.id,
        cluster,
        physical_id: member.physical_id.clone(),
        reason: loss.reason.clone(),
        inputs: inputs::with_reason(inputs::write(&asked), loss.reason.clone()),
        budget: policy.budget(desired),
        window: policy.recovery.budget_window,
    };
    let mut conn = engine.db.session();
    let (outcome, held) = match db::recover(&mut conn, &request).await? {
        Begun::Yes(action) => {
            tracing::info!(node = %member.id, %action, reason = loss.reason, "a lost member is recovered");
            engine.work.notify_one();
            engine.bus.wake(&[action], "");
            ("begun", None)
        }
        Begun::Busy => ("busy", None),
        Begun::BackOff(_) => (
            "backed off",
            Some(
                "It was recovered several times in a short while: the next recovery waits longer each time.".to_owned(),
            ),
        ),
        Begun::Spent => (
            "spent",
            Some(format!(
                "No recovery: the cluster has had {} within {} s, which is its budget.",
                request.budget, request.window
            )),
        ),
    };
    engine.metrics.recovery(outcome);
    if let Some(why) = held {
        let unknown = if loss.host_lost { UNKNOWN } else { "" };
        let text = format!("{unknown}{} {why}", loss.reason);
        db::hold_back(&mut conn, member.id, &text, loss.host_lost).await?;
    }
    Ok(())
}

/// Something happened to a node's container: looks at that one, at once, with
/// or without a health policy. `only_look`: what is found is recorded, not
/// acted on.
pub async fn examine(engine: &Arc<Engine>, node: NodeId, only_look: bool) -> Result<(), Failure> {
    let mut conn = engine.db.session();
    let Some(member) = db::node(&mut conn, node).await? else {
        return Ok(());
    };
    if member.busy || !looks(member.status) {
        return Ok(());
    }
    let policy = listening(engine, &mut conn, &member).await?;
    let (seen, starts_again) = inspect(engine, &member).await;
    // The next sweep or list looks again.
    let not_yet = matches!(seen, Health::Unknown(_)) || (starts_again && policy.is_none());
    if not_yet {
        return Ok(());
    }
    record(engine, &member, &seen).await?;
    let Some(policy) = policy.filter(|_| !only_look) else {
        return Ok(());
    };
    let Some(loss) = judge(&policy, &member, &seen) else {
        return Ok(());
    };
    let mut conn = engine.db.session();
    let desired = match member.cluster_id {
        Some(cluster) => clusters::get(&mut conn, cluster).await?,
        None => None,
    };
    let desired = desired.map_or(0, |c| c.desired_capacity);
    begin(engine, &policy, desired, &member, &loss).await
}

/// The health policy of a member's cluster, if it listens to what happens to
/// containers; one that does not recovers what its own sweeps find.
async fn listening(engine: &Engine, conn: &mut Conn, member: &Member) -> Result<Option<Policy>, Failure> {
    let Some(cluster) = member.cluster_id else {
        return Ok(None);
    };
    let Some(active) = bindings::of_type(conn, cluster, TYPE).await? else {
        return Ok(None);
    };
    let policy = read(engine, &active.binding.policy_type, &active.properties)?;
    Ok(Some(policy).filter(|p| p.has(ModeKind::LifecycleEvents)))
}

/// Something happened to the container of a node that is given its time to
/// run: its action looks now.
pub(crate) async fn hurry(engine: &Engine, node: NodeId) -> Result<(), Failure> {
    if settling::look_now(&mut engine.db.session(), node).await? {
        engine.work.notify_one();
    }
    Ok(())
}

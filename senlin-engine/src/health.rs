//! The health manager: members are looked at, their status follows what is
//! true, and what is lost is recovered, within bounds.
//!
//! Every engine takes its share: a cluster that is due is swept by whoever
//! takes it on, a host is listened to by whoever holds its lease ([`watch`]).
//! An engine that dies leaves nothing behind that has to be handed over.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use moka::{future, sync};
use senlin_core::{
    Map,
    driver::{ContainerSummary, LABEL_OWNER},
    ids::*,
    node::NodeStatus,
    profile_type::{Health, ProfileError},
};
use senlin_db::{
    bindings::{self, Due},
    clusters,
    health::{self as db, Begun, Member, Wish},
};
use senlin_policies::health::{Conditional, Health as Policy, ModeKind};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{Engine, actions::node::status_of, context::Failure, worker};

pub mod watch;

mod probe;

/// The policy type.
pub(crate) const TYPE: &str = "senlin.policy.health";
/// Seconds after which another engine takes on a sweep that was begun.
const HOLD: f64 = 25.0;
/// Clusters that one engine sweeps at once.
const AT_ONCE: i64 = 16;
/// Seconds of silence after which a host is unknown.
const SILENT: f64 = 30.0;
/// For so long a list of a host's containers serves several clusters.
const LISTED: Duration = Duration::from_secs(2);

/// What the health manager keeps in memory: nothing that may not be lost.
pub(crate) struct Memory {
    /// Bindings that this engine has swept before: the first sweep only looks.
    looked: sync::Cache<BindingId, ()>,
    /// By host; none: it did not answer.
    lists: future::Cache<NodeId, Option<Containers>>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            looked: sync::Cache::new(100_000),
            lists: future::Cache::builder()
                .max_capacity(10_000)
                .time_to_live(LISTED)
                .build(),
        }
    }
}

/// A host's containers of ours, by id.
type Containers = Arc<HashMap<String, ContainerSummary>>;

pub(crate) async fn run(engine: Arc<Engine>, shutdown: CancellationToken) {
    let mut timer = tokio::time::interval(Duration::from_secs_f64(engine.settings.watch));
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = timer.tick() => {}
        }
        let due = async { bindings::due(&mut *engine.db.get().await?, TYPE, HOLD, AT_ONCE).await };
        match due.await {
            Ok(due) => {
                for one in due {
                    engine.tasks.spawn(sweep(engine.clone(), one));
                }
            }
            Err(error) => {
                tracing::warn!(error = %worker::chain(&error), "no health sweep: the database did not answer")
            }
        }
    }
}

/// One look at every member of a cluster.
pub(crate) async fn sweep(engine: Arc<Engine>, due: Due) {
    if let Err(failure) = try_sweep(&engine, &due).await {
        tracing::warn!(cluster = %due.cluster_id, error = %worker::chain(&failure), "a health sweep failed");
    }
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

async fn try_sweep(engine: &Arc<Engine>, due: &Due) -> Result<(), Failure> {
    let policy = read(engine, &due.policy_type, &due.properties)?;
    let mut conn = engine.db.get().await?;
    let members = db::members(&mut conn, due.cluster_id).await?;
    let Some(cluster) = clusters::get(&mut conn, due.cluster_id).await? else {
        return Ok(());
    };
    drop(conn);
    let first = !engine.health.looked.contains_key(&due.id);
    engine.health.looked.insert(due.id, ());
    let lists = lists(engine, &members).await;
    let mut news = false;
    let mut lost = Vec::new();
    for member in members.iter().filter(|m| !m.busy && looks(m.status)) {
        let seen = look(
            engine,
            &policy,
            member,
            member.host_id.and_then(|h| lists.get(&h)?.clone()),
        )
        .await;
        news |= record(engine, member, &seen).await?;
        if let Some(loss) = judge(&policy, member, &seen) {
            lost.push((member, loss));
        }
    }
    if !first {
        for (member, loss) in lost {
            begin(engine, &policy, cluster.desired_capacity, member, &loss).await?;
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "seconds of an interval fit a double")]
    let interval = policy.detection.interval as f64;
    // After a start the first sweep only looks; the next one is soon.
    let next = if first { interval.min(2.0) } else { interval };
    let mut conn = engine.db.get().await?;
    if !news {
        // What else may have changed the truth, such as a node that came.
        db::settle(&mut conn, due.cluster_id).await?;
    }
    bindings::again(&mut conn, due.id, due.now, next, &due.state).await?;
    Ok(())
}

/// Statuses of a member that is not on its way to another.
fn looks(status: NodeStatus) -> bool {
    matches!(status, NodeStatus::Active | NodeStatus::Warning | NodeStatus::Error)
}

/// What each host of the members has. A host that is silent already is not
/// asked: it would only be waited for.
async fn lists(engine: &Arc<Engine>, members: &[Member]) -> BTreeMap<NodeId, Option<Containers>> {
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
            asked.spawn(async move { (host, list(&engine, host).await) });
        }
    }
    while let Some(done) = asked.join_next().await {
        lists.extend(done.ok());
    }
    lists
}

/// A host's containers of ours; none when it does not answer. Clusters that
/// are swept at the same time share one list.
async fn list(engine: &Arc<Engine>, host: NodeId) -> Option<Containers> {
    let asked = async { ask(engine, host).await.ok().map(Arc::new) };
    engine.health.lists.get_with(host, asked).await
}

async fn ask(engine: &Engine, host: NodeId) -> Result<HashMap<String, ContainerSummary>, Failure> {
    let mut conn = engine.db.get().await?;
    let driver = engine.fleet.driver(&mut conn, &engine.specs, host).await?;
    drop(conn);
    let list = driver
        .find(&[(LABEL_OWNER, engine.installation.as_str())])
        .await
        .map_err(ProfileError::from)?;
    Ok(list.into_iter().map(|c| (c.id.clone(), c)).collect())
}

/// What is true of a member.
async fn look(engine: &Engine, policy: &Policy, member: &Member, list: Option<Containers>) -> Health {
    if member.is_host {
        return match member.silence {
            Some(silence) if silence < SILENT => Health::Healthy,
            _ => Health::Unknown("it does not answer.".to_owned()),
        };
    }
    let Some(list) = list else {
        return match member.host_id {
            Some(_) => Health::Unknown("its host does not answer.".to_owned()),
            None => Health::Gone("It has no container.".to_owned()),
        };
    };
    let own = match member.physical_id.as_ref().and_then(|id| list.get(id)) {
        Some(c) if c.state == "running" => Health::of(&c.state, c.health.as_deref(), None, None),
        // Ended, gone, or adopted without our labels: the container itself is asked.
        _ => inspect(engine, member).await,
    };
    // What does not run cannot answer either.
    if own != Health::Healthy {
        return own;
    }
    probe::all(engine, policy, member).await
}

/// What the member's host says of its container.
async fn inspect(engine: &Engine, member: &Member) -> Health {
    let gone = || Health::Gone("The container is gone from its host.".to_owned());
    let (Some(host), Some(id)) = (member.host_id, member.physical_id.as_deref()) else {
        return gone();
    };
    let asked = async {
        let mut conn = engine.db.get().await?;
        let driver = engine.fleet.driver(&mut conn, &engine.specs, host).await?;
        drop(conn);
        Ok::<_, Failure>(driver.inspect(id).await.map_err(ProfileError::from)?)
    };
    match asked.await {
        Ok(state) => Health::of(
            &state.status,
            state.health.as_deref(),
            state.exit_code,
            state.error.as_deref(),
        ),
        Err(Failure::Profile(ProfileError::Driver(error))) if error.is_not_found() => gone(),
        Err(failure) => Health::Unknown(failure.to_string()),
    }
}

/// What was seen becomes the member's status.
async fn record(engine: &Engine, member: &Member, seen: &Health) -> Result<bool, Failure> {
    // A container that somebody stopped or paused stays as they left it.
    if is_suspended(member) && matches!(seen, Health::Unhealthy(_) | Health::Suspended(_)) {
        return Ok(false);
    }
    let (status, reason) = status_of(seen);
    let mut conn = engine.db.get().await?;
    Ok(db::observe(&mut conn, member, status, &reason).await?)
}

/// How the reason of a member begins that nobody knows anything of.
const UNKNOWN: &str = "Unknown: ";

/// Somebody stopped or paused it on purpose: then the reason is what became of
/// its container.
fn is_suspended(member: &Member) -> bool {
    member.status == NodeStatus::Warning && member.status_reason.starts_with("The container ")
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
    if member.is_host || is_suspended(member) {
        return None;
    }
    let loss = |reason: &str| {
        Some(Loss {
            reason: reason.to_owned(),
            mute: reason.starts_with(probe::CHECK),
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
        Health::Gone(reason) => loss(reason),
        // What runs and does not answer yet may only have been started.
        Health::Unhealthy(reason) if reason.contains("exited") => loss(reason),
        Health::Unhealthy(reason) => loss(reason).filter(|_| member.age > startup),
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
    let wish = Wish {
        node: member.id,
        cluster,
        physical_id: member.physical_id.clone(),
        reason: loss.reason.clone(),
        inputs: db::inputs(&operations, &loss.reason, !loss.mute, loss.host_lost),
        budget: policy.budget(desired),
        window: policy.recovery.budget_window,
    };
    let mut conn = engine.db.get().await?;
    let (outcome, held) = match db::recover(&mut conn, &wish).await? {
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
                wish.budget, wish.window
            )),
        ),
    };
    engine.metrics.recovery(outcome);
    if let Some(why) = held {
        let unknown = if loss.host_lost { UNKNOWN } else { "" };
        let text = format!("{unknown}{} {why}", loss.reason);
        db::hold_back(&mut conn, member.id, &text).await?;
    }
    Ok(())
}

/// Something happened to a node's container: looks at that one, at once.
/// `only_look`: what is found is recorded, not acted on.
pub(crate) async fn examine(engine: &Arc<Engine>, node: NodeId, only_look: bool) -> Result<(), Failure> {
    let mut conn = engine.db.get().await?;
    let Some(member) = db::node(&mut conn, node).await? else {
        return Ok(());
    };
    let Some(cluster) = member.cluster_id.filter(|_| !member.busy && looks(member.status)) else {
        return Ok(());
    };
    let Some(active) = bindings::of_type(&mut conn, cluster, TYPE).await? else {
        return Ok(());
    };
    let policy = read(engine, &active.binding.policy_type, &active.properties)?;
    if !policy.has(ModeKind::LifecycleEvents) {
        return Ok(());
    }
    drop(conn);
    let seen = inspect(engine, &member).await;
    if matches!(seen, Health::Unknown(_)) {
        // The next sweep looks again.
        return Ok(());
    }
    record(engine, &member, &seen).await?;
    if only_look {
        return Ok(());
    }
    let Some(loss) = judge(&policy, &member, &seen) else {
        return Ok(());
    };
    let mut conn = engine.db.get().await?;
    let desired = clusters::get(&mut conn, cluster)
        .await?
        .map_or(0, |c| c.desired_capacity);
    drop(conn);
    begin(engine, &policy, desired, &member, &loss).await
}

/// Whether a member that several checks looked at is lost.
fn weigh(conditional: Conditional, verdicts: &[Result<(), String>]) -> Health {
    let failed: Vec<&str> = verdicts
        .iter()
        .filter_map(|v| v.as_ref().err().map(String::as_str))
        .collect();
    let lost = match conditional {
        Conditional::AnyFailed => !failed.is_empty(),
        Conditional::AllFailed => !failed.is_empty() && failed.len() == verdicts.len(),
    };
    if lost {
        Health::Unhealthy(failed.join(" "))
    } else {
        Health::Healthy
    }
}

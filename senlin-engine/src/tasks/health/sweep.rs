//! Sweeps: every member of the clusters that are due is looked at. Clusters
//! that are due together share what they ask hosts and the database, and where
//! nothing has changed nothing is written but when they are due again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use senlin_core::{Time, ids::*, profile_type::Health};
use senlin_db::{
    DbError,
    bindings::{self, Due},
    health::{self as db, Member, Standing},
};
use senlin_policies::types::health::{Health as Policy, ModeKind};
use tokio::task::JoinSet;

use super::{Containers, TYPE, begin, glance, judge, lists, look, looks, read, record};
use crate::{
    Engine, Settings,
    failure::{self, Failure},
    tasks::runner::{Scope, Task},
};

/// Seconds after which another engine takes on a sweep that was begun, unless
/// this one says that it goes on.
const HOLD: f64 = 25.0;
/// Clusters swept together.
const MAX_CONCURRENT_CLUSTERS: usize = 64;
/// Clusters that one engine sweeps at the same time.
const IN_FLIGHT: usize = 512;
/// What ends within this time of another is recorded with it.
const TOGETHER: Duration = Duration::from_millis(50);

/// Sweeps clusters whose health policy is due.
pub struct HealthSweep;

impl Task for HealthSweep {
    type Item = Taken;
    const NAME: &'static str = "health";

    fn period(settings: &Settings) -> Option<Duration> {
        Some(Duration::from_secs_f64(settings.watch))
    }

    async fn due(engine: &Arc<Engine>, _: Scope) -> Result<Vec<Taken>, DbError> {
        let mut all = Vec::new();
        while !engine.stop.is_cancelled() {
            match take(engine, MAX_CONCURRENT_CLUSTERS).await {
                Ok(taken) if taken.is_empty() => return Ok(all),
                Ok(taken) => all.push(taken),
                Err(error) if all.is_empty() => return Err(error),
                // What is taken on already is done.
                Err(error) => {
                    tracing::warn!(error = %failure::chain(&error), "not all that is due could be read");
                    break;
                }
            }
        }
        Ok(all)
    }

    async fn run_one(engine: &Arc<Engine>, taken: Taken) -> Result<(), Failure> {
        tokio::select! {
            swept = sweep(engine, &taken.due) => swept,
            () = keep(engine, &taken.due) => Ok(()),
        }
    }
}

/// Bindings that this engine is sweeping; they are free again when this goes.
pub struct Taken {
    engine: Arc<Engine>,
    due: Vec<Due>,
}

impl Taken {
    fn is_empty(&self) -> bool {
        self.due.is_empty()
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut sweeping = self
            .engine
            .health
            .sweeping
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for one in &self.due {
            sweeping.remove(&one.id);
        }
    }
}

/// Takes on what is due, up to `most`, but nothing that is being swept already.
async fn take(engine: &Arc<Engine>, most: usize) -> Result<Taken, DbError> {
    let busy = {
        let sweeping = engine.health.sweeping.lock().unwrap_or_else(PoisonError::into_inner);
        sweeping.len()
    };
    let room = i64::try_from(most.min(IN_FLIGHT.saturating_sub(busy))).unwrap_or(0);
    let mut due = Vec::new();
    if room > 0 {
        due = bindings::due(&mut engine.db.session(), TYPE, HOLD, room).await?;
    }
    let mut sweeping = engine.health.sweeping.lock().unwrap_or_else(PoisonError::into_inner);
    due.retain(|one| sweeping.insert(one.id));
    drop(sweeping);
    Ok(Taken {
        engine: engine.clone(),
        due,
    })
}

/// As long as a sweep goes on, nobody else begins it.
async fn keep(engine: &Engine, due: &[Due]) {
    let ids: Vec<BindingId> = due.iter().map(|d| d.id).collect();
    loop {
        tokio::time::sleep(Duration::from_secs_f64(HOLD / 3.0)).await;
        let held = async { bindings::extend(&mut engine.db.session(), &ids, HOLD).await };
        if let Err(error) = held.await {
            tracing::debug!(error = %failure::chain(&error), "a health sweep could not be held");
        }
    }
}

/// One look at every member of these clusters.
async fn sweep(engine: &Arc<Engine>, due: &[Due]) -> Result<(), Failure> {
    let ids: Vec<ClusterId> = due.iter().map(|d| d.cluster_id).collect();
    let mut conn = engine.db.session();
    let mut members: BTreeMap<ClusterId, Vec<Member>> = BTreeMap::new();
    for member in db::members_of(&mut conn, &ids).await? {
        if let Some(cluster) = member.cluster_id {
            members.entry(cluster).or_default().push(member);
        }
    }
    // Not before: the members' ages are of when the database answered.
    let read = Instant::now();
    let standings = db::standings(&mut conn, &ids).await?;
    let standings: BTreeMap<ClusterId, Standing> = standings.into_iter().map(|s| (s.cluster, s)).collect();
    let mut going = JoinSet::new();
    for one in due {
        // A cluster that has gone takes its binding with it.
        if let Some(standing) = standings.get(&one.cluster_id).cloned() {
            let members = members.remove(&one.cluster_id).unwrap_or_default();
            going.spawn(cluster(engine.clone(), one.clone(), standing, (members, read)));
        }
    }
    let (mut swept, of) = (0, going.len());
    while let Some(first) = going.join_next().await {
        let mut done: Vec<Swept> = first.ok().flatten().into_iter().collect();
        tokio::time::sleep(TOGETHER).await;
        while let Some(more) = going.try_join_next() {
            done.extend(more.ok().flatten());
        }
        swept += done.len();
        let mut conn = engine.db.session();
        for stale in done.iter().filter_map(|d| d.stale) {
            db::settle(&mut conn, stale).await?;
        }
        let again: Vec<_> = done.iter().map(|d| (d.binding, d.due)).collect();
        bindings::reschedule_all(&mut conn, &again).await?;
    }
    if swept < of {
        return Err(Failure::NotYet(format!(
            "{} of {of} clusters were not swept",
            of - swept
        )));
    }
    Ok(())
}

/// What came of one cluster.
struct Swept {
    binding: BindingId,
    /// When it is due again.
    due: Time,
    /// The cluster, if its status is not what its members say.
    stale: Option<ClusterId>,
}

/// Members, and when they were read.
type Read = (Vec<Member>, Instant);

async fn cluster(engine: Arc<Engine>, due: Due, standing: Standing, members: Read) -> Option<Swept> {
    match try_cluster(&engine, &due, standing, members).await {
        Ok(swept) => Some(swept),
        Err(failure) => {
            tracing::warn!(cluster = %due.cluster_id, error = %failure::chain(&failure), "a health sweep failed");
            None
        }
    }
}

async fn try_cluster(
    engine: &Arc<Engine>,
    due: &Due,
    standing: Standing,
    (members, read_at): Read,
) -> Result<Swept, Failure> {
    let policy = Arc::new(read(engine, &due.policy_type, &due.properties)?);
    let first = is_first(engine, due.id);
    let lists = lists(engine, &members, read_at).await;
    let mut news = false;
    for (member, seen) in all(engine, &policy, members, &lists).await {
        news |= record(engine, &member, &seen).await?;
        if let Some(loss) = judge(&policy, &member, &seen).filter(|_| !first) {
            begin(engine, &policy, standing.desired, &member, &loss).await?;
        }
    }
    let interval = policy.detection.interval;
    // After a start the first sweep only looks; the next one is soon.
    let next = if first { interval.min(2) } else { interval };
    Ok(Swept {
        binding: due.id,
        due: due.now + chrono::Duration::seconds(next),
        // News has settled it already; this is what else may have changed the truth.
        stale: Some(due.cluster_id).filter(|_| standing.is_stale && !news),
    })
}

/// Bindings remembered as swept; beyond that, the next sweep of each only looks.
const REMEMBERED: usize = 100_000;

fn is_first(engine: &Engine, binding: BindingId) -> bool {
    let mut looked: std::sync::MutexGuard<'_, BTreeSet<BindingId>> =
        engine.health.looked.lock().unwrap_or_else(PoisonError::into_inner);
    if looked.len() >= REMEMBERED {
        looked.clear();
    }
    looked.insert(binding)
}

/// What is true of each member that is not on its way to something else. Those
/// that must be asked themselves are asked side by side.
async fn all(
    engine: &Arc<Engine>,
    policy: &Arc<Policy>,
    members: Vec<Member>,
    lists: &BTreeMap<NodeId, Option<Containers>>,
) -> Vec<(Member, Health)> {
    let asks = policy.has(ModeKind::NodeStatusPollUrl);
    let mut seen = Vec::new();
    let mut asked = JoinSet::new();
    for member in members.into_iter().filter(|m| !m.busy && looks(m.status)) {
        let list = member.host_id.and_then(|h| lists.get(&h)?.as_ref());
        match glance(&member, list) {
            Some(health) if !asks || health != Health::Healthy => seen.push((member, health)),
            told => {
                let (engine, policy) = (engine.clone(), policy.clone());
                asked.spawn(async move {
                    // Closed never.
                    let _room = engine.health.probes.clone().acquire_owned().await;
                    let health = look(&engine, &policy, &member, told).await;
                    (member, health)
                });
            }
        }
    }
    while let Some(done) = asked.join_next().await {
        seen.extend(done.ok());
    }
    seen
}

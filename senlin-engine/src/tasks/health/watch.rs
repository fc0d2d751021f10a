//! Docker events: list, then listen from a little before, then list again.
//!
//! An event is a hint. What it says is looked up; what it did not say is found
//! by the list that follows every so often, and by the sweeps.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use senlin_core::{
    driver::{ContainerEvent, LABEL_NODE, LABEL_OWNER},
    ids::NodeId,
    node::NodeStatus,
    profile_type::ProfileError,
};
use senlin_db::health as db;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    Engine, Settings,
    failure::{self, Failure},
    tasks::runner::Chore,
};

/// Seconds that a host's watch is held without being renewed.
const LEASE: f64 = 15.0;
/// Listening begins so many seconds before the list.
const OVERLAP: i64 = 10;
/// Listening ends after so long, and the host is listed again.
const ROUND: Duration = Duration::from_secs(300);
/// Between comparisons of what a host has with what is known of it.
const COMPARE: Duration = Duration::from_secs(60);
/// After a host could not be listened to.
const PAUSE: Duration = Duration::from_secs(2);

/// What decides over a container that is given its time to run.
fn decides(action: &str) -> bool {
    matches!(action, "die" | "oom" | "destroy") || action.starts_with("health_status")
}

/// What happens to a container that may be a loss.
fn matters(action: &str) -> bool {
    matches!(
        action,
        "die" | "oom" | "kill" | "stop" | "destroy" | "pause" | "unpause" | "start"
    ) || action.starts_with("health_status")
}

/// Renews this engine's watches, and listens to the hosts that it watches.
pub struct Watches;

impl Chore for Watches {
    const NAME: &'static str = "watches";

    fn period(_: &Settings) -> Option<Duration> {
        Some(Duration::from_secs_f64(LEASE / 5.0))
    }

    async fn run(engine: &Arc<Engine>) -> Result<(), Failure> {
        let ours = db::watch(&mut engine.db.session(), engine.id, LEASE).await?;
        let mut listening = engine.health.listening.lock().unwrap_or_else(PoisonError::into_inner);
        listening.retain(|host, stop| {
            let keep = ours.contains(host);
            if !keep {
                stop.cancel();
            }
            keep
        });
        for host in ours {
            listening.entry(host).or_insert_with(|| {
                let stop = engine.stop.child_token();
                tokio::spawn(listen(engine.clone(), host, stop.clone()));
                stop
            });
        }
        Ok(())
    }
}

/// Listens to one host until told to stop.
async fn listen(engine: Arc<Engine>, host: NodeId, stop: CancellationToken) {
    let mut before = false;
    while !stop.is_cancelled() {
        let outcome = tokio::select! {
            () = stop.cancelled() => return,
            outcome = tokio::time::timeout(ROUND, round(&engine, host, before)) => outcome,
        };
        match outcome {
            Ok(Ok(())) | Err(_) => before = true,
            Ok(Err(failure)) => {
                tracing::debug!(%host, error = %failure::chain(&failure), "a host cannot be listened to");
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(PAUSE) => {}
                }
            }
        }
    }
}

/// Lists, then listens. `before`: this engine has seen the host before, so
/// that what the list shows may be acted on.
async fn round(engine: &Arc<Engine>, host: NodeId, before: bool) -> Result<(), Failure> {
    let mut conn = engine.db.session();
    let driver = engine
        .connections
        .driver(&mut conn, &engine.profile_cache, host)
        .await?;
    let label = (LABEL_OWNER, engine.installation.as_str());
    let since = now() - OVERLAP;
    let (send, mut heard) = mpsc::unbounded_channel::<ContainerEvent>();
    let listener = async {
        let tell = |event: ContainerEvent| {
            // Ends with the receiver, which ends with this round.
            let _ = send.send(event);
        };
        driver
            .watch(label, Some(since), &tell)
            .await
            .map_err(ProfileError::from)
    };
    let act = async {
        // The list comes once the ears are open: nothing is missed in between.
        for container in driver.find(&[label]).await.map_err(ProfileError::from)? {
            let amiss = container.state != "running" || container.health.as_deref() == Some("unhealthy");
            if let Some(node) = container.labels.get(LABEL_NODE).filter(|_| amiss) {
                look(engine, node, !before).await;
            }
        }
        let looks = Looks::default();
        let mut timer = tokio::time::interval_at(tokio::time::Instant::now() + COMPARE, COMPARE);
        loop {
            tokio::select! {
                event = heard.recv() => match event {
                    Some(event) => heed(engine, &looks, &event),
                    None => break,
                },
                _ = timer.tick() => compare(engine, host).await?,
            }
        }
        Ok::<(), Failure>(())
    };
    tokio::select! {
        ended = listener => ended.map_err(Failure::from),
        acted = act => acted,
    }
}

/// What an event is a hint of.
fn heed(engine: &Arc<Engine>, looks: &Looks, event: &ContainerEvent) {
    let node = event.labels.get(LABEL_NODE).and_then(|n| n.parse::<NodeId>().ok());
    let Some(node) = node.filter(|_| matters(&event.action)) else {
        return;
    };
    let mut hurries = decides(&event.action);
    if looks.begin(node) {
        let (engine, looks) = (engine.clone(), looks.clone());
        engine.tasks.clone().spawn(async move {
            loop {
                if hurries && let Err(failure) = super::hurry(&engine, node).await {
                    tracing::debug!(%node, error = %failure::chain(&failure), "an action could not be told to look");
                }
                look(&engine, &node.to_string(), false).await;
                if !looks.again(node) {
                    return;
                }
                hurries = true;
            }
        });
    }
}

/// Events are hints, and some are never heard: whatever the host's list and
/// what is known of a node disagree on is looked at.
pub async fn compare(engine: &Arc<Engine>, host: NodeId) -> Result<(), Failure> {
    let containers = super::ask(engine, host).await?;
    let members = db::on_host(&mut engine.db.session(), host).await?;
    for member in members.iter().filter(|m| !m.busy && super::looks(m.status)) {
        let listed = member.physical_id.as_ref().and_then(|id| containers.get(id));
        let runs = listed.is_some_and(|c| c.state == "running" && c.health.as_deref() != Some("unhealthy"));
        // One that was adopted is in no list by label: it is asked for by id.
        let unlisted = listed.is_none() && member.physical_id.is_some();
        if unlisted || runs != (member.status == NodeStatus::Active) {
            super::examine(engine, member.id, false).await?;
        }
    }
    Ok(())
}

/// Nodes that are being looked at, and whether something has happened to them
/// since that look began: then there is one more.
#[derive(Clone, Default)]
struct Looks(Arc<Mutex<HashMap<NodeId, bool>>>);

impl Looks {
    fn map(&self) -> std::sync::MutexGuard<'_, HashMap<NodeId, bool>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a look is to begin; if one goes on already, there is another after it.
    fn begin(&self, node: NodeId) -> bool {
        match self.map().entry(node) {
            Entry::Occupied(mut going) => {
                going.insert(true);
                false
            }
            Entry::Vacant(free) => {
                free.insert(false);
                true
            }
        }
    }

    /// A look has ended: whether there is to be another.
    fn again(&self, node: NodeId) -> bool {
        let mut map = self.map();
        let more = map.remove(&node).unwrap_or(false);
        if more {
            map.insert(node, false);
        }
        more
    }
}

async fn look(engine: &Arc<Engine>, node: &str, only_look: bool) {
    let Ok(node) = node.parse::<NodeId>() else { return };
    if let Err(failure) = super::examine(engine, node, only_look).await {
        tracing::debug!(%node, error = %failure::chain(&failure), "a node could not be looked at");
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_during_a_look_is_looked_at_after_it() {
        let (looks, node) = (Looks::default(), NodeId::random());
        assert!(looks.begin(node));
        assert!(!looks.begin(node) && !looks.begin(node), "one goes on");
        assert!(looks.again(node), "one more, for both");
        assert!(!looks.again(node));
        assert!(looks.begin(node), "and then it is free");
    }
}

//! Simulated hosts, for scale and fault tests only: `sim://name?latency=5&…`.
//!
//! They behave as Docker does where the driver's suite looks, and share no
//! code with it. State lives in the process and belongs to the name.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use senlin_core::driver::{ContainerConfig, ContainerSummary, DriverError, LABEL_GENERATION, LABEL_NODE};

mod driver;
mod knobs;
mod measure;

pub use knobs::Knobs;

/// One call, for checkers of history.
#[derive(Debug, Clone)]
pub struct Call {
    /// Such as `create`.
    pub verb: &'static str,
    /// Container id or name; empty for calls about none.
    pub subject: String,
    /// When.
    pub at: Instant,
}

#[derive(Debug, Clone)]
struct Simulated {
    id: String,
    config: ContainerConfig,
    status: &'static str,
    exit_code: i64,
    restarts: i64,
    /// Its health check, once told to pass or fail.
    checked: Option<bool>,
    /// Its place in order of creation.
    born: u64,
    /// In seconds since 1970.
    created: i64,
}

#[derive(Default)]
struct World {
    containers: BTreeMap<String, Simulated>,
    by_name: HashMap<String, String>,
    calls: Vec<Call>,
    log_calls: bool,
    down: bool,
    hang: bool,
    /// Verbs that fail.
    failing: BTreeSet<&'static str>,
    count: u64,
    most_alive: HashMap<String, usize>,
    meters: measure::Meters,
}

/// A simulated machine. Tests get hold of it by name, with [`Sim::host`].
#[derive(Clone)]
pub struct Sim {
    name: String,
    world: Arc<Mutex<World>>,
}

static HOSTS: LazyLock<Mutex<HashMap<String, Sim>>> = LazyLock::new(Mutex::default);

impl Sim {
    /// The machine of that name, made when it is not there yet.
    #[must_use]
    pub fn host(name: &str) -> Self {
        let mut hosts = HOSTS.lock().unwrap_or_else(PoisonError::into_inner);
        hosts
            .entry(name.to_owned())
            .or_insert_with(|| Self {
                name: name.to_owned(),
                world: Arc::default(),
            })
            .clone()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The container's process dies.
    pub fn kill_container(&self, id: &str) {
        self.world().end(id, 137);
    }

    /// The container vanishes without a trace.
    pub fn lose_container(&self, id: &str) {
        let mut world = self.world();
        if let Some(container) = world.containers.remove(id) {
            world.by_name.remove(&container.config.name);
            world.emit(&container, "destroy");
        }
    }

    /// The machine refuses connections from now on, or takes them again.
    pub fn set_down(&self, down: bool) {
        self.world().down = down;
    }

    /// The machine takes calls and never answers, or answers again.
    pub fn set_hang(&self, hang: bool) {
        self.world().hang = hang;
    }

    /// Calls of this verb are answered with an error from now on, or work again.
    pub fn set_failing(&self, verb: &'static str, fails: bool) {
        let mut world = self.world();
        if fails {
            world.failing.insert(verb);
        } else {
            world.failing.remove(verb);
        }
    }

    /// The container's health check passes or fails from now on.
    pub fn set_healthy(&self, id: &str, healthy: bool) {
        if let Ok(container) = self.world().get(id) {
            container.checked = Some(healthy);
        }
    }

    /// Everything on it.
    #[must_use]
    pub fn list(&self) -> Vec<ContainerSummary> {
        self.world().containers.values().map(summary).collect()
    }

    /// Keep a log of calls from now on.
    pub fn log_calls(&self) {
        self.world().log_calls = true;
    }

    /// The calls so far.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.world().calls.clone()
    }

    /// Of each node and generation, how many containers ran at the same time at
    /// most; more than one is one too many.
    #[must_use]
    pub fn most_alive(&self) -> HashMap<String, usize> {
        self.world().most_alive.clone()
    }

    /// As new.
    pub fn reset(&self) {
        *self.world() = World::default();
    }
}

fn summary(container: &Simulated) -> ContainerSummary {
    ContainerSummary {
        id: container.id.clone(),
        name: container.config.name.clone(),
        state: container.status.to_owned(),
        health: health(container).map(str::to_owned),
        address: None,
        ports: container
            .config
            .ports
            .iter()
            .filter_map(|p| Some((p.container, p.host?)))
            .collect(),
        created: container.created,
        labels: container.config.labels.clone(),
    }
}

/// A health check that says `false` fails, one that says `later` passes when
/// it is told to.
fn health(container: &Simulated) -> Option<&'static str> {
    let check = container.config.health.as_ref()?;
    let says = |word: &str| check.test.iter().any(|t| t.contains(word));
    Some(match container.checked {
        Some(true) => "healthy",
        Some(false) => "unhealthy",
        None if says("false") => "unhealthy",
        None if says("later") => "starting",
        None => "healthy",
    })
}

/// A connection to a simulated machine.
pub struct SimHost {
    url: String,
    sim: Sim,
    knobs: Knobs,
}

impl SimHost {
    /// Opens `sim://name?knobs`.
    ///
    /// # Errors
    /// When a knob is unknown or has no usable value.
    pub fn open(url: &str) -> Result<Self, DriverError> {
        let (name, knobs) = Knobs::parse(url)?;
        Ok(Self {
            url: url.to_owned(),
            sim: Sim::host(&name),
            knobs,
        })
    }

    /// Latency, outages and failures, before anything happens.
    async fn enter(&self, verb: &'static str, subject: &str) -> Result<(), DriverError> {
        let (down, hang) = {
            let mut world = self.sim.world();
            if world.log_calls {
                world.calls.push(Call {
                    verb,
                    subject: subject.to_owned(),
                    at: Instant::now(),
                });
            }
            world.count += 1;
            let count = world.count;
            (world.down, world.hang || self.knobs.hangs(verb, count))
        };
        if !self.knobs.latency.is_zero() {
            tokio::time::sleep(self.knobs.latency).await;
        }
        if down {
            return Err(DriverError::Unreachable {
                endpoint: self.url.clone(),
                reason: "Connection refused".to_owned(),
            });
        }
        if hang {
            tokio::time::sleep(self.knobs.patience).await;
            return Err(DriverError::TimedOut {
                endpoint: self.url.clone(),
                verb,
                seconds: self.knobs.patience.as_secs(),
            });
        }
        let count = self.sim.world().count;
        if self.knobs.fails(verb, count) || self.sim.world().failing.contains(verb) {
            return Err(DriverError::Failed(format!("{verb}: simulated failure")));
        }
        Ok(())
    }
}

fn missing(id: &str) -> DriverError {
    DriverError::NotFound(format!("No such container: {id}"))
}

impl World {
    fn get(&mut self, id: &str) -> Result<&mut Simulated, DriverError> {
        let key = self.by_name.get(id).cloned().unwrap_or_else(|| id.to_owned());
        self.containers.get_mut(&key).ok_or_else(|| missing(id))
    }

    /// The process of a container ends.
    fn end(&mut self, id: &str, code: i64) {
        let Ok(container) = self.get(id) else { return };
        if !matches!(container.status, "running" | "paused") {
            return;
        }
        container.status = "exited";
        container.exit_code = code;
        let ended = container.clone();
        self.emit(&ended, "die");
    }

    /// The command `exit CODE` ends as soon as it has begun; a restart policy
    /// begins it again for ever.
    fn exit_if_told(&mut self, id: &str) {
        let Ok(container) = self.get(id) else { return };
        let code = match container.config.command.as_deref() {
            Some([word, code, ..]) if word == "exit" => code.parse().unwrap_or(1),
            _ => return,
        };
        let restarts = container.config.restart.as_ref().is_some_and(|r| r.name != "no");
        self.end(id, code);
        if restarts && let Ok(container) = self.get(id) {
            container.status = "restarting";
            container.restarts += 1;
        }
    }

    /// Counts who lives at once, for the checker.
    fn count_alive(&mut self, of: &ContainerConfig) {
        let key = |c: &ContainerConfig| {
            Some(format!(
                "{}/{}",
                c.labels.get(LABEL_NODE)?,
                c.labels.get(LABEL_GENERATION)?
            ))
        };
        let Some(own) = key(of) else { return };
        if !self.log_calls {
            return;
        }
        let alive = self
            .containers
            .values()
            .filter(|c| c.status == "running" && key(&c.config).as_ref() == Some(&own));
        let alive = alive.count();
        let most = self.most_alive.entry(own).or_default();
        *most = (*most).max(alive);
    }
}

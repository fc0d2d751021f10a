//! What a simulated host's containers use, and what happens to them.

use std::{collections::HashMap, time::Instant};

use senlin_core::driver::{ContainerEvent, Usage};
use tokio::sync::broadcast;

use super::{Sim, Simulated, World};

/// Events that a slow reader may be behind before it loses some.
const BEHIND: usize = 4096;

/// Processor time that a container burns.
#[derive(Debug, Clone, Copy)]
struct Burn {
    since: Instant,
    /// Nanoseconds up to then.
    before: u64,
    /// Thousandths of a processor from then on.
    millis: u64,
}

impl Burn {
    fn spent(&self) -> u64 {
        let elapsed = u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.before + elapsed / 1000 * self.millis
    }
}

/// Meters of a simulated host.
pub(super) struct Meters {
    burns: HashMap<String, Burn>,
    memory: HashMap<String, u64>,
    events: broadcast::Sender<ContainerEvent>,
}

impl Default for Meters {
    fn default() -> Self {
        Self {
            burns: HashMap::new(),
            memory: HashMap::new(),
            events: broadcast::channel(BEHIND).0,
        }
    }
}

impl Sim {
    /// The container uses so many thousandths of a processor from now on.
    pub fn burn(&self, id: &str, millis: u64) {
        let mut world = self.world();
        let before = world.meters.burns.get(id).map_or(0, Burn::spent);
        let burn = Burn {
            since: Instant::now(),
            before,
            millis,
        };
        world.meters.burns.insert(id.to_owned(), burn);
    }

    /// The container uses so many bytes from now on.
    pub fn fill(&self, id: &str, bytes: u64) {
        self.world().meters.memory.insert(id.to_owned(), bytes);
    }

    pub(super) fn listen(&self) -> broadcast::Receiver<ContainerEvent> {
        self.world().meters.events.subscribe()
    }
}

impl World {
    pub(super) fn usage(&self) -> Vec<Usage> {
        let running = self.containers.values().filter(|c| c.status == "running");
        running
            .map(|c| Usage {
                id: c.id.clone(),
                labels: c.config.labels.clone(),
                cpu_ns: self.meters.burns.get(&c.id).map_or(0, Burn::spent),
                memory: self.meters.memory.get(&c.id).copied().unwrap_or(0),
            })
            .collect()
    }

    /// Tells who listens what happened to a container.
    pub(super) fn emit(&self, of: &Simulated, action: &str) {
        // Nobody listening is no error.
        let _ = self.meters.events.send(ContainerEvent {
            id: of.id.clone(),
            action: action.to_owned(),
            labels: of.config.labels.clone(),
            at: std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(0)),
        });
    }
}

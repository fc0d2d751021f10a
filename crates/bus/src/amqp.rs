//! The bus over RabbitMQ.
//!
//! Each role (sending, hearing hints, answering) keeps a connection of its own
//! and builds everything anew when it breaks, for as long as it takes: lapin's
//! own recovery gives up after some tries and restores only connections.
//! Messages are transient, since the rows are the truth.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use senlin_core::{ids::ActionId, secret::Secret};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{Answer, Bus, BusError, CallError, Hint, Hints, Reply, Request};

mod brokers;
mod hear;
mod line;
mod put;
mod send;
mod serve;

pub use brokers::Brokers;

/// Where the brokers are, and how queues are made there.
#[derive(Debug, Clone)]
pub struct AmqpSettings {
    /// One broker, or those of a cluster.
    pub brokers: Brokers,
    /// Queues are named `<prefix>.wake` and `<prefix>.rpc`.
    pub prefix: String,
    /// Durable queues live on a majority of the brokers instead of one.
    pub quorum: bool,
    /// Hints that one engine is given before it has taken the first.
    pub prefetch: u16,
}

/// Hints that one engine is given before it has taken the first.
const PREFETCH: u16 = 16;

impl AmqpSettings {
    /// Settings for `amqp://user:password@host1:port1,host2:port2/vhost`.
    /// Durable queues are quorum queues when it names several hosts, unless
    /// `quorum` says otherwise.
    ///
    /// # Errors
    /// When it is no such URL.
    pub fn new(url: &Secret, prefix: &str, quorum: Option<bool>) -> Result<Self, BusError> {
        let brokers = Brokers::parse(url)?;
        Ok(Self {
            quorum: quorum.unwrap_or(brokers.places().len() > 1),
            brokers,
            prefix: prefix.to_owned(),
            prefetch: PREFETCH,
        })
    }

    /// The type of a queue cannot be changed: each has a name of its own.
    fn wake_queue(&self) -> String {
        let kind = if self.quorum { ".quorum" } else { "" };
        format!("{}.wake{kind}", self.prefix)
    }

    fn rpc_queue(&self) -> String {
        format!("{}.rpc", self.prefix)
    }
}

/// Messages that wait to be sent at most; hints beyond are dropped.
const DEPTH: usize = 4096;

type Waiting = Arc<Mutex<HashMap<String, oneshot::Sender<Result<Reply, CallError>>>>>;

/// What the sender is asked to send.
enum Outgoing {
    Hint(Hint),
    Call {
        id: String,
        request: Request,
        deadline: Duration,
    },
}

/// The bus over RabbitMQ.
pub struct AmqpBus {
    settings: AmqpSettings,
    outgoing: mpsc::Sender<Outgoing>,
    waiting: Waiting,
    connected: Arc<AtomicBool>,
    stop: CancellationToken,
}

impl AmqpBus {
    /// A bus that begins to connect at once, and goes on until it can.
    #[must_use]
    pub fn start(settings: AmqpSettings) -> Self {
        let (outgoing, queue) = mpsc::channel(DEPTH);
        let bus = Self {
            settings: settings.clone(),
            outgoing,
            waiting: Waiting::default(),
            connected: Arc::default(),
            stop: CancellationToken::new(),
        };
        tokio::spawn(send::run(
            settings,
            queue,
            bus.waiting.clone(),
            bus.connected.clone(),
            bus.stop.clone(),
        ));
        bus
    }
}

/// Waits 0.2 s, then longer, up to 5 s between tries. False: stop.
async fn pause(tries: &mut u32, stop: &CancellationToken) -> bool {
    let wait = Duration::from_millis(200 * u64::from(*tries + 1).min(25));
    *tries = tries.saturating_add(1);
    tokio::select! {
        () = stop.cancelled() => false,
        () = tokio::time::sleep(wait) => true,
    }
}

fn map<K, V>(shared: &Mutex<HashMap<K, V>>) -> std::sync::MutexGuard<'_, HashMap<K, V>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes a call off the list of those that wait.
struct Forget<'a>(&'a Waiting, &'a str);

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        map(self.0).remove(self.1);
    }
}

impl AmqpBus {
    /// How the names of its queues begin.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.settings.prefix
    }
}

#[async_trait::async_trait]
impl Bus for AmqpBus {
    fn wake(&self, actions: &[ActionId], request_id: &str) {
        if !self.connected() {
            tracing::debug!("a hint was dropped: no broker; the sweeper will find what it was for");
            return;
        }
        let hint = Hint {
            actions: actions.to_vec(),
            request_id: request_id.to_owned(),
        };
        if self.outgoing.try_send(Outgoing::Hint(hint)).is_err() {
            tracing::debug!("a hint was dropped: too many wait to be sent");
        }
    }

    async fn hints(&self) -> Result<Hints, BusError> {
        let (sender, receiver) = mpsc::channel(64);
        tokio::spawn(hear::run(self.settings.clone(), sender, self.stop.clone()));
        Ok(Hints(receiver))
    }

    async fn call(&self, request: Request, deadline: Duration) -> Result<Reply, CallError> {
        if !self.connected() {
            return Err(CallError::Unavailable);
        }
        let id = Uuid::new_v4().to_string();
        let (sender, receiver) = oneshot::channel();
        map(&self.waiting).insert(id.clone(), sender);
        // Forgotten also when the caller does not wait for the end.
        let _forget = Forget(&self.waiting, &id);
        let outgoing = Outgoing::Call {
            id: id.clone(),
            request,
            deadline,
        };
        match self.outgoing.try_send(outgoing) {
            Err(_) => Err(CallError::Unavailable),
            Ok(()) => match tokio::time::timeout(deadline, receiver).await {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(_)) => Err(CallError::Unavailable),
                Err(_) => Err(CallError::TimedOut(deadline)),
            },
        }
    }

    async fn serve(&self, answer: Arc<dyn Answer>, stop: CancellationToken) -> Result<(), BusError> {
        serve::run(&self.settings, answer, stop).await;
        Ok(())
    }

    async fn put(&self, queue: &str, text: String, seconds: u32) -> Result<(), CallError> {
        put::put(&self.settings, queue, text, seconds).await
    }

    fn connected(&self) -> bool {
        self.connected.load(Ordering::SeqCst)
    }

    async fn close(&self) {
        self.stop.cancel();
    }
}

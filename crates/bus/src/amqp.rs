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

use lapin::{
    Channel, Connection, ConnectionProperties,
    options::{ConfirmSelectOptions, QueueDeclareOptions},
    types::FieldTable,
};
use senlin_core::{ids::ActionId, secret::Secret};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{Answer, Bus, BusError, CallError, Hint, Hints, Reply, Request};

mod hear;
mod put;
mod send;
mod serve;

/// Where the broker is.
#[derive(Debug, Clone)]
pub struct AmqpSettings {
    /// `amqp://user:password@host:5672/vhost`.
    pub url: Secret,
    /// Queues are named `<prefix>.wake` and `<prefix>.rpc`.
    pub prefix: String,
    /// Hints that one engine is given before it has taken the first.
    pub prefetch: u16,
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

/// An open channel and the connection that it lives on.
struct Line {
    channel: Channel,
    // Dropping it closes the channel.
    _connection: Connection,
}

/// A broker that takes a connection while it starts up may never answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Connects and declares the queue of hints, so that either side may come first.
async fn open(settings: &AmqpSettings, role: &str) -> lapin::Result<Line> {
    match tokio::time::timeout(PATIENCE, try_open(settings, role)).await {
        Ok(line) => line,
        Err(_) => Err(lapin::ErrorKind::IOError(Arc::new(std::io::ErrorKind::TimedOut.into())).into()),
    }
}

async fn try_open(settings: &AmqpSettings, role: &str) -> lapin::Result<Line> {
    let name = format!("{}-{role}", settings.prefix);
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let connection = Connection::connect(settings.url.expose(), properties).await?;
    let channel = connection.create_channel().await?;
    channel
        .queue_declare(
            wake_queue(settings).into(),
            QueueDeclareOptions::durable(),
            FieldTable::default(),
        )
        .await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok(Line {
        channel,
        _connection: connection,
    })
}

fn wake_queue(settings: &AmqpSettings) -> String {
    format!("{}.wake", settings.prefix)
}

fn rpc_queue(settings: &AmqpSettings) -> String {
    format!("{}.rpc", settings.prefix)
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
        let outgoing = Outgoing::Call {
            id: id.clone(),
            request,
            deadline,
        };
        let outcome = match self.outgoing.try_send(outgoing) {
            Err(_) => Err(CallError::Unavailable),
            Ok(()) => match tokio::time::timeout(deadline, receiver).await {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(_)) => Err(CallError::Unavailable),
                Err(_) => Err(CallError::TimedOut(deadline)),
            },
        };
        map(&self.waiting).remove(&id);
        outcome
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

//! Hints and requests between API and engine, over RabbitMQ or within one process.
//!
//! Must never: know the database, or carry anything that would be missed if it
//! were lost. A hint says "look"; the database says what. A request asks an
//! engine to look at a host, with a deadline, and writes nothing.

use std::{sync::Arc, time::Duration};

use senlin_core::{Map, ids::ActionId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub mod amqp;
pub mod local;

pub use amqp::{AmqpBus, AmqpSettings, Brokers};
pub use local::LocalBus;

/// "These actions may be claimed."
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hint {
    /// Which.
    pub actions: Vec<ActionId>,
    /// The request that led to it.
    pub request_id: String,
}

/// Something that only an engine can tell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The user's request.
    pub request_id: String,
    /// Such as `nodes.details`.
    pub verb: String,
    /// Ids and parameters; secrets in it are sealed.
    pub body: Map,
}

/// What an engine answers.
pub type Reply = Result<Value, Fault>;

/// Why an engine could not tell; for the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// HTTP status.
    pub status: u16,
    /// For the user.
    pub message: String,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Nobody listens.
    #[error("no engine is running")]
    NoEngine,
    /// An engine was asked and did not answer in time.
    #[error("no engine answered within {0:?}")]
    TimedOut(Duration),
    /// The bus itself is away.
    #[error("the message bus is unavailable")]
    Unavailable,
}

/// The bus could not be used at all.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BusError(pub String);

impl From<lapin::Error> for BusError {
    fn from(error: lapin::Error) -> Self {
        Self(error.to_string())
    }
}

/// Hints as an engine receives them.
pub struct Hints(mpsc::Receiver<Hint>);

impl Hints {
    /// The next hint; none when the bus was closed. Survives the broker.
    pub async fn next(&mut self) -> Option<Hint> {
        self.0.recv().await
    }
}

/// Answers requests.
#[async_trait::async_trait]
pub trait Answer: Send + Sync {
    /// The answer to one request.
    async fn answer(&self, request: Request) -> Reply;
}

/// The bus. One suite (`tests/it`) runs on every implementation. Nothing here
/// waits for a broker without a bound.
#[async_trait::async_trait]
pub trait Bus: Send + Sync {
    /// Hints that these actions may be claimed. Never blocks and never fails:
    /// what gets lost, the sweeper finds.
    fn wake(&self, actions: &[ActionId], request_id: &str);
    /// Hints, each to one of those who listen.
    async fn hints(&self) -> Result<Hints, BusError>;
    /// Asks any engine.
    async fn call(&self, request: Request, deadline: Duration) -> Result<Reply, CallError>;
    /// Answers requests until `stop`.
    async fn serve(&self, answer: Arc<dyn Answer>, stop: CancellationToken) -> Result<(), BusError>;
    /// Puts a text into a named queue that others read, to live there for so
    /// many seconds; the queue is made when it is not there. Answers when the
    /// bus has it for sure.
    async fn put(&self, queue: &str, text: String, seconds: u32) -> Result<(), CallError>;
    /// Whether messages can pass just now.
    fn connected(&self) -> bool;
    /// Ends it.
    async fn close(&self);
}

//! One role's channel to a broker: opened at whichever broker answers, with a
//! bound on every wait, and gone for sure when it is dropped.

use std::{
    future::Future,
    net::{Shutdown, TcpStream},
    os::fd::AsFd,
    sync::{Arc, OnceLock},
    time::Duration,
};

use lapin::{
    AsyncTcpStream, Channel, Connection, ConnectionProperties, ErrorKind,
    options::{ConfirmSelectOptions, QueueDeclareOptions},
    protocol::{AMQPErrorKind, AMQPSoftError},
    tcp::{AMQPUriTcpExt, TLSConfig},
    types::{AMQPValue, FieldTable},
    uri::AMQPUri,
};
use tokio::time::timeout;

use super::AmqpSettings;
use crate::BusError;

/// A broker that hangs takes a request and never answers.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// What a broker gets to say goodbye.
const FAREWELL: Duration = Duration::from_secs(2);

/// An open channel and the connection that it lives on.
pub(super) struct Line {
    pub(super) channel: Channel,
    connection: Connection,
    _socket: Socket,
}

/// The socket under a connection. lapin waits for a broker's answer without a
/// bound, in a thread of its own: ending the socket is what ends the thread.
#[derive(Default)]
struct Socket(Arc<OnceLock<TcpStream>>);

impl Drop for Socket {
    fn drop(&mut self) {
        let socket = std::mem::take(&mut self.0);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                tokio::time::sleep(FAREWELL).await;
                if let Some(socket) = socket.get() {
                    // One that is closed already is as it should be.
                    let _ = socket.shutdown(Shutdown::Both);
                }
            });
        }
    }
}

/// Waits for the broker, but not for ever.
pub(super) async fn bounded<T>(answer: impl Future<Output = lapin::Result<T>>) -> Result<T, BusError> {
    match timeout(PATIENCE, answer).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(BusError(format!("no answer within {PATIENCE:?}"))),
    }
}

/// Opens a line to the first broker that answers, beginning with the one that
/// did last, and declares the queue of hints, so that either side may come first.
pub(super) async fn open(settings: &AmqpSettings, role: &str) -> Result<Line, BusError> {
    let mut reasons = Vec::new();
    for (at, broker) in settings.brokers.in_turn() {
        let opened = timeout(PATIENCE, Line::open(settings, &broker.uri, role)).await;
        match opened.unwrap_or_else(|_| Err(BusError(format!("no answer within {PATIENCE:?}")))) {
            Ok(line) => {
                settings.brokers.answered(at);
                return Ok(line);
            }
            Err(error) => {
                settings.brokers.failed(at);
                reasons.push(format!("{}: {error}", broker.place));
            }
        }
    }
    Err(BusError(reasons.join("; ")))
}

impl Line {
    async fn open(settings: &AmqpSettings, uri: &AMQPUri, role: &str) -> Result<Self, BusError> {
        let name = format!("{}-{role}", settings.prefix);
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let socket = Socket::default();
        let opened = socket.0.clone();
        let runtime = lapin::runtime::default_runtime()?;
        let reactor = runtime.clone();
        let connect = async move |uri: AMQPUri, _| {
            let connecting = AMQPUriTcpExt::connect_with_config_async(&uri, TLSConfig::default(), &reactor);
            let stream = timeout(PATIENCE, connecting)
                .await
                .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))?;
            if let AsyncTcpStream::Plain(plain) = &stream {
                let twin = plain.get_ref().as_fd().try_clone_to_owned()?;
                let _ = opened.set(twin.into());
            }
            Ok(stream)
        };
        let connection = Connection::connector(uri.clone(), runtime, connect, properties).await?;
        let mut line = Self {
            channel: channel(&connection).await?,
            connection,
            _socket: socket,
        };
        line.durable(settings, &settings.wake_queue()).await?;
        Ok(line)
    }

    /// Declares a durable queue. One that is there with other properties is
    /// taken as it is: its owner may have made it so.
    pub(super) async fn durable(&mut self, settings: &AmqpSettings, queue: &str) -> Result<(), BusError> {
        let mut properties = FieldTable::default();
        if settings.quorum {
            properties.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        }
        let declared = self
            .channel
            .queue_declare(queue.into(), QueueDeclareOptions::durable(), properties);
        match timeout(PATIENCE, declared).await {
            Ok(Err(error)) if differs(&error) => {
                tracing::warn!(queue, %error, "the queue is used as it is; delete it to have it made anew");
                // The refusal has closed the channel.
                self.channel = channel(&self.connection).await?;
                Ok(())
            }
            Ok(declared) => Ok(declared.map(drop)?),
            Err(_) => Err(BusError(format!("no answer within {PATIENCE:?}"))),
        }
    }
}

async fn channel(connection: &Connection) -> Result<Channel, BusError> {
    let channel = bounded(connection.create_channel()).await?;
    bounded(channel.confirm_select(ConfirmSelectOptions::default())).await?;
    Ok(channel)
}

fn differs(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(e)
        if *e.kind() == AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED))
}

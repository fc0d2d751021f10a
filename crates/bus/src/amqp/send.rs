//! Sending: hints and requests on one channel, confirms collected as they come.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use lapin::{
    BasicProperties, Confirmation,
    message::Delivery,
    options::{BasicConsumeOptions, BasicPublishOptions},
    types::FieldTable,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    AmqpSettings, Outgoing, Waiting,
    line::{Line, bounded, open},
    map, pause,
};
use crate::{BusError, CallError};

/// The broker's own pseudo-queue: replies come straight to this channel.
const REPLY_TO: &str = "amq.rabbitmq.reply-to";
/// Confirms that may be outstanding before the next message waits.
const UNCONFIRMED: usize = 1024;
/// Milliseconds that a hint waits for an engine; a sweep is faster than that.
const HINT_LIVES: &str = "60000";

pub(super) async fn run(
    settings: AmqpSettings,
    mut queue: mpsc::Receiver<Outgoing>,
    waiting: Waiting,
    connected: Arc<AtomicBool>,
    stop: CancellationToken,
) {
    let (mut tries, mut said) = (0, None);
    loop {
        match open(&settings, "send").await {
            Ok(line) => {
                (tries, said) = (0, None);
                connected.store(true, Ordering::SeqCst);
                tracing::info!("connected to the broker");
                let outcome = converse(&settings, &line, &mut queue, &waiting, &stop).await;
                connected.store(false, Ordering::SeqCst);
                for (_, reply) in map(&waiting).drain() {
                    let _ = reply.send(Err(CallError::Unavailable));
                }
                match outcome {
                    Ok(()) => return,
                    Err(error) => tracing::warn!(%error, "the broker is gone; reconnecting"),
                }
            }
            Err(error) if said.as_ref() != Some(&error.0) => {
                tracing::warn!(%error, "no broker; trying again until there is one");
                said = Some(error.0);
            }
            Err(error) => tracing::debug!(%error, tries, "still no broker"),
        }
        // What waited is stale by the time the broker is back.
        while queue.try_recv().is_ok() {}
        if !pause(&mut tries, &stop).await {
            return;
        }
    }
}

async fn converse(
    settings: &AmqpSettings,
    line: &Line,
    queue: &mut mpsc::Receiver<Outgoing>,
    waiting: &Waiting,
    stop: &CancellationToken,
) -> Result<(), BusError> {
    let channel = &line.channel;
    let options = BasicConsumeOptions {
        no_ack: true,
        ..BasicConsumeOptions::default()
    };
    let mut replies =
        bounded(channel.basic_consume(REPLY_TO.into(), "".into(), options, FieldTable::default())).await?;
    let mut confirms = FuturesUnordered::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            reply = replies.next() => match reply {
                Some(reply) => answered(waiting, &reply?),
                None => return Err(BusError("the broker ended the consumer".to_owned())),
            },
            Some((id, confirm)) = confirms.next() => confirmed(waiting, id, confirm)?,
            message = queue.recv(), if confirms.len() < UNCONFIRMED => {
                let Some(message) = message else { return Ok(()) };
                let (id, confirm) = publish(settings, line, message).await?;
                confirms.push(async move { (id, bounded(confirm).await) });
            }
        }
    }
}

async fn publish(
    settings: &AmqpSettings,
    line: &Line,
    message: Outgoing,
) -> Result<
    (
        Option<String>,
        impl Future<Output = lapin::Result<Confirmation>> + use<>,
    ),
    BusError,
> {
    let json = BasicProperties::default().with_content_type("application/json".into());
    let (id, key, options, properties, body) = match message {
        Outgoing::Hint(hint) => (
            None,
            settings.wake_queue(),
            BasicPublishOptions::default(),
            json.with_expiration(HINT_LIVES.into()),
            serde_json::to_vec(&hint),
        ),
        Outgoing::Call { id, request, deadline } => {
            let properties = json
                .with_correlation_id(id.clone().into())
                .with_reply_to(REPLY_TO.into())
                // Nobody waits for an answer after that.
                .with_expiration(deadline.as_millis().to_string().into());
            // Returned when there is no queue, and there is none without an engine.
            let options = BasicPublishOptions {
                mandatory: true,
                ..BasicPublishOptions::default()
            };
            (
                Some(id),
                settings.rpc_queue(),
                options,
                properties,
                serde_json::to_vec(&request),
            )
        }
    };
    let body = body.unwrap_or_default();
    let publish = line
        .channel
        .basic_publish("".into(), key.into(), options, &body, properties);
    Ok((id, bounded(publish).await?))
}

fn confirmed(waiting: &Waiting, id: Option<String>, confirm: Result<Confirmation, BusError>) -> Result<(), BusError> {
    let returned = match confirm? {
        Confirmation::Ack(returned) | Confirmation::Nack(returned) => returned.is_some(),
        Confirmation::NotRequested => false,
    };
    if returned
        && let Some(id) = id
        && let Some(reply) = map(waiting).remove(&id)
    {
        let _ = reply.send(Err(CallError::NoEngine));
    }
    Ok(())
}

fn answered(waiting: &Waiting, delivery: &Delivery) {
    let Some(id) = delivery.properties.correlation_id() else {
        return;
    };
    let Some(reply) = map(waiting).remove(id.as_str()) else {
        return;
    };
    let outcome = serde_json::from_slice(&delivery.data).map_err(|error| {
        tracing::warn!(%error, "an engine's answer cannot be read");
        CallError::NoEngine
    });
    let _ = reply.send(outcome);
}

//! Hearing hints, one engine each, through any number of broker restarts.

use futures_util::StreamExt;
use lapin::{
    options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions},
    types::FieldTable,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    AmqpSettings,
    line::{bounded, open},
    pause,
};
use crate::{BusError, Hint};

pub(super) async fn run(settings: AmqpSettings, hints: mpsc::Sender<Hint>, stop: CancellationToken) {
    let mut tries = 0;
    loop {
        match listen(&settings, &hints, &stop, &mut tries).await {
            Ok(()) => return,
            Err(error) => tracing::debug!(%error, "not hearing hints; trying again"),
        }
        if !pause(&mut tries, &stop).await {
            return;
        }
    }
}

async fn listen(
    settings: &AmqpSettings,
    hints: &mpsc::Sender<Hint>,
    stop: &CancellationToken,
    tries: &mut u32,
) -> Result<(), BusError> {
    let line = open(settings, "hear").await?;
    *tries = 0;
    bounded(line.channel.basic_qos(settings.prefetch, BasicQosOptions::default())).await?;
    let mut consumer = bounded(line.channel.basic_consume(
        settings.wake_queue().into(),
        "".into(),
        BasicConsumeOptions::default(),
        FieldTable::default(),
    ))
    .await?;
    loop {
        let delivery = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = hints.closed() => return Ok(()),
            delivery = consumer.next() => delivery,
        };
        let Some(delivery) = delivery else {
            return Err(BusError("the broker ended the consumer".to_owned()));
        };
        let delivery = delivery?;
        // Taken means done: the row is the truth, not the message.
        bounded(delivery.ack(BasicAckOptions::default())).await?;
        match serde_json::from_slice(&delivery.data) {
            Ok(hint) => {
                if hints.send(hint).await.is_err() {
                    return Ok(());
                }
            }
            Err(error) => tracing::warn!(%error, "a hint cannot be read"),
        }
    }
}

//! Answering requests. The queue lives only while an engine listens, so that
//! a request without an engine is returned at once.

use std::sync::Arc;

use futures_util::StreamExt;
use lapin::{
    BasicProperties,
    message::Delivery,
    options::{BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, QueueDeclareOptions},
    types::FieldTable,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    AmqpSettings,
    line::{Line, PATIENCE, bounded, open},
    pause,
};
use crate::{Answer, BusError, Fault, Reply, Request};

/// Requests that one engine answers at once.
const MAX_CONCURRENT_REQUESTS: u16 = 32;

pub(super) async fn run(settings: &AmqpSettings, answer: Arc<dyn Answer>, stop: CancellationToken) {
    let mut tries = 0;
    let running = TaskTracker::new();
    loop {
        match listen(settings, &answer, &stop, &running, &mut tries).await {
            Ok(()) => break,
            Err(error) => tracing::debug!(%error, "not answering requests; trying again"),
        }
        if !pause(&mut tries, &stop).await {
            break;
        }
    }
    running.close();
    // Whoever asked has a deadline too.
    if tokio::time::timeout(PATIENCE, running.wait()).await.is_err() {
        tracing::debug!(left = running.len(), "requests are left unanswered");
    }
}

async fn listen(
    settings: &AmqpSettings,
    answer: &Arc<dyn Answer>,
    stop: &CancellationToken,
    running: &TaskTracker,
    tries: &mut u32,
) -> Result<(), BusError> {
    let line = Arc::new(open(settings, "serve").await?);
    *tries = 0;
    let options = QueueDeclareOptions {
        auto_delete: true,
        ..QueueDeclareOptions::default()
    };
    let queue = settings.rpc_queue();
    bounded(
        line.channel
            .queue_declare(queue.as_str().into(), options, FieldTable::default()),
    )
    .await?;
    bounded(
        line.channel
            .basic_qos(MAX_CONCURRENT_REQUESTS, BasicQosOptions::default()),
    )
    .await?;
    let mut consumer = bounded(line.channel.basic_consume(
        queue.into(),
        "".into(),
        BasicConsumeOptions::default(),
        FieldTable::default(),
    ))
    .await?;
    loop {
        let delivery = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            delivery = consumer.next() => delivery,
        };
        let Some(delivery) = delivery else {
            return Err(BusError("the broker ended the consumer".to_owned()));
        };
        running.spawn(reply(line.clone(), answer.clone(), delivery?));
    }
}

async fn reply(line: Arc<Line>, answer: Arc<dyn Answer>, delivery: Delivery) {
    let outcome: Reply = match serde_json::from_slice::<Request>(&delivery.data) {
        Ok(request) => answer.answer(request).await,
        Err(error) => Err(Fault {
            status: 500,
            message: format!("The request cannot be read: {error}"),
        }),
    };
    let sent = async {
        if let (Some(to), Some(id)) = (delivery.properties.reply_to(), delivery.properties.correlation_id()) {
            let body = serde_json::to_vec(&outcome).unwrap_or_default();
            let properties = BasicProperties::default().with_correlation_id(id.clone());
            line.channel
                .basic_publish("".into(), to.clone(), BasicPublishOptions::default(), &body, properties)
                .await?;
        }
        delivery.ack(BasicAckOptions::default()).await
    };
    if let Err(error) = bounded(sent).await {
        tracing::debug!(%error, "an answer was lost with the broker");
    }
}

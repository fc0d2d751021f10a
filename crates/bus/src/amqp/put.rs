//! Messages for others, in queues of their own: rare, so each has a connection
//! of its own and is confirmed before anybody goes on.

use lapin::{BasicProperties, Confirmation, options::BasicPublishOptions};

use super::{
    AmqpSettings,
    line::{bounded, open},
};
use crate::{BusError, CallError};

pub(super) async fn put(settings: &AmqpSettings, queue: &str, text: String, seconds: u32) -> Result<(), CallError> {
    let sent = try_put(settings, &format!("{}.{queue}", settings.prefix), text, seconds).await;
    match sent {
        Ok(Confirmation::Ack(None) | Confirmation::NotRequested) => Ok(()),
        Ok(_) => Err(CallError::Unavailable),
        Err(error) => {
            tracing::warn!(%error, queue, "a message could not be put into a queue");
            Err(CallError::Unavailable)
        }
    }
}

async fn try_put(settings: &AmqpSettings, queue: &str, text: String, seconds: u32) -> Result<Confirmation, BusError> {
    const PERSISTENT: u8 = 2;
    let mut line = open(settings, "put").await?;
    line.durable(settings, queue).await?;
    let properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_delivery_mode(PERSISTENT)
        .with_expiration((u64::from(seconds) * 1000).to_string().into());
    let publish = async {
        let confirm = line.channel.basic_publish(
            "".into(),
            queue.into(),
            BasicPublishOptions::default(),
            text.as_bytes(),
            properties,
        );
        confirm.await?.await
    };
    bounded(publish).await
}

//! Lifecycle questions: a member that is to go is asked first, by a webhook or
//! by a queue of the message bus. Sent at least once.

use std::{sync::Arc, time::Duration};

use senlin_db::hooks::{self, Question};
use senlin_policies::engine::{Hook, Sink};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    Engine,
    outbound::{Ask, OutboundError},
    queue::worker,
};

/// Questions sent at once by one engine.
const MAX_CONCURRENT_QUESTIONS: i64 = 64;
/// Seconds until a question that could not be sent is sent again.
const AGAIN: f64 = 5.0;
/// Seconds that a webhook may take to answer.
const PATIENCE: u64 = 5;
/// Seconds that a message in a queue lives (contract/policies, "Hooks").
const MESSAGE_TTL: u32 = 300;

pub(crate) async fn run(engine: Arc<Engine>, shutdown: CancellationToken) {
    let mut timer = tokio::time::interval(Duration::from_secs_f64(engine.settings.watch));
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = timer.tick() => {}
        }
        let found = async { hooks::unsent(&mut engine.db.session(), MAX_CONCURRENT_QUESTIONS, AGAIN).await };
        match found.await {
            Ok(questions) => {
                for question in questions {
                    engine.tasks.spawn(send(engine.clone(), question));
                }
            }
            Err(error) => tracing::warn!(error = %worker::chain(&error), "no lifecycle questions are sent"),
        }
    }
}

/// What is sent (contract/policies, "Hooks").
fn message(question: &Question) -> Value {
    json!({"lifecycle_action_token": question.action, "node_id": question.node, "node_name": question.node_name,
        "resource_id": question.physical_id, "cluster_id": question.cluster,
        "lifecycle_transition_type": "termination"})
}

/// Sends one question; what fails is tried again until its time is up.
pub(crate) async fn send(engine: Arc<Engine>, question: Question) {
    let hook: Option<Hook> = serde_json::from_value(Value::Object(question.hook.clone())).ok();
    let text = message(&question).to_string();
    let sent = match hook.map(|h| h.sink) {
        None => Err("the hook cannot be read".to_owned()),
        Some(Sink::Zaqar { queue }) => engine
            .bus
            .put(&queue_name(&question.project, &queue), text, MESSAGE_TTL)
            .await
            .map_err(|e| worker::chain(&e)),
        Some(Sink::Webhook { url }) => post(&engine, &url, text).await,
    };
    let recorded = match sent {
        Ok(()) => async { hooks::sent(&mut engine.db.session(), question.action).await }.await,
        Err(reason) => {
            tracing::warn!(action = %question.action, reason, "a lifecycle question could not be sent");
            Ok(())
        }
    };
    if let Err(error) = recorded {
        tracing::warn!(error = %worker::chain(&error), "a lifecycle question may be sent twice");
    }
}

/// A queue's name on the bus: each project has its own.
pub(crate) fn queue_name(project: &str, queue: &str) -> String {
    format!("lifecycle.{project}.{queue}")
}

async fn post(engine: &Engine, url: &str, body: String) -> Result<(), String> {
    let ask = Ask {
        url,
        post: Some(body),
        timeout: Duration::from_secs(PATIENCE),
        verify: true,
        ours: false,
    };
    match engine.web.ask(&ask).await {
        Ok(answer) if (200..300).contains(&answer.status) => Ok(()),
        Ok(answer) => Err(format!("it was answered with {}", answer.status)),
        Err(OutboundError::Blocked(why) | OutboundError::Unreachable(why)) => Err(why),
    }
}

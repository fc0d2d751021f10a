//! Lifecycle questions: a member that is to go is asked first, by a webhook or
//! by a queue of the message bus. Sent at least once.

use std::{sync::Arc, time::Duration};

use senlin_db::{
    DbError,
    hooks::{self, Question},
};
use senlin_policies::engine::{Hook, Sink};
use serde_json::{Value, json};

use super::runner::{Scope, Task};
use crate::{
    Engine, Settings,
    failure::{self, Failure},
    outbound::{Ask, OutboundError},
};

/// Questions sent at once by one engine.
const MAX_CONCURRENT_QUESTIONS: i64 = 64;
/// Seconds until a question that could not be sent is sent again.
const AGAIN: f64 = 5.0;
/// Seconds that a webhook may take to answer.
const PATIENCE: u64 = 5;
/// Seconds that a message in a queue lives.
const MESSAGE_TTL: u32 = 300;

/// Sends lifecycle questions.
pub struct Questions;

impl Task for Questions {
    type Item = Question;
    const NAME: &'static str = "hooks";

    fn period(settings: &Settings) -> Option<Duration> {
        Some(Duration::from_secs_f64(settings.watch))
    }

    async fn due(engine: &Arc<Engine>, scope: Scope) -> Result<Vec<Question>, DbError> {
        let most = scope.limit(MAX_CONCURRENT_QUESTIONS);
        hooks::unsent(&mut engine.db.session(), most, scope.every(AGAIN)).await
    }

    async fn run_one(engine: &Arc<Engine>, question: Question) -> Result<(), Failure> {
        send(engine, &question).await
    }

    fn about(question: &Question) -> String {
        format!("action {}", question.action)
    }
}

/// What is sent.
fn message(question: &Question) -> Value {
    json!({"lifecycle_action_token": question.action, "node_id": question.node, "node_name": question.node_name,
        "resource_id": question.physical_id, "cluster_id": question.cluster,
        "lifecycle_transition_type": "termination"})
}

/// Sends one question; what fails is tried again until its time is up.
async fn send(engine: &Engine, question: &Question) -> Result<(), Failure> {
    let hook: Option<Hook> = serde_json::from_value(Value::Object(question.hook.clone())).ok();
    let text = message(question).to_string();
    let sent = match hook.map(|h| h.sink) {
        None => Err("the hook cannot be read".to_owned()),
        Some(Sink::Zaqar { queue }) => engine
            .bus
            .put(&queue_name(&question.project, &queue), text, MESSAGE_TTL)
            .await
            .map_err(|e| failure::chain(&e)),
        Some(Sink::Webhook { url }) => post(engine, &url, text).await,
    };
    sent.map_err(|reason| Failure::NotYet(format!("a lifecycle question could not be sent: {reason}")))?;
    // If this fails, it is sent twice.
    hooks::sent(&mut engine.db.session(), question.action).await?;
    Ok(())
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

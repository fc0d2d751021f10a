//! From the engine's words to ours; nothing secret comes through.

use bollard::models::{ContainerInspectResponse, ContainerSummary as DockerSummary};
use senlin_core::driver::{ContainerState, ContainerSummary};
use serde_json::Value;

pub(super) fn summary(container: DockerSummary) -> Option<ContainerSummary> {
    Some(ContainerSummary {
        id: container.id?,
        name: container
            .names
            .unwrap_or_default()
            .first()
            .map(|n| bare(n))
            .unwrap_or_default(),
        state: container.state.map(|s| s.to_string()).unwrap_or_default(),
        labels: container.labels.unwrap_or_default().into_iter().collect(),
    })
}

fn bare(name: &str) -> String {
    name.trim_start_matches('/').to_owned()
}

pub(super) fn state(shown: ContainerInspectResponse) -> ContainerState {
    let state = shown.state.clone().unwrap_or_default();
    let labels = shown.config.as_ref().and_then(|c| c.labels.clone()).unwrap_or_default();
    let status = state.status.map(|s| s.to_string()).unwrap_or_default();
    let ended = matches!(status.as_str(), "exited" | "dead");
    ContainerState {
        id: shown.id.clone().unwrap_or_default(),
        name: bare(shown.name.as_deref().unwrap_or_default()),
        exit_code: state.exit_code.filter(|_| ended),
        health: state
            .health
            .and_then(|h| h.status)
            .map(|s| s.to_string())
            .filter(|s| !s.is_empty() && s != "none"),
        error: state.error.filter(|e| !e.is_empty()),
        labels: labels.into_iter().collect(),
        document: redact(serde_json::to_value(&shown).unwrap_or_default()),
        status,
    }
}

/// Environment values, and log options that look like credentials.
pub(crate) fn redact(mut document: Value) -> Value {
    if let Some(Value::Array(env)) = document.pointer_mut("/Config/Env") {
        for entry in env {
            let name = entry
                .as_str()
                .and_then(|e| e.split('=').next())
                .unwrap_or_default()
                .to_owned();
            *entry = Value::String(format!("{name}=***"));
        }
    }
    if let Some(Value::Object(options)) = document.pointer_mut("/HostConfig/LogConfig/Config") {
        for (key, value) in options {
            let key = key.to_lowercase();
            if ["token", "secret", "password", "key", "credential"]
                .iter()
                .any(|word| key.contains(word))
            {
                *value = Value::String("***".to_owned());
            }
        }
    }
    document
}

//! From the engine's words to ours; nothing secret comes through.

use bollard::models::{
    ContainerInspectResponse, ContainerStatsResponse, ContainerSummary as DockerSummary, EventMessage, PortSummary,
    PortSummaryTypeEnum,
};
use senlin_core::driver::{ContainerEvent, ContainerState, ContainerSummary, Usage};
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
        // The list has it only in words, such as "Up 5 minutes (unhealthy)".
        health: container.status.as_deref().and_then(health).map(str::to_owned),
        address: container
            .network_settings
            .and_then(|s| s.networks)
            .and_then(|n| n.into_values().find_map(|e| e.ip_address.filter(|a| !a.is_empty()))),
        ports: ports(container.ports.unwrap_or_default()),
        labels: container.labels.unwrap_or_default().into_iter().collect(),
    })
}

/// Published TCP ports, each once: an engine lists one per address family.
fn ports(list: Vec<PortSummary>) -> Vec<(u16, u16)> {
    let tcp = |p: &PortSummary| p.typ == Some(PortSummaryTypeEnum::TCP);
    let mut ports: Vec<_> = list
        .iter()
        .filter(|p| tcp(p))
        .filter_map(|p| Some((p.private_port, p.public_port?)))
        .collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

fn health(words: &str) -> Option<&'static str> {
    [
        ("(unhealthy)", "unhealthy"),
        ("(healthy)", "healthy"),
        ("(health: starting)", "starting"),
    ]
    .into_iter()
    .find(|(part, _)| words.ends_with(part))
    .map(|(_, health)| health)
}

/// What a container has used; the page cache that can be given back is not counted.
pub(super) fn usage(container: &ContainerSummary, stats: &ContainerStatsResponse) -> Usage {
    let memory = stats.memory_stats.as_ref();
    let reclaimable = memory
        .and_then(|m| m.stats.as_ref())
        .and_then(|s| s.get("total_inactive_file").or_else(|| s.get("inactive_file")))
        .copied()
        .unwrap_or(0);
    let cpu = stats.cpu_stats.as_ref().and_then(|c| c.cpu_usage.as_ref());
    Usage {
        id: container.id.clone(),
        labels: container.labels.clone(),
        cpu_ns: cpu.and_then(|c| c.total_usage).unwrap_or(0),
        memory: memory.and_then(|m| m.usage).unwrap_or(0).saturating_sub(reclaimable),
    }
}

pub(super) fn event(message: EventMessage) -> Option<ContainerEvent> {
    let actor = message.actor?;
    Some(ContainerEvent {
        id: actor.id?,
        action: message.action?,
        labels: actor.attributes.unwrap_or_default().into_iter().collect(),
        at: message.time.unwrap_or(0),
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
        restarts: shown.restart_count.unwrap_or(0),
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

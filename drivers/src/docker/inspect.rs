//! From the engine's words to ours: cleaned and bounded, and nothing secret
//! comes through.

use std::collections::BTreeMap;

use bollard::models::{
    ContainerInspectResponse, ContainerStatsResponse, ContainerSummary as DockerSummary, EventMessage, PortSummary,
    PortSummaryTypeEnum,
};
use senlin_core::{
    driver::{ContainerEvent, ContainerState, ContainerSummary, Usage},
    text::{NAME, WORDS, clean, clean_document},
};
use serde_json::Value;

pub(super) fn summary(container: DockerSummary) -> Option<ContainerSummary> {
    Some(ContainerSummary {
        id: clean(&container.id?, NAME),
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
            .and_then(|n| n.into_values().find_map(|e| e.ip_address.filter(|a| !a.is_empty())))
            .map(|a| clean(&a, NAME)),
        ports: ports(container.ports.unwrap_or_default()),
        created: container.created.unwrap_or(0),
        labels: labels(container.labels.unwrap_or_default()),
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
        id: clean(&actor.id?, NAME),
        action: clean(&message.action?, NAME),
        labels: labels(actor.attributes.unwrap_or_default()),
        at: message.time.unwrap_or(0),
    })
}

fn bare(name: &str) -> String {
    clean(name.trim_start_matches('/'), NAME)
}

/// Labels that are kept of one thing; more than any tool sets.
const MAX_LABELS: usize = 1000;

/// Labels as they may be kept, ours before all others.
pub(super) fn labels(said: impl IntoIterator<Item = (String, String)>) -> BTreeMap<String, String> {
    let (own, others): (Vec<_>, Vec<_>) = said.into_iter().partition(|(key, _)| key.starts_with("senlin."));
    own.into_iter()
        .chain(others)
        .take(MAX_LABELS)
        .map(|(key, value)| (clean(&key, NAME), clean(&value, WORDS)))
        .collect()
}

pub(super) fn state(shown: ContainerInspectResponse) -> ContainerState {
    let state = shown.state.clone().unwrap_or_default();
    let restarts = shown.restart_count.unwrap_or(0);
    let said = shown.config.as_ref().and_then(|c| c.labels.clone()).unwrap_or_default();
    let mut document = redact(serde_json::to_value(&shown).unwrap_or_default());
    clean_document(&mut document);
    let status = state.status.map(|s| s.to_string()).unwrap_or_default();
    let ended = matches!(status.as_str(), "exited" | "dead");
    ContainerState {
        id: clean(shown.id.as_deref().unwrap_or_default(), NAME),
        name: bare(shown.name.as_deref().unwrap_or_default()),
        exit_code: state.exit_code.filter(|_| ended),
        health: state
            .health
            .and_then(|h| h.status)
            .map(|s| s.to_string())
            .filter(|s| !s.is_empty() && s != "none"),
        error: state.error.filter(|e| !e.is_empty()).map(|e| clean(&e, WORDS)),
        restarts,
        labels: labels(said),
        document,
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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use bollard::models::{ContainerConfig, ContainerState as DockerState};

    use super::*;

    #[test]
    fn g1_what_an_engine_says_of_a_container_can_be_stored() {
        let seen = state(ContainerInspectResponse {
            id: Some("ab\0cd".to_owned()),
            name: Some("/we\nb".to_owned()),
            config: Some(ContainerConfig {
                labels: Some(HashMap::from([("k\0".to_owned(), "v\u{1b}".repeat(10_000))])),
                ..ContainerConfig::default()
            }),
            state: Some(DockerState {
                error: Some("oci:\0 failed\nforged".to_owned()),
                ..DockerState::default()
            }),
            ..ContainerInspectResponse::default()
        });
        assert_eq!((seen.id.as_str(), seen.name.as_str()), ("ab cd", "we b"));
        assert_eq!(seen.error.as_deref(), Some("oci:  failed forged"));
        assert_eq!(seen.labels["k "].len(), WORDS);
        assert!(!seen.document.to_string().contains("\\u0000"));
        let many = (0..5000).map(|n| (format!("l{n}"), String::new()));
        let kept = labels(many.chain([("senlin.node".to_owned(), "id".to_owned())]));
        assert_eq!((kept.len(), kept["senlin.node"].as_str()), (MAX_LABELS, "id"));
    }
}

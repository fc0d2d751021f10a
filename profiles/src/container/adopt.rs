//! Adopt: properties from a container that already runs.

use std::collections::BTreeMap;

use senlin_core::{
    Map,
    driver::{ContainerDriver, LABEL_NODE},
    ids::NodeId,
    profile_type::ProfileError,
};
use serde_json::{Value, json};

/// The container's full id, and properties that describe it. Environment
/// values are not read back: the engine shows them to nobody.
pub(super) async fn adopt(
    driver: &dyn ContainerDriver,
    identity: &str,
    overrides: &Map,
    version: &str,
    of: Option<NodeId>,
) -> Result<(String, Map), ProfileError> {
    let state = driver.inspect(identity).await?;
    let node = state.labels.get(LABEL_NODE);
    if let Some(node) = node.filter(|node| of.is_none_or(|of| of.to_string() != **node)) {
        return Err(ProfileError::State(format!(
            "The container '{identity}' belongs to node '{node}' already."
        )));
    }
    let at = |path: &str| state.document.pointer(path).cloned().unwrap_or(Value::Null);
    let mut properties = Map::new();
    properties.insert("image".to_owned(), at("/Config/Image"));
    properties.insert("name".to_owned(), state.name.clone().into());
    let command: Vec<String> = serde_json::from_value(at("/Config/Cmd")).unwrap_or_default();
    if !command.is_empty() {
        let command = if version == "1.0" {
            Value::String(quoted(&command))
        } else {
            json!(command)
        };
        properties.insert("command".to_owned(), command);
    }
    // Our own labels are made anew with each container.
    let theirs = |(key, _): &(&String, &String)| !key.starts_with("senlin.");
    let labels: BTreeMap<&String, &String> = state.labels.iter().filter(theirs).collect();
    if version != "1.0" && !labels.is_empty() {
        properties.insert("labels".to_owned(), json!(labels));
    }
    if version != "1.0" {
        properties.extend(taken(&state.document));
    }
    properties.extend(overrides.clone());
    Ok((state.id, properties))
}

/// What it takes of its host, and the time to end: as it was started with.
fn taken(document: &Value) -> Map {
    let mut taken = Map::new();
    let bindings = document.pointer("/HostConfig/PortBindings").and_then(Value::as_object);
    let ports: Vec<Value> = bindings
        .into_iter()
        .flatten()
        .flat_map(|(inside, outside)| outside.as_array().into_iter().flatten().map(move |b| (inside, b)))
        .filter_map(|(inside, binding)| {
            let text = |key: &str| binding.get(key).and_then(Value::as_str).unwrap_or_default();
            let (container, protocol) = inside.split_once('/').unwrap_or((inside, "tcp"));
            let mut port = Map::from_iter([
                ("container".to_owned(), container.parse::<u16>().ok()?.into()),
                ("protocol".to_owned(), protocol.into()),
            ]);
            if let Some(host) = text("HostPort").parse::<u16>().ok().filter(|p| *p > 0) {
                port.insert("host".to_owned(), host.into());
            }
            if !matches!(text("HostIp"), "" | "0.0.0.0" | "::") {
                port.insert("host_ip".to_owned(), text("HostIp").into());
            }
            Some(Value::Object(port))
        })
        .collect();
    if !ports.is_empty() {
        taken.insert("ports".to_owned(), ports.into());
    }
    let number = |path: &str| document.pointer(path).and_then(Value::as_i64).filter(|n| *n > 0);
    if let Some(memory) = number("/HostConfig/Memory") {
        taken.insert("memory".to_owned(), memory.into());
    }
    let grace = document.pointer("/Config/StopTimeout").and_then(Value::as_i64);
    if let Some(grace) = grace.filter(|g| *g >= 0) {
        taken.insert("stop_grace_period".to_owned(), grace.into());
    }
    if let Some(nanos) = number("/HostConfig/NanoCpus") {
        #[expect(clippy::cast_precision_loss, reason = "a count of processors")]
        let processors = nanos as f64 / 1e9;
        taken.insert("cpu".to_owned(), processors.into());
    }
    taken
}

/// Words as one text that splits into them again.
fn quoted(words: &[String]) -> String {
    let quote = |w: &String| format!("'{}'", w.replace('\'', "'\\''"));
    words.iter().map(quote).collect::<Vec<_>>().join(" ")
}

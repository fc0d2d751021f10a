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
    properties.extend(overrides.clone());
    Ok((state.id, properties))
}

/// Words as one text that splits into them again.
fn quoted(words: &[String]) -> String {
    let quote = |w: &String| format!("'{}'", w.replace('\'', "'\\''"));
    words.iter().map(quote).collect::<Vec<_>>().join(" ")
}

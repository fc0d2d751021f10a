//! Adopt: properties from a container that already runs.

use senlin_core::{
    Map,
    driver::{ContainerDriver, LABEL_NODE},
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
) -> Result<(String, Map), ProfileError> {
    let state = driver.inspect(identity).await?;
    if let Some(node) = state.labels.get(LABEL_NODE) {
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
    if version != "1.0" && !state.labels.is_empty() {
        properties.insert("labels".to_owned(), json!(state.labels));
    }
    properties.extend(overrides.clone());
    Ok((state.id, properties))
}

/// Words as one text that splits into them again.
fn quoted(words: &[String]) -> String {
    let quote = |w: &String| format!("'{}'", w.replace('\'', "'\\''"));
    words.iter().map(quote).collect::<Vec<_>>().join(" ")
}

//! What end to end tests of policies do again and again.

use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

use crate::{http::text, programs::Plane};

/// How long one thing may take.
pub const MINUTE: Duration = Duration::from_secs(60);

/// Properties of a container that sleeps on the hosts, and these.
#[must_use]
pub fn container(extra: &Value) -> Value {
    let mut properties = json!({"image": "senlin/busybox:latest", "pull_policy": "never", "command": ["sleep", "100000"],
        "stop_grace_period": 0, "host_cluster": "hosts", "init": true});
    if let (Some(into), Some(from)) = (properties.as_object_mut(), extra.as_object()) {
        into.extend(from.clone());
    }
    properties
}

/// A cluster of such containers, ACTIVE.
///
/// # Errors
/// When it does not come up.
pub async fn web(plane: &Plane, name: &str, size: usize, extra: &Value) -> anyhow::Result<String> {
    let client = &plane.client;
    let profile = client
        .profile(name, "container.dockerinc.docker", "1.1", container(extra))
        .await?;
    let cluster = client.cluster(name, &profile, size.try_into()?).await?;
    client.active(&cluster, size, MINUTE).await?;
    Ok(cluster)
}

/// Makes a policy (`name-version`) and attaches it.
///
/// # Errors
/// When it is refused.
pub async fn attach(plane: &Plane, cluster: &str, kind: &str, properties: &Value) -> anyhow::Result<()> {
    let (type_name, version) = kind.rsplit_once('-').context("name-version")?;
    let spec = json!({"type": type_name, "version": version, "properties": properties});
    let made = plane
        .client
        .post("/v1/policies", &json!({"policy": {"name": type_name, "spec": spec}}))
        .await?;
    let body = json!({"policy_attach": {"policy_id": text(&made, "/policy/id")?, "enabled": true}});
    plane.client.act(cluster, &body, MINUTE).await
}

/// Everything that happened to a cluster, oldest first: action, status, reason.
///
/// # Errors
/// When the API does not answer.
pub async fn story(plane: &Plane, cluster: &str) -> anyhow::Result<Vec<String>> {
    let path = format!("/v1/events?cluster_id={cluster}&sort=timestamp:asc&limit=500");
    let events = plane.client.get(&path).await?;
    let line = |e: &Value| {
        let part = |key: &str| e.get(key).and_then(Value::as_str).unwrap_or_default();
        format!("{} {}: {}", part("action"), part("status"), part("status_reason"))
    };
    let list = events.get("events").and_then(Value::as_array).context("events")?;
    Ok(list.iter().map(line).collect())
}

//! A project's containers as Prometheus' HTTP service discovery lists them.

use std::collections::BTreeMap;

use senlin_core::{
    Map,
    driver::{ContainerSummary, LABEL_NODE, LABEL_OWNER, LABEL_PROJECT},
    ids::NodeId,
    profile_type::ProfileError,
};
use senlin_db::{hosts, targets};
use serde_json::{Value, json};

use crate::{Engine, failure::Failure, hosts::address};

/// A label of the container that names the one port to ask; without it every
/// published port is a target.
const PORT: &str = "prometheus.port";

/// `{"project"}` → `[{"targets": […], "labels": {…}}]`. A host that does not
/// answer is left out: its containers cannot be asked either.
pub(crate) async fn list(engine: &Engine, body: &Map) -> Result<Value, Failure> {
    let project = body
        .get("project")
        .and_then(Value::as_str)
        .ok_or_else(|| Failure::Refused("'project' is missing.".to_owned()))?;
    let mut conn = engine.db.session();
    let members = targets::of(&mut conn, project).await?;
    let mut by_host: BTreeMap<NodeId, BTreeMap<String, targets::Target>> = BTreeMap::new();
    for member in members {
        let on = by_host.entry(member.host_id).or_default();
        on.insert(member.id.to_string(), member);
    }
    let mut found = Vec::new();
    for (host, nodes) in by_host {
        match listed(engine, host, project).await {
            Ok((machine, containers)) => {
                for container in containers.iter().filter(|c| c.state == "running") {
                    let node = container.labels.get(LABEL_NODE).and_then(|id| nodes.get(id));
                    found.extend(node.and_then(|n| target(&machine, container, n)));
                }
            }
            Err(failure) => tracing::debug!(%host, %failure, "a host's containers are no targets now"),
        }
    }
    Ok(Value::Array(found))
}

async fn listed(engine: &Engine, host: NodeId, project: &str) -> Result<(String, Vec<ContainerSummary>), Failure> {
    let mut conn = engine.db.session();
    let driver = engine
        .connections
        .driver(&mut conn, &engine.profile_cache, host)
        .await?;
    let machine = hosts::get(&mut conn, host)
        .await?
        .map(|h| address(&h.endpoint))
        .unwrap_or_default();
    let machine = if machine.is_empty() || machine.starts_with('/') {
        "127.0.0.1".to_owned()
    } else {
        machine
    };
    let labels = [(LABEL_OWNER, engine.installation.as_str()), (LABEL_PROJECT, project)];
    Ok((machine, driver.find(&labels).await.map_err(ProfileError::from)?))
}

fn target(machine: &str, container: &ContainerSummary, node: &targets::Target) -> Option<Value> {
    let wanted = container.labels.get(PORT).and_then(|p| p.parse::<u16>().ok());
    let mut targets: Vec<String> = container
        .ports
        .iter()
        .filter(|(inside, _)| wanted.is_none_or(|w| w == *inside))
        .map(|(_, outside)| format!("{machine}:{outside}"))
        .collect();
    if let (true, Some(port), Some(own)) = (targets.is_empty(), wanted, &container.address) {
        targets.push(format!("{own}:{port}"));
    }
    if targets.is_empty() {
        return None;
    }
    let mut labels = BTreeMap::from([
        ("__meta_senlin_node_id".to_owned(), node.id.to_string()),
        ("__meta_senlin_node_name".to_owned(), node.name.clone()),
        ("__meta_senlin_host_id".to_owned(), node.host_id.to_string()),
        ("__meta_senlin_host_name".to_owned(), node.host_name.clone()),
        ("__meta_senlin_index".to_owned(), node.index.to_string()),
        ("__meta_senlin_role".to_owned(), node.role.clone().unwrap_or_default()),
    ]);
    if let Some((id, name)) = node.cluster.clone() {
        labels.insert("__meta_senlin_cluster_id".to_owned(), id.to_string());
        labels.insert("__meta_senlin_cluster_name".to_owned(), name);
    }
    for (name, value) in container.labels.iter().filter(|(k, _)| !k.starts_with("senlin.")) {
        let clean: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .collect();
        labels.insert(format!("__meta_senlin_label_{clean}"), value.clone());
    }
    Some(json!({"targets": targets, "labels": labels}))
}

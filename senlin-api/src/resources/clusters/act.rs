//! `POST /v1/clusters/{id}/actions` and `/ops`.

use actix_web::HttpResponse;
use senlin_core::{
    Map,
    action::ActionKind,
    cluster::Cluster,
    ids::*,
    node::{Node, NodeStatus},
};
use senlin_db::nodes;
use senlin_openapi::Microversion;
use senlin_policies::size::{self, Adjustment, Bounds};
use serde_json::{Value, json};

use super::{find, target};
use crate::{
    error::{ApiError, Result},
    fields::Fields,
    request::Call,
    resources::{action, only_key, record},
};

fn refuse<T>(text: String) -> Result<T> {
    Err(ApiError::BadRequest(text))
}

/// One key says what to do.
pub async fn act(call: Call) -> Result<HttpResponse> {
    let (verb, params) = only_key(call.body.as_ref())?;
    let known = [
        "add_nodes",
        "del_nodes",
        "replace_nodes",
        "scale_out",
        "scale_in",
        "resize",
        "check",
        "recover",
        "policy_attach",
        "policy_detach",
        "policy_update",
        "complete_lifecycle",
    ];
    if !known.contains(&verb.as_str()) {
        return refuse(format!("Unrecognized action '{verb}' specified"));
    }
    let cluster = find(&call, &call.identity).await?;
    let (kind, inputs) = match verb.as_str() {
        "add_nodes" => add_nodes(&call, &cluster, params).await?,
        "del_nodes" => del_nodes(&call, &cluster, params).await?,
        "replace_nodes" => {
            call.since(3)?;
            replace_nodes(&call, &cluster, params).await?
        }
        "scale_out" => scale(&call, &cluster, params, ActionKind::ClusterScaleOut)?,
        "scale_in" => scale(&call, &cluster, params, ActionKind::ClusterScaleIn)?,
        "resize" => resize(&call, &cluster, params)?,
        "check" => (ActionKind::ClusterCheck, params),
        "recover" => (
            ActionKind::ClusterRecover,
            recover(params, &["operation", "operation_params", "check", "check_capacity"])?,
        ),
        other => return Err(ApiError::NotSupported(format!("This release cannot do '{other}' yet."))),
    };
    let new = action(&call, kind, &target(&cluster), inputs);
    let id = record(&call, &new, &cluster.name, true).await?;
    Ok(call.started(id))
}

fn bounds(call: &Call, cluster: &Cluster) -> Bounds {
    Bounds {
        limit: call.api.settings.max_nodes_per_cluster,
        ..Bounds::of(cluster)
    }
}

fn size_of(cluster: &Cluster) -> i32 {
    i32::try_from(cluster.nodes.len()).unwrap_or(i32::MAX)
}

fn grown_by(cluster: &Cluster, nodes: usize) -> i32 {
    size_of(cluster).saturating_add(i32::try_from(nodes).unwrap_or(i32::MAX))
}

fn quoted<T: ToString>(list: &[T]) -> String {
    format!(
        "[{}]",
        list.iter()
            .map(|i| format!("'{}'", i.to_string()))
            .collect::<Vec<_>>()
            .join(", ")
    )
}

/// Nodes by name or id; those that are not there are named.
async fn resolve(call: &Call, identities: &[String]) -> Result<Vec<Node>> {
    let mut conn = call.conn().await?;
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for identity in identities {
        match nodes::find(&mut conn, &call.scope(), identity).await? {
            Some(node) => found.push(node),
            None => missing.push(identity.clone()),
        }
    }
    if missing.is_empty() {
        Ok(found)
    } else {
        refuse(format!("Nodes not found: {}.", quoted(&missing)))
    }
}

/// Nodes that may become members: orphans, ACTIVE, of the same type.
fn joinable(cluster: &Cluster, nodes: &[Node]) -> Result<()> {
    let ids = |bad: &dyn Fn(&Node) -> bool| nodes.iter().filter(|n| bad(n)).map(|n| n.id).collect::<Vec<NodeId>>();
    let owned = ids(&|n| n.cluster_id.is_some());
    if !owned.is_empty() {
        return refuse(format!("Nodes {} already owned by some cluster.", quoted(&owned)));
    }
    let inactive = ids(&|n| n.status != NodeStatus::Active);
    if !inactive.is_empty() {
        return refuse(format!("Nodes are not ACTIVE: {}.", quoted(&inactive)));
    }
    let other = ids(&|n| n.profile_type != cluster.profile_type);
    if !other.is_empty() {
        return refuse(format!(
            "Profile type of nodes {} does not match that of the cluster.",
            quoted(&other)
        ));
    }
    Ok(())
}

async fn add_nodes(call: &Call, cluster: &Cluster, params: Map) -> Result<(ActionKind, Map)> {
    let identities = Fields::new(params, &["nodes"])?.identities("nodes")?;
    let nodes = resolve(call, &identities).await?;
    joinable(cluster, &nodes)?;
    size::check(
        Some(grown_by(cluster, nodes.len())),
        None,
        None,
        true,
        bounds(call, cluster),
    )?;
    let ids: Vec<NodeId> = nodes.iter().map(|n| n.id).collect();
    Ok((
        ActionKind::ClusterAddNodes,
        Map::from_iter([("nodes".to_owned(), json!(ids))]),
    ))
}

async fn del_nodes(call: &Call, cluster: &Cluster, params: Map) -> Result<(ActionKind, Map)> {
    let fields = Fields::new(params, &["nodes", "destroy_after_deletion"])?;
    let identities = fields.identities("nodes")?;
    let destroy = fields
        .boolean("destroy_after_deletion")?
        .filter(|_| call.version >= Microversion(1, 4));
    let nodes = resolve(call, &identities).await?;
    let strangers: Vec<NodeId> = nodes
        .iter()
        .filter(|n| n.cluster_id != Some(cluster.id))
        .map(|n| n.id)
        .collect();
    if !strangers.is_empty() {
        return refuse(format!(
            "Nodes not members of specified cluster: {}.",
            quoted(&strangers)
        ));
    }
    if let Some(host) = nodes.iter().find(|n| !n.dependent_nodes.is_empty()) {
        return Err(ApiError::InUse {
            kind: "node",
            identity: host.name.clone(),
            reason: "there are still containers that depend on it".to_owned(),
        });
    }
    let left = size_of(cluster) - i32::try_from(nodes.len()).unwrap_or(0);
    size::check(Some(left), None, None, true, bounds(call, cluster))?;
    let ids: Vec<NodeId> = nodes.iter().map(|n| n.id).collect();
    let inputs = json!({"candidates": ids, "count": ids.len(), "destroy_after_deletion": destroy.unwrap_or(false)});
    Ok((ActionKind::ClusterDelNodes, as_map(inputs)))
}

async fn replace_nodes(call: &Call, cluster: &Cluster, params: Map) -> Result<(ActionKind, Map)> {
    let fields = Fields::new(params, &["nodes"])?;
    fields.required("nodes")?;
    let pairs = fields.map("nodes")?.unwrap_or_default();
    if pairs.is_empty() {
        return refuse("Value for 'nodes' must have at least 1 item(s).".to_owned());
    }
    let (mut old, mut new) = (Vec::new(), Vec::new());
    for (from, to) in &pairs {
        match to.as_str() {
            Some(to) => {
                old.push(from.clone());
                new.push(to.to_owned());
            }
            None => return refuse(format!("Field `nodes[{from}]' cannot be None")),
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    if !new.iter().all(|n| seen.insert(n)) {
        return refuse("Map contains duplicated values".to_owned());
    }
    let (old, new) = (resolve(call, &old).await?, resolve(call, &new).await?);
    let strangers: Vec<NodeId> = old
        .iter()
        .filter(|n| n.cluster_id != Some(cluster.id))
        .map(|n| n.id)
        .collect();
    if !strangers.is_empty() {
        return refuse(format!(
            "The specified nodes {} to be replaced are not members of the cluster {}.",
            quoted(&strangers),
            cluster.id
        ));
    }
    joinable(cluster, &new)?;
    let candidates: Map = old
        .iter()
        .zip(&new)
        .map(|(o, n)| (o.id.to_string(), json!(n.id)))
        .collect();
    Ok((
        ActionKind::ClusterReplaceNodes,
        Map::from_iter([("candidates".to_owned(), candidates.into())]),
    ))
}

fn scale(call: &Call, cluster: &Cluster, mut params: Map, kind: ActionKind) -> Result<(ActionKind, Map)> {
    params.retain(|key, _| key == "count");
    let fields = Fields::new(params, &["count"])?;
    let Some(count) = fields.integer("count", 0, i32::MAX)? else {
        return Ok((kind, Map::new()));
    };
    if count == 0 {
        return refuse("Count for scale-in/out request cannot be 0.".to_owned());
    }
    let desired = match kind {
        ActionKind::ClusterScaleOut => size_of(cluster).saturating_add(count),
        _ => (size_of(cluster) - count).max(0),
    };
    size::check(Some(desired), None, None, false, bounds(call, cluster))?;
    Ok((kind, Map::from_iter([("count".to_owned(), count.into())])))
}

fn resize(call: &Call, cluster: &Cluster, params: Map) -> Result<(ActionKind, Map)> {
    let most = call.api.settings.max_nodes_per_cluster;
    let fields = Fields::new(
        params,
        &[
            "adjustment_type",
            "number",
            "min_size",
            "max_size",
            "min_step",
            "strict",
        ],
    )?;
    let kind = fields.text("adjustment_type")?;
    let number = fields.number("number")?;
    let min = fields.integer("min_size", 0, most)?;
    let max = fields.integer("max_size", -1, most)?;
    let strict = fields.boolean("strict")?.unwrap_or(true);
    if kind.is_none() && number.is_none() && min.is_none() && max.is_none() {
        return refuse("Not enough parameters to do resize action.".to_owned());
    }
    let adjustment = match &kind {
        None => None,
        Some(name) => match Adjustment::parse(name) {
            Some(adjustment) => Some(adjustment),
            None => return refuse(format!("Value '{name}' is not acceptable for field 'adjustment_type'.")),
        },
    };
    let step = fields
        .integer("min_step", 0, i32::MAX)?
        .filter(|_| adjustment == Some(Adjustment::Percentage));
    let desired = match (adjustment, number) {
        (Some(adjustment), Some(number)) => {
            let whole = matches!(adjustment, Adjustment::Percentage) || number.fract() == 0.0;
            if !whole {
                return refuse(format!(
                    "The 'number' must be integer for adjustment type '{}'.",
                    kind.unwrap_or_default()
                ));
            }
            if adjustment == Adjustment::Exact && number < 0.0 {
                return refuse(
                    "The 'number' must be non-negative integer for adjustment type 'EXACT_CAPACITY'.".to_owned(),
                );
            }
            Some(size::desired(size_of(cluster), adjustment, number, step))
        }
        (Some(_), None) => return refuse("Missing number value for size adjustment.".to_owned()),
        (None, Some(_)) => return refuse("Missing adjustment_type value for size adjustment.".to_owned()),
        (None, None) => None,
    };
    let now = bounds(call, cluster);
    let wanted = if strict {
        desired
    } else {
        desired.map(|d| size::truncate(d, min, max, now))
    };
    size::check(wanted, min, max, strict, now)?;
    let inputs = json!({
        "adjustment_type": kind, "number": number, "min_size": min, "max_size": max, "min_step": step, "strict": strict,
    });
    Ok((ActionKind::ClusterResize, as_map(inputs)))
}

/// The parameters of a recovery.
pub(crate) fn recover(params: Map, allowed: &[&str]) -> Result<Map> {
    if let Some(key) = params.keys().find(|k| !allowed.contains(&k.as_str())) {
        return refuse(format!("Action parameter {key} is not recognizable."));
    }
    let fields = Fields::new(params, allowed)?;
    let mut inputs = Map::new();
    if let Some(operation) = fields.text("operation")? {
        let upper = operation.to_uppercase();
        if !matches!(upper.as_str(), "RESTART" | "RECREATE" | "REBOOT" | "REBUILD") {
            return refuse(format!(
                "Operation value '{operation}' has to be one of the following: RESTART, RECREATE, REBOOT, REBUILD."
            ));
        }
        inputs.insert("operation".to_owned(), upper.into());
    }
    if let Some(map) = fields.map("operation_params")? {
        inputs.insert("operation_params".to_owned(), map.into());
    }
    for key in ["check", "check_capacity", "force_recreate"] {
        if let Some(value) = fields.boolean(key)? {
            inputs.insert(key.to_owned(), value.into());
        }
    }
    Ok(inputs)
}

fn as_map(value: Value) -> Map {
    value.as_object().cloned().unwrap_or_default()
}

/// The operation of a body such as `{"restart": {"params": {}, "filters": {}}}`,
/// checked against what the profile type can do.
pub(crate) fn operation(call: &Call, profile_type: &str, name: &str, params: &Map) -> Result<Map> {
    let kind = call
        .api
        .registry
        .find(profile_type)
        .ok_or_else(|| ApiError::Internal(format!("profile type {profile_type} is not registered")))?;
    let found = kind.operations().into_iter().find(|o| o.name == name);
    let Some(found) = found else {
        return refuse(format!(
            "The requested operation '{name}' is not supported by the profile type '{profile_type}'."
        ));
    };
    found.parameters.check(params).map_err(|e| ApiError::BadRequest(e.0))
}

/// `POST /v1/clusters/{id}/ops`
pub async fn operate(call: Call) -> Result<HttpResponse> {
    call.since(4)?;
    let (name, body) = only_key(call.body.as_ref())?;
    let cluster = find(&call, &call.identity).await?;
    // Clients send the parameters bare; the contract nests them.
    let nested = body.keys().all(|k| k == "params" || k == "filters");
    let part = |key: &str| body.get(key).and_then(Value::as_object).cloned().unwrap_or_default();
    let (params, filters) = if nested {
        (part("params"), part("filters"))
    } else {
        (body, Map::new())
    };
    let params = operation(&call, &cluster.profile_type, &name, &params)?;
    if let Some(key) = filters
        .keys()
        .find(|k| !matches!(k.as_str(), "name" | "profile_id" | "status" | "role"))
    {
        return refuse(format!("Filter key '{key}' is unsupported"));
    }
    let mut conn = call.conn().await?;
    let mut ids = Vec::new();
    for id in &cluster.nodes {
        let Some(node) = nodes::get(&mut conn, *id).await? else {
            continue;
        };
        let is = |key: &str, have: &str| filters.get(key).and_then(Value::as_str).is_none_or(|want| want == have);
        if is("name", &node.name)
            && is("profile_id", &node.profile_id.to_string())
            && is("status", node.status.as_str())
            && is("role", node.role.as_deref().unwrap_or_default())
        {
            ids.push(node.id);
        }
    }
    drop(conn);
    if ids.is_empty() && !filters.is_empty() {
        return refuse(format!(
            "No node ({}) matched the specified filter.",
            Value::Object(filters)
        ));
    }
    let inputs = as_map(json!({"operation": name, "params": params, "nodes": ids}));
    let new = action(&call, ActionKind::ClusterOperation, &target(&cluster), inputs);
    let id = record(&call, &new, &cluster.name, true).await?;
    Ok(call.started(id))
}

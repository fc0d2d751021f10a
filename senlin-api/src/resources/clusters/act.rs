//! `POST /v1/clusters/{id}/actions` and `/ops`.

use actix_web::HttpResponse;
use senlin_core::{
    Map,
    action::{ActionKind, NewAction},
    cluster::Cluster,
    ids::ActionId,
};
use senlin_db::{
    actions::{self, Terms},
    hooks, nodes,
    quota::{self, Growth},
};
use senlin_openapi::versions;
use senlin_policies::size::Bounds;
use serde_json::{Value, json};

use super::{find, target};
use crate::{
    error::{ApiError, Result},
    fields::Fields,
    request::Call,
    resources::{ALONE, Words, action, no_room, only_key, record},
};

mod members;
mod policies;
mod sizes;

fn refuse<T>(text: String) -> Result<T> {
    Err(ApiError::BadRequest(text))
}

/// What a verb comes to once its parameters are checked: those first, then
/// whether the cluster is there, then whether it fits.
pub(crate) struct Planned {
    cluster: Cluster,
    kind: ActionKind,
    inputs: Map,
    /// The action's name where it is not the usual one.
    name: Option<String>,
    /// The size that it brings the cluster to, where it grows.
    size: Option<i32>,
}

impl Planned {
    pub(super) fn new(cluster: &Cluster, kind: ActionKind, inputs: Map) -> Self {
        Self {
            cluster: cluster.clone(),
            kind,
            inputs,
            name: None,
            size: None,
        }
    }

    /// The action to record, the cluster's name for messages, and the terms.
    pub(crate) fn into_action(self, call: &Call) -> (NewAction, String, Terms) {
        let mut new = action(call, self.kind, &target(&self.cluster), self.inputs);
        if let Some(name) = self.name {
            new.name = name;
        }
        let terms = Terms {
            size: self.size.map(|size| (size, call.api.settings.max_nodes_per_project)),
            exclusive: new.kind != ActionKind::ClusterDelete,
        };
        (new, self.cluster.name, terms)
    }
}

const CLUSTER: Words = Words {
    none: "No action specified",
    many: "Multiple actions specified",
    shape: "The data provided is not a map",
};

/// What may be asked of a cluster by name.
const VERBS: [&str; 13] = [
    "add_nodes",
    "del_nodes",
    "replace_nodes",
    "scale_out",
    "scale_in",
    "resize",
    "check",
    "recover",
    "rebalance",
    "policy_attach",
    "policy_detach",
    "policy_update",
    "complete_lifecycle",
];

/// One key says what to do.
pub async fn act(call: Call) -> Result<HttpResponse> {
    let (verb, params) = only_key(call.body.as_ref(), &CLUSTER)?;
    if !VERBS.contains(&verb.as_str()) {
        return refuse(format!("Unrecognized action '{verb}' specified"));
    }
    let params = params.ok_or_else(|| ApiError::BadRequest(CLUSTER.shape.to_owned()))?;
    if verb == "complete_lifecycle" {
        return complete_lifecycle(&call, params).await;
    }
    let mut params = params;
    let token = plan_token(&call, &verb, &mut params)?;
    let mut planned = plan(&call, &verb, params).await?;
    planned
        .inputs
        .extend(token.map(|t| ("plan_token".to_owned(), t.into())));
    let (new, name, terms) = planned.into_action(&call);
    let answer = call.started(new.id);
    record(&call, &new, &name, terms, answer).await
}

/// `plan_token` (1.15): the action is refused unless it does what that plan said.
fn plan_token(call: &Call, verb: &str, params: &mut Map) -> Result<Option<String>> {
    if call.version < versions::PLAN_TOKEN || !matches!(verb, "scale_out" | "scale_in" | "resize" | "del_nodes") {
        return Ok(None);
    }
    match params.remove("plan_token") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(token)) => Ok(Some(token)),
        Some(other) => refuse(format!(
            "The value '{other}' of 'plan_token' is not the token of a plan."
        )),
    }
}

/// `POST /v1/clusters/{id}/plan` (1.15): what an action would do.
pub async fn preview(call: Call) -> Result<HttpResponse> {
    const PLANNED: [&str; 7] = [
        "scale_out",
        "scale_in",
        "resize",
        "del_nodes",
        "recover",
        "rebalance",
        "update",
    ];
    let (verb, params) = only_key(call.body.as_ref(), &CLUSTER)?;
    if !PLANNED.contains(&verb.as_str()) {
        return refuse(format!(
            "There are plans for {} only, not for '{verb}'.",
            PLANNED.join(", ")
        ));
    }
    let params = params.ok_or_else(|| ApiError::BadRequest(CLUSTER.shape.to_owned()))?;
    let planned = match verb.as_str() {
        "update" => Planned::new(&find(&call, &call.identity).await?, ActionKind::ClusterUpdate, params),
        _ => plan(&call, &verb, params).await?,
    };
    if let Some(size) = planned.size {
        let (growth, most) = (
            Growth::To(planned.cluster.id, size),
            call.api.settings.max_nodes_per_project,
        );
        let project = &planned.cluster.project;
        if let Some(full) = quota::nodes(&mut call.conn(), project, growth, most).await? {
            return Err(no_room(&call, full));
        }
    }
    let body = as_map(
        json!({"cluster_id": planned.cluster.id, "action": planned.kind.as_str(),
        "inputs": planned.inputs}),
    );
    let told = call.api.ask("clusters.plan", body, &call.caller.request_id).await?;
    Ok(call.ok(&json!({"plan": told})))
}

/// Answers a lifecycle hook: the action that waits goes on; with `heartbeat`
/// (1.15) it waits anew. One that does not wait is answered as if it did, as
/// Senlin does.
async fn complete_lifecycle(call: &Call, params: Map) -> Result<HttpResponse> {
    call.since(9)?;
    let beats = call.version >= versions::LIFECYCLE_HEARTBEAT;
    let allowed: &[&str] = if beats {
        &["lifecycle_action_token", "heartbeat"]
    } else {
        &["lifecycle_action_token"]
    };
    let fields = Fields::new(params, allowed)?;
    fields.required("lifecycle_action_token")?;
    let token = fields.text("lifecycle_action_token")?.unwrap_or_default();
    let heartbeat = beats && fields.boolean("heartbeat")?.unwrap_or(false);
    let cluster = find(call, &call.identity).await?;
    let id: Option<ActionId> = token.parse().ok();
    let found = match id {
        Some(id) => actions::find(&mut call.conn(), &call.scope(), &id.to_string()).await?,
        None => None,
    };
    let action = found.ok_or(ApiError::NotFound {
        kind: "action",
        identity: token,
    })?;
    let mut conn = call.conn();
    if action.cluster_id == Some(cluster.id) {
        if heartbeat {
            hooks::heartbeat(&mut conn, action.id).await?;
        } else if hooks::answered(&mut conn, action.id, "The lifecycle hook was answered.").await? {
            call.api.wake(&[action.id], &call.caller.request_id);
        }
    }
    Ok(call.answer(&call.started(action.id)))
}

/// What `verb` comes to for the cluster that the call is about.
pub(crate) async fn plan(call: &Call, verb: &str, params: Map) -> Result<Planned> {
    match verb {
        "add_nodes" => members::add_nodes(call, params).await,
        "del_nodes" => members::del_nodes(call, params).await,
        "replace_nodes" => {
            call.since(3)?;
            members::replace_nodes(call, params).await
        }
        "scale_out" => sizes::scale(call, params, ActionKind::ClusterScaleOut).await,
        "scale_in" => sizes::scale(call, params, ActionKind::ClusterScaleIn).await,
        "resize" => sizes::resize(call, params).await,
        "check" => Ok(Planned::new(
            &find(call, &call.identity).await?,
            ActionKind::ClusterCheck,
            params,
        )),
        "recover" => {
            // Here Senlin looks for the cluster first.
            let cluster = find(call, &call.identity).await?;
            let inputs = recover(params, &["operation", "operation_params", "check", "check_capacity"])?;
            Ok(Planned::new(&cluster, ActionKind::ClusterRecover, inputs))
        }
        "rebalance" => {
            call.since(15)?;
            let fields = Fields::new(params, &["max_moves"])?;
            let most = fields.integer("max_moves", 1, call.api.settings.max_nodes_per_cluster)?;
            let inputs = most.map(|n| ("max_moves".to_owned(), n.into())).into_iter().collect();
            Ok(Planned::new(
                &find(call, &call.identity).await?,
                ActionKind::ClusterRebalance,
                inputs,
            ))
        }
        "policy_attach" => policies::attach(call, params).await,
        "policy_detach" => policies::detach(call, params).await,
        "policy_update" => policies::update(call, params).await,
        "delete" => super::deletable(call, true).await,
        other => refuse(format!("Unrecognized action '{other}' specified")),
    }
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

pub(crate) fn as_map(value: Value) -> Map {
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
    let (name, body) = only_key(call.body.as_ref(), &Words::OPERATION)?;
    let body = body.ok_or_else(|| ApiError::BadRequest(Words::OPERATION.shape.to_owned()))?;
    let cluster = find(&call, &call.identity).await?;
    // Clients send the parameters bare; the contract nests them.
    let nested = body.keys().all(|k| k == "params" || k == "filters");
    // What is no map is not as good as none: no filter means every member.
    let part = |key: &str| match body.get(key) {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(map)) => Ok(map.clone()),
        Some(other) => refuse(format!("The value '{other}' of '{key}' is not a map.")),
    };
    let (params, filters) = if nested {
        (part("params")?, part("filters")?)
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
    if let Some((key, value)) = filters.iter().find(|(_, value)| !value.is_string()) {
        return refuse(format!("The value '{value}' of the filter '{key}' is not a string."));
    }
    let mut ids = Vec::new();
    for node in nodes::members(&mut call.conn(), cluster.id).await? {
        let is = |key: &str, have: &str| filters.get(key).and_then(Value::as_str).is_none_or(|want| want == have);
        if is("name", &node.name)
            && is("profile_id", &node.profile_id.to_string())
            && is("status", node.status.as_str())
            && is("role", node.role.as_deref().unwrap_or_default())
        {
            ids.push(node.id);
        }
    }
    if ids.is_empty() && !filters.is_empty() {
        return refuse(format!(
            "No node ({}) matched the specified filter.",
            Value::Object(filters)
        ));
    }
    let inputs = as_map(json!({"operation": name, "params": params, "nodes": ids}));
    let new = action(&call, ActionKind::ClusterOperation, &target(&cluster), inputs);
    let answer = call.started(new.id);
    record(&call, &new, &cluster.name, ALONE, answer).await
}

//! `POST /v1/clusters/{id}/actions` and `/ops`.

use actix_web::HttpResponse;
use senlin_core::{
    Map,
    action::{
        ActionKind, NewAction,
        inputs::{self, Common, Operation, Rebalance, Recover},
    },
    cluster::Cluster,
    ids::ActionId,
};
use senlin_db::{
    actions::{self, Terms},
    hooks, nodes,
    quota::{self, Growth},
};
use senlin_openapi::{
    bodies::{ClusterAction, Lifecycle, Recovery},
    values::{Flag, Object, Text},
    versions,
};
use senlin_policies::size::Bounds;
use serde::Serialize;
use serde_json::{Value, json};

use super::{find, target};
use crate::{
    body::{self, Words, only_key},
    error::{ApiError, Result},
    request::Call,
    resources::{ALONE, action, no_room, record, size},
};

mod members;
mod policies;
mod sizes;

/// What a receiver may be made for: what has its own parameters to check.
pub(crate) const VERBS: [(ActionKind, &str); 13] = [
    (ActionKind::ClusterScaleOut, "scale_out"),
    (ActionKind::ClusterScaleIn, "scale_in"),
    (ActionKind::ClusterResize, "resize"),
    (ActionKind::ClusterCheck, "check"),
    (ActionKind::ClusterRecover, "recover"),
    (ActionKind::ClusterAddNodes, "add_nodes"),
    (ActionKind::ClusterDelNodes, "del_nodes"),
    (ActionKind::ClusterReplaceNodes, "replace_nodes"),
    (ActionKind::ClusterAttachPolicy, "policy_attach"),
    (ActionKind::ClusterDetachPolicy, "policy_detach"),
    (ActionKind::ClusterUpdatePolicy, "policy_update"),
    (ActionKind::ClusterRebalance, "rebalance"),
    (ActionKind::ClusterDelete, "delete"),
];

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
    /// The plan without which it is refused, if one is named.
    plan_token: Option<Text>,
}

impl Planned {
    pub(super) fn new(cluster: &Cluster, kind: ActionKind, inputs: &impl Serialize) -> Self {
        Self {
            cluster: cluster.clone(),
            kind,
            inputs: inputs::write(inputs),
            name: None,
            size: None,
            plan_token: None,
        }
    }

    /// The action to record, the cluster's name for messages, and the terms.
    pub(crate) fn into_action(self, call: &Call) -> (NewAction, String, Terms) {
        let mut inputs = self.inputs;
        inputs.extend(inputs::write(&Common {
            reason: None,
            plan_token: self.plan_token.map(|t| t.0),
        }));
        let mut new = action(call, self.kind, &target(&self.cluster), &inputs);
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

/// One key says what to do.
pub async fn act(call: Call) -> Result<HttpResponse> {
    let (verb, params) = only_key(call.body.as_ref(), &CLUSTER)?;
    if verb == "recover" {
        // Here Senlin looks for the cluster before it looks at the parameters.
        find(&call, &call.identity).await?;
    }
    let action = match body::action(&verb, params)? {
        ClusterAction::CompleteLifecycle(answer) => return complete_lifecycle(&call, answer).await,
        // Receivers may do it whatever their caller's version.
        ClusterAction::Rebalance(_) if call.version < versions::REBALANCE => {
            return Err(ApiError::MethodVersion(call.version));
        }
        action => action,
    };
    let (new, name, terms) = plan(&call, action).await?.into_action(&call);
    let answer = call.started(new.id);
    record(&call, &new, &name, terms, answer).await
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
    let planned = match verb.as_str() {
        "update" => Planned::new(&find(&call, &call.identity).await?, ActionKind::ClusterUpdate, &params),
        _ => plan(&call, body::action(&verb, params)?).await?,
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
async fn complete_lifecycle(call: &Call, answer: Lifecycle) -> Result<HttpResponse> {
    call.since(9)?;
    let Text(token) = answer.lifecycle_action_token;
    let heartbeat = call.known("heartbeat", answer.heartbeat, versions::LIFECYCLE_HEARTBEAT)?;
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
        if heartbeat == Some(Flag(true)) {
            hooks::heartbeat(&mut conn, action.id).await?;
        } else if hooks::answered(&mut conn, action.id, "The lifecycle hook was answered.").await? {
            call.api.wake(&[action.id], &call.caller.request_id);
        }
    }
    Ok(call.answer(&call.started(action.id)))
}

/// What a receiver's verb comes to; it may delete the cluster too.
pub(crate) async fn triggered(call: &Call, verb: &str, params: Map) -> Result<Planned> {
    match verb {
        "delete" => super::deletable(call, true).await,
        _ => plan(call, body::action(verb, params)?).await,
    }
}

/// What an action comes to for the cluster that the call is about.
async fn plan(call: &Call, action: ClusterAction) -> Result<Planned> {
    match action {
        ClusterAction::AddNodes(members) => members::add_nodes(call, members).await,
        ClusterAction::DelNodes(leaving) => members::del_nodes(call, leaving).await,
        ClusterAction::ReplaceNodes(replacement) => {
            call.since(3)?;
            members::replace_nodes(call, replacement).await
        }
        ClusterAction::ScaleOut(count) => sizes::scale(call, count, ActionKind::ClusterScaleOut).await,
        ClusterAction::ScaleIn(count) => sizes::scale(call, count, ActionKind::ClusterScaleIn).await,
        ClusterAction::Resize(resize) => sizes::resize(call, resize).await,
        ClusterAction::Check(params) => {
            let cluster = find(call, &call.identity).await?;
            Ok(Planned::new(&cluster, ActionKind::ClusterCheck, &params.0))
        }
        ClusterAction::Recover(Recovery {
            operation,
            operation_params,
            check,
            check_capacity,
        }) => {
            let cluster = find(call, &call.identity).await?;
            let inputs = Recover {
                check: check.map(|c| c.0),
                check_capacity: check_capacity.map(|c| c.0),
                ..recovery(operation, operation_params)?
            };
            Ok(Planned::new(&cluster, ActionKind::ClusterRecover, &inputs))
        }
        ClusterAction::Rebalance(rebalancing) => {
            let most = size(call, "max_moves", rebalancing.max_moves.map(|n| n.0))?;
            let inputs = Rebalance {
                max_moves: most.map(i64::from),
            };
            let cluster = find(call, &call.identity).await?;
            Ok(Planned::new(&cluster, ActionKind::ClusterRebalance, &inputs))
        }
        ClusterAction::PolicyAttach(binding) => policies::attach(call, binding).await,
        ClusterAction::PolicyDetach(policy) => policies::detach(call, policy).await,
        ClusterAction::PolicyUpdate(binding) => policies::update(call, binding).await,
        // It is answered at once: there is nothing to plan.
        ClusterAction::CompleteLifecycle(_) => refuse("Unrecognized action 'complete_lifecycle' specified".to_owned()),
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

/// The inputs of a recovery by an operation.
pub(crate) fn recovery(operation: Option<Text>, params: Option<Object>) -> Result<Recover> {
    let mut inputs = Recover {
        operation_params: params.map(|p| p.0),
        ..Recover::default()
    };
    if let Some(Text(operation)) = operation {
        let upper = operation.to_uppercase();
        if !matches!(upper.as_str(), "RESTART" | "RECREATE" | "REBOOT" | "REBUILD") {
            return refuse(format!(
                "Operation value '{operation}' has to be one of the following: RESTART, RECREATE, REBOOT, REBUILD."
            ));
        }
        inputs.operation = Some(upper);
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
    let inputs = Operation {
        operation: name,
        params,
        nodes: Some(ids),
    };
    let new = action(&call, ActionKind::ClusterOperation, &target(&cluster), &inputs);
    let answer = call.started(new.id);
    record(&call, &new, &cluster.name, ALONE, answer).await
}

//! Nodes.

use actix_web::HttpResponse;
use senlin_core::{
    Map,
    action::{
        ActionKind,
        inputs::{self, NodeDelete, NodeUpdate, Operation, Recover},
    },
    ids::*,
    naming,
    node::{Node, NodeStatus},
};
use senlin_db::{
    child_actions::NewNode,
    clusters as db_clusters,
    nodes::{self as db},
    page::Filter,
};
use senlin_openapi::{
    self as wire,
    bodies::{self, NodeAction, NodeChange, NodeRecovery},
    versions, views,
};
use serde_json::{Value, json};

use super::{ALONE, BESIDE, Target, action, clusters, no_room, profiles, record};
use crate::{
    body::{self, Words, only_key},
    error::{ApiError, Result},
    lists::{ListSpec, parse_list},
    request::Call,
};

pub(crate) mod adopt;

pub use adopt::{adopt, adopt_preview};

const LIST: ListSpec = ListSpec {
    filters: &[("name", "name"), ("status", "status")],
    sort: &[
        ("index", "index"),
        ("name", "name"),
        ("status", "status"),
        ("init_at", "init_at"),
        ("created_at", "created_at"),
        ("updated_at", "updated_at"),
    ],
    own: &["cluster_id"],
    allowed: |key, value| key != "status" || NodeStatus::parse(value).is_some(),
    quote: false,
};

/// `GET /v1/nodes`
pub async fn list(call: Call) -> Result<HttpResponse> {
    let mut query = parse_list(&call, &LIST)?;
    let mut conn = call.conn();
    if let Some((_, identity)) = call.query.iter().find(|(k, _)| k == "cluster_id") {
        let cluster = db_clusters::find(&mut conn, &call.scope(), identity)
            .await?
            .ok_or_else(|| ApiError::BadRequest(format!("Cannot find the given cluster: {identity}.")))?;
        query.filters.push(Filter {
            column: "cluster_id",
            values: vec![cluster.id.to_string()],
        });
    }
    let found = db::list(&mut conn, &query.scope, &query.filters, &query.page).await?;
    let shown = found.into_iter().map(|n| views::Node::of(n, call.version));
    Ok(call.list("nodes", shown))
}

async fn find(call: &Call, identity: &str) -> Result<Node> {
    db::find(&mut call.conn(), &call.scope(), identity)
        .await?
        .ok_or_else(|| ApiError::NotFound {
            kind: "node",
            identity: identity.to_owned(),
        })
}

/// `GET /v1/nodes/{id}`
pub async fn show(call: Call) -> Result<HttpResponse> {
    let mut detailed = false;
    for (key, value) in &call.query {
        if key != "show_details" {
            return Err(ApiError::BadRequest(format!("Invalid parameter {key}")));
        }
        detailed = matches!(value.to_lowercase().as_str(), "1" | "t" | "true" | "on" | "y" | "yes");
    }
    let node = find(&call, &call.identity).await?;
    let mut shown = wire::node(&node, call.version);
    if detailed
        && node.physical_id.is_some()
        && let Value::Object(map) = &mut shown
    {
        let body = Map::from_iter([("ids".to_owned(), json!([node.id]))]);
        let mut all = call.api.ask("nodes.details", body, &call.caller.request_id).await?;
        let details = all.get_mut(node.id.to_string()).map(Value::take).unwrap_or_default();
        map.insert("details".to_owned(), details);
    }
    Ok(call.ok(&json!({"node": shown})))
}

fn target<'a>(call: &Call, node: &'a Node) -> Target<'a> {
    Target {
        id: node.id.0,
        cluster: node.cluster_id,
        host: node.host_id,
        project: &node.project,
        timeout: call.api.settings.default_action_timeout,
    }
}

/// `POST /v1/nodes`
pub async fn create(call: Call) -> Result<HttpResponse> {
    let new: bodies::NewNode = call.envelope("node")?;
    let profile = profiles::specified(&call, &new.profile_id.0).await?;
    let cluster = match new.cluster_id {
        None => None,
        Some(identity) => Some(clusters::find(&call, &identity.0).await.map_err(|error| match error {
            ApiError::NotFound { identity, .. } => {
                ApiError::BadRequest(format!("The specified cluster '{identity}' could not be found."))
            }
            other => other,
        })?),
    };
    if let Some(cluster) = &cluster
        && cluster.profile_type != profile.type_name
    {
        return Err(ApiError::BadRequest(
            "Node and cluster have different profile type, operation aborted.".to_owned(),
        ));
    }
    let id = NodeId::random();
    let node = NewNode {
        id,
        name: new.name.0,
        cluster_id: cluster.as_ref().map(|c| c.id),
        profile_id: profile.id,
        user: call.caller.user.clone(),
        project: cluster
            .as_ref()
            .map_or_else(|| call.caller.project.clone(), |c| c.project.clone()),
        domain: call.caller.domain.clone(),
        index: -1,
        role: Some(new.role.map(|r| r.0).unwrap_or_default()),
        metadata: new.metadata.unwrap_or_default().0,
    };
    let goal = Target {
        id: id.0,
        cluster: node.cluster_id,
        host: None,
        project: &node.project,
        timeout: call.api.settings.default_action_timeout,
    };
    let recorded = action(&call, ActionKind::NodeCreate, &goal, &Map::new());
    let format = cluster
        .as_ref()
        .and_then(|c| c.config.get("node.name.format")?.as_str())
        .unwrap_or_default()
        .to_owned();
    let named = move |index| naming::node_name(&format, index, id.0.as_u64_pair().0);
    let answer = |made: &Node| call.accepted(recorded.id, json!({"node": wire::node(made, call.version)}));
    let (keep, most) = (call.store_response(&answer), call.api.settings.max_nodes_per_project);
    let made = db::create_named(&mut call.conn(), node, &recorded, named, most, &keep).await?;
    let gone = |what: &str, identity: String| {
        ApiError::BadRequest(format!("The specified {what} '{identity}' could not be found."))
    };
    let node = made.map_err(|refusal| match refusal {
        db::Refusal::NoRoom(full) => no_room(&call, full),
        db::Refusal::ProfileGone => gone("profile", profile.id.to_string()),
        db::Refusal::ClusterGone => gone("cluster", cluster.map(|c| c.name).unwrap_or_default()),
    })?;
    call.api.wake(&[recorded.id], &call.caller.request_id);
    Ok(call.answer(&answer(&node)))
}

/// `PATCH /v1/nodes/{id}`
pub async fn update(call: Call) -> Result<HttpResponse> {
    let change: NodeChange = call.envelope("node")?;
    let node = find(&call, &call.identity).await?;
    let tainted = call.newer("tainted", change.tainted, versions::TAINTED)?;
    let mut inputs = NodeUpdate {
        name: change.name.map(|n| n.0).filter(|n| *n != node.name),
        role: change.role.map(|r| r.0).filter(|r| Some(r) != node.role.as_ref()),
        metadata: change.metadata.map(|m| m.0).filter(|m| *m != node.metadata),
        tainted: tainted.map(|t| t.0).filter(|t| *t != node.tainted),
        ..NodeUpdate::default()
    };
    if let Some(identity) = change.profile_id {
        let profile = profiles::specified(&call, &identity.0).await?;
        if profile.type_name != node.profile_type {
            return Err(ApiError::BadRequest(
                "Cannot update a node to a different profile type, operation aborted.".to_owned(),
            ));
        }
        if profile.id != node.profile_id {
            profiles::stays(&call, &profile, &[node.id]).await?;
            inputs.new_profile_id = Some(profile.id);
        }
    }
    if inputs == NodeUpdate::default() {
        return Err(ApiError::BadRequest("No property needs an update.".to_owned()));
    }
    let new = action(&call, ActionKind::NodeUpdate, &target(&call, &node), &inputs);
    let answer = call.accepted(new.id, json!({"node": wire::node(&node, call.version)}));
    record(&call, &new, &node.name, ALONE, answer).await
}

/// `DELETE /v1/nodes/{id}`
pub async fn delete(call: Call) -> Result<HttpResponse> {
    let node = find(&call, &call.identity).await?;
    let force = clusters::force(&call)?;
    let busy = matches!(
        node.status,
        NodeStatus::Creating | NodeStatus::Updating | NodeStatus::Deleting | NodeStatus::Recovering
    );
    if busy && !force {
        return Err(ApiError::InProgress {
            kind: "node",
            identity: call.identity.clone(),
            status: node.status.as_str().to_owned(),
        });
    }
    let in_use = |reason: String| ApiError::InUse {
        kind: "node",
        identity: call.identity.clone(),
        reason,
    };
    if !node.dependent_nodes.is_empty() {
        let names = db::containers_on(&mut call.conn(), &[node.id]).await?;
        return Err(in_use(format!(
            "there are still containers on it: {}",
            names.join(", ")
        )));
    }
    if !node.dependent_profiles.is_empty() {
        let ids: Vec<String> = node.dependent_profiles.iter().map(ToString::to_string).collect();
        return Err(in_use(format!("profiles name it as host_node: {}", ids.join(", "))));
    }
    let new = action(
        &call,
        ActionKind::NodeDelete,
        &target(&call, &node),
        &NodeDelete { force },
    );
    let answer = call.accepted(new.id, Value::Null);
    record(&call, &new, &node.name, BESIDE, answer).await
}

/// `POST /v1/nodes/{id}/actions`
pub async fn act(call: Call) -> Result<HttpResponse> {
    let (verb, params) = only_key(call.body.as_ref(), &Words::ACTION)?;
    let (kind, inputs) = match body::action(&verb, params)? {
        NodeAction::Check(params) => (ActionKind::NodeCheck, params.0),
        NodeAction::Recover(NodeRecovery {
            operation,
            operation_params,
            check,
            force_recreate,
            ..
        }) => {
            let asked = Recover {
                check: check.map(|c| c.0),
                force_recreate: force_recreate.map(|f| f.0),
                ..clusters::recovery(operation, operation_params)?
            };
            (ActionKind::NodeRecover, inputs::write(&asked))
        }
    };
    let node = find(&call, &call.identity).await?;
    let new = action(&call, kind, &target(&call, &node), &inputs);
    let answer = call.started(new.id);
    record(&call, &new, &node.name, ALONE, answer).await
}

/// `POST /v1/nodes/{id}/ops`
pub async fn operate(call: Call) -> Result<HttpResponse> {
    let (name, params) = only_key(call.body.as_ref(), &Words::OPERATION)?;
    let node = find(&call, &call.identity).await?;
    let params = clusters::operation(&call, &node.profile_type, &name, &params)?;
    let inputs = Operation {
        operation: name,
        params,
        nodes: None,
    };
    let new = action(&call, ActionKind::NodeOperation, &target(&call, &node), &inputs);
    let answer = call.started(new.id);
    record(&call, &new, &node.name, BESIDE, answer).await
}

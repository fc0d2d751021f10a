//! Adopting what already runs: a host by its endpoint, a container by its id.

use actix_web::HttpResponse;
use senlin_core::{
    Map,
    host::HostInfo,
    ids::*,
    node::Node,
    profile_type::{Demand, ProfileType},
};
use senlin_db::{
    child_actions::NewNode,
    idempotency::Stored,
    nodes::{self, Adoption},
    placement::Place,
    profiles::NewProfile,
    quota::{self, Growth},
};
use senlin_openapi::{
    self as wire,
    bodies::{NodeAdopt, NodeAdoptPreview},
    values::{Object, Text},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{
    body,
    error::{ApiError, Result},
    request::Call,
    resources::{no_room, profiles::demand},
};

struct Seen {
    spec: Value,
    properties: Map,
    physical_id: String,
    host: Option<NodeId>,
    info: Option<HostInfo>,
}

/// Has an engine look at what is there.
async fn look(call: &Call, identity: Text, full: &str, overrides: Option<Object>) -> Result<Seen> {
    let Text(identity) = identity;
    let Object(mut overrides) = overrides.unwrap_or_default();
    let kind: &dyn ProfileType = call
        .api
        .registry
        .find(full)
        .map(AsRef::as_ref)
        .ok_or_else(|| ApiError::BadRequest(format!("The profile type '{full}' could not be found.")))?;
    let mut body = Map::new();
    if !kind.is_host() {
        let name = overrides.get("host_node").and_then(Value::as_str).ok_or_else(|| {
            ApiError::BadRequest("overrides.host_node must name the host that the container is on.".to_owned())
        })?;
        let host = nodes::find(&mut call.conn(), &call.scope(), name)
            .await?
            .ok_or_else(|| ApiError::BadRequest(format!("The specified host_node '{name}' could not be found.")))?;
        body.insert("host_node".to_owned(), json!(host.id));
        overrides.insert("host_node".to_owned(), host.id.to_string().into());
    }
    // Nothing secret goes over the bus in the clear.
    let sealed = if kind.is_host() {
        let properties = kind.adopted(&identity, &overrides)?;
        kind.validate(&properties, &call.api.rules)?;
        let sealed = kind
            .schema()
            .seal(&properties, &call.api.sealer)
            .map_err(|e| ApiError::Internal(e.to_string()))?;
        let mut first = sealed
            .get("endpoints")
            .and_then(|e| e.get(0))
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        first.remove("url");
        for shared in ["zone", "labels"] {
            if let Some(value) = sealed.get(shared) {
                first.insert(shared.to_owned(), value.clone());
            }
        }
        first
    } else {
        kind.schema()
            .seal(&overrides, &call.api.sealer)
            .map_err(|e| ApiError::Internal(e.to_string()))?
    };
    body.insert("type".to_owned(), full.into());
    body.insert("identity".to_owned(), identity.into());
    body.insert("overrides".to_owned(), sealed.into());
    let seen = call.api.ask("adopt.look", body, &call.caller.request_id).await?;
    let version = kind.meta().version;
    let properties = seen.get("properties").and_then(Value::as_object).cloned();
    let properties = properties.unwrap_or_default();
    Ok(Seen {
        spec: json!({"type": kind.meta().name, "version": version, "properties": properties}),
        properties,
        physical_id: seen
            .get("physical_id")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        host: seen
            .get("host_id")
            .cloned()
            .and_then(|v| serde_json::from_value(v).ok()),
        info: seen.get("info").cloned().and_then(|v| serde_json::from_value(v).ok()),
    })
}

fn read<T: DeserializeOwned>(call: &Call) -> Result<T> {
    let body = call.body.clone();
    let body = body.ok_or_else(|| ApiError::BadRequest("The request has no body.".to_owned()))?;
    Ok(body::read(body)?)
}

/// What a container that was made from these properties takes of its host.
pub(crate) fn place(call: &Call, type_name: &str, properties: &Map, host: NodeId) -> Result<Place> {
    match demand(call, type_name, properties)? {
        Demand::Host(needs) => Ok(Place::on(host, &needs)),
        Demand::Endpoint(_) => Err(ApiError::BadRequest(format!("Nodes of '{type_name}' are on no host."))),
    }
}

/// `POST /v1/nodes/adopt-preview`
pub async fn adopt_preview(call: Call) -> Result<HttpResponse> {
    let asked: NodeAdoptPreview = read(&call)?;
    let seen = look(&call, asked.identity, &asked.r#type.0, asked.overrides).await?;
    let shown = senlin_core::spec::redact(&seen.spec);
    Ok(call.ok(&json!({"node_profile": {"node_preview": shown}})))
}

/// `POST /v1/nodes/adopt`
pub async fn adopt(call: Call) -> Result<HttpResponse> {
    let asked: NodeAdopt = read(&call)?;
    let Text(full) = asked.r#type;
    let most = call.api.settings.max_nodes_per_project;
    // At once, before an engine is asked; it is counted again where it is recorded.
    if let Some(over) = quota::nodes(&mut call.conn(), &call.caller.project, Growth::By(1), most).await? {
        return Err(no_room(&call, over));
    }
    let seen = look(&call, asked.identity, &full, asked.overrides).await?;
    let id = NodeId::random();
    let name = asked.name.map_or_else(|| format!("node-{}", id.short()), |n| n.0);
    let profile = NewProfile {
        id: ProfileId::random(),
        name: format!("prof-{name}"),
        type_name: full,
        spec: seen.spec,
        user: call.caller.user.clone(),
        project: call.caller.project.clone(),
        domain: call.caller.domain.clone(),
        metadata: Map::new(),
        host_node: seen.host,
        host_cluster: None,
    };
    let node = NewNode {
        id,
        name,
        cluster_id: None,
        profile_id: profile.id,
        user: profile.user.clone(),
        project: profile.project.clone(),
        domain: profile.domain.clone(),
        index: -1,
        role: Some(asked.role.map(|r| r.0).unwrap_or_default()),
        metadata: asked.metadata.unwrap_or_default().0,
    };
    let properties = seen.properties;
    let place = match seen.host {
        Some(host) => Some(place(&call, &profile.type_name, &properties, host)?),
        None => None,
    };
    let adoption = Adoption {
        physical_id: seen.physical_id.clone(),
        place,
        info: seen.info,
    };
    let answer = |made: &Node| Stored {
        status: 200,
        location: None,
        body: json!({"node": wire::node(made, call.version)}),
    };
    let keep = call.store_response(&answer);
    match nodes::adopt(&mut call.conn(), &profile, &node, &adoption, most, &keep).await {
        Ok(Ok(made)) => Ok(call.answer(&answer(&made))),
        Ok(Err(over)) => Err(no_room(&call, over)),
        Err(error) if error.is_duplicate() => Err(ApiError::Conflict(format!(
            "'{}' belongs to another node already.",
            seen.physical_id
        ))),
        Err(error) if error.is_in_use() => Err(ApiError::BadRequest(
            "The specified host_node could not be found: it has gone meanwhile.".to_owned(),
        )),
        Err(error) => Err(error.into()),
    }
}

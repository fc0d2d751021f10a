//! Profiles.

use actix_web::HttpResponse;
use senlin_core::{
    Map,
    ids::*,
    placement::Requirements,
    profile::{Profile, Spec},
    profile_type::{Demand, ProfileType},
};
use senlin_db::{
    Conn, clusters, nodes,
    profiles::{self as db, NewProfile},
    whereabouts,
};
use senlin_openapi::{self as wire, bodies};
use serde_json::{Value, json};

use super::specs;
use crate::{
    error::{ApiError, Result},
    lists::{ListSpec, parse_list},
    request::Call,
};

const LIST: ListSpec = ListSpec {
    filters: &[("name", "name"), ("type", "type")],
    sort: &[
        ("type", "type"),
        ("name", "name"),
        ("created_at", "created_at"),
        ("updated_at", "updated_at"),
    ],
    own: &[],
    allowed: |_, _| true,
    quote: false,
};

/// `GET /v1/profiles`
pub async fn list(call: Call) -> Result<HttpResponse> {
    let query = parse_list(&call, &LIST)?;
    let found = db::list(&mut call.conn(), &query.scope, &query.filters, &query.page).await?;
    let shown: Vec<Value> = found.iter().map(wire::profile).collect();
    Ok(call.ok(&json!({"profiles": shown})))
}

/// The profile that an identity means.
pub(crate) async fn find(call: &Call, identity: &str) -> Result<Profile> {
    db::find(&mut call.conn(), &call.scope(), identity)
        .await?
        .ok_or_else(|| ApiError::NotFound {
            kind: "profile",
            identity: identity.to_owned(),
        })
}

/// The profile that a body names.
pub(crate) async fn specified(call: &Call, identity: &str) -> Result<Profile> {
    find(call, identity).await.map_err(|error| match error {
        ApiError::NotFound { identity, .. } => {
            ApiError::BadRequest(format!("The specified profile '{identity}' could not be found."))
        }
        other => other,
    })
}

/// `GET /v1/profiles/{id}`
pub async fn show(call: Call) -> Result<HttpResponse> {
    let profile = find(&call, &call.identity).await?;
    Ok(call.ok(&json!({"profile": wire::profile(&profile)})))
}

/// A spec that has been checked.
struct Checked<'a> {
    kind: &'a dyn ProfileType,
    spec: Spec,
    properties: Map,
}

fn check(call: &Call, spec: Value) -> Result<Checked<'_>> {
    let spec = specs::read::<bodies::Spec>(spec)?;
    let full = spec.full_type();
    let kind = call
        .api
        .registry
        .find(&full)
        .map(AsRef::as_ref)
        .ok_or(ApiError::NotFound {
            kind: "profile_type",
            identity: full,
        })?;
    let properties = kind.schema().check(&spec.properties)?;
    kind.validate(&properties, &call.api.rules)?;
    Ok(Checked { kind, spec, properties })
}

/// What `host_node` and `host_cluster` mean: hosts of the caller, or of a
/// cluster that an admin shared.
async fn host_ids(call: &Call, conn: &mut Conn, checked: &Checked<'_>) -> Result<(Option<NodeId>, Option<ClusterId>)> {
    let refs = checked.kind.host_refs(&checked.properties);
    let wrong =
        |what: &str, name: &str, why: &str| ApiError::InvalidSpec(format!("The specified {what} '{name}' {why}"));
    let is_host = |full: &str| call.api.registry.find(full).is_some_and(|t| t.is_host());
    let mut cluster_id = None;
    if let Some(name) = &refs.host_cluster {
        let own = clusters::find(conn, &call.scope(), name).await?;
        let found = match own {
            Some(cluster) => Some(cluster),
            None => clusters::find_shared(conn, &call.caller.project, name).await?,
        };
        let cluster = found.ok_or_else(|| wrong("host_cluster", name, "could not be found."))?;
        if !is_host(&cluster.profile_type) {
            return Err(wrong("host_cluster", name, "is not a cluster of hosts."));
        }
        cluster_id = Some(cluster.id);
    }
    let mut node_id = None;
    if let Some(name) = &refs.host_node {
        let own = nodes::find(conn, &call.scope(), name).await?;
        let found = match own {
            Some(node) => Some(node),
            None => shared_node(conn, call, name).await?,
        };
        let node = found.ok_or_else(|| wrong("host_node", name, "could not be found."))?;
        if !is_host(&node.profile_type) {
            return Err(wrong("host_node", name, "is not a host."));
        }
        if cluster_id.is_some() && node.cluster_id != cluster_id {
            return Err(wrong("host_node", name, "is not a member of the host_cluster."));
        }
        node_id = Some(node.id);
    }
    Ok((node_id, cluster_id))
}

/// A host of a cluster that an admin shared with the caller's project.
async fn shared_node(conn: &mut Conn, call: &Call, name: &str) -> Result<Option<senlin_core::node::Node>> {
    let Some(node) = nodes::find(conn, &senlin_core::caller::Scope::All, name)
        .await
        .ok()
        .flatten()
    else {
        return Ok(None);
    };
    let Some(cluster) = node.cluster_id else {
        return Ok(None);
    };
    let shared = clusters::find_shared(conn, &call.caller.project, &cluster.to_string()).await?;
    Ok(shared.map(|_| node))
}

/// `POST /v1/profiles`
pub async fn create(call: Call) -> Result<HttpResponse> {
    let new: bodies::NewProfile = call.envelope("profile")?;
    let name = new.name.0;
    let failed = |error: ApiError| match error {
        ApiError::InvalidSpec(text) => ApiError::InvalidSpec(format!("Failed in creating profile {name}: {text}")),
        other => other,
    };
    let checked = check(&call, new.spec).map_err(failed)?;
    let mut conn = call.conn();
    let (host_node, host_cluster) = host_ids(&call, &mut conn, &checked).await.map_err(failed)?;
    let profile = NewProfile {
        id: ProfileId::random(),
        name: name.clone(),
        type_name: checked.spec.full_type(),
        spec: sealed(&call, &checked)?,
        user: call.caller.user.clone(),
        project: call.caller.project.clone(),
        domain: call.caller.domain.clone(),
        metadata: new.metadata.unwrap_or_default().0,
        host_node,
        host_cluster,
    };
    let answer = |made: &Profile| call.created(json!({"profile": wire::profile(made)}));
    match db::create(&mut conn, &profile, &call.store_response(&answer)).await {
        Ok(profile) => Ok(call.answer(&answer(&profile))),
        Err(error) if error.is_in_use() => Err(failed(ApiError::InvalidSpec(
            "The specified host_node or host_cluster could not be found.".to_owned(),
        ))),
        Err(error) => Err(error.into()),
    }
}

/// The spec as it is stored: as it was given, secrets sealed.
fn sealed(call: &Call, checked: &Checked<'_>) -> Result<Value> {
    let properties = checked
        .kind
        .schema()
        .seal(&checked.spec.properties, &call.api.sealer)
        .map_err(|e| ApiError::Internal(e.to_string()))?;
    let spec = Spec {
        properties,
        ..checked.spec.clone()
    };
    serde_json::to_value(spec).map_err(|e| ApiError::Internal(e.to_string()))
}

/// What a node of these properties needs, sealed as they are recorded.
pub(crate) fn demand(call: &Call, type_name: &str, properties: &Map) -> Result<Demand> {
    let kind = call
        .api
        .registry
        .find(type_name)
        .ok_or_else(|| ApiError::Internal(format!("profile type {type_name} is not registered")))?;
    let opened = senlin_core::spec::unseal(&Value::Object(properties.clone()), &call.api.sealer)
        .map_err(|e| ApiError::Internal(e.to_string()))?;
    let checked = kind.schema().check(opened.as_object().unwrap_or(&Map::new()))?;
    Ok(kind.demand(&checked)?)
}

/// Refuses a profile that nodes cannot have where they are: nothing moves them.
pub(crate) async fn stays(call: &Call, profile: &Profile, nodes: &[NodeId]) -> Result<()> {
    let Demand::Host(needs) = demand(call, &profile.type_name, &profile.spec.properties)? else {
        return Ok(());
    };
    let mut conn = call.conn();
    let (host_node, host_cluster) = db::hosts(&mut conn, profile.id).await?;
    let needs = Requirements {
        host_node,
        host_cluster,
        ..needs
    };
    let whereabouts = whereabouts::of(&mut conn, nodes).await?;
    let misplaced = whereabouts
        .iter()
        .find_map(|at| at.misplaced(&needs).map(|why| (at, why)));
    misplaced.map_or(Ok(()), |(at, why)| {
        Err(ApiError::BadRequest(format!(
            "Node '{}' cannot have profile '{}' where it is: {why}. An update moves no container to another host.",
            at.name, profile.name
        )))
    })
}

/// `POST /v1/profiles/validate`
pub async fn validate(call: Call) -> Result<HttpResponse> {
    let bodies::SpecOnly { spec } = call.envelope("profile")?;
    let checked = check(&call, spec)?;
    let mut conn = call.conn();
    host_ids(&call, &mut conn, &checked).await?;
    let spec = senlin_core::spec::redact(&sealed(&call, &checked)?);
    Ok(call.ok(&json!({"profile": {
        "id": null, "name": "validated_profile", "type": checked.spec.full_type(), "user": call.caller.user,
        "project": call.caller.project, "domain": call.caller.domain, "spec": spec, "metadata": null,
        "created_at": null, "updated_at": null,
    }})))
}

/// `PATCH /v1/profiles/{id}`
pub async fn update(call: Call) -> Result<HttpResponse> {
    let change: bodies::ProfileChange = call.change("profile")?;
    let profile = find(&call, &call.identity).await?;
    let name = change.name.map(|n| n.0).filter(|n| *n != profile.name);
    let metadata = change.metadata.map(|m| m.0).filter(|m| *m != profile.metadata);
    if name.is_none() && metadata.is_none() {
        return Err(ApiError::BadRequest("No property needs an update.".to_owned()));
    }
    let mut conn = call.conn();
    db::update(&mut conn, profile.id, name.as_deref(), metadata.as_ref()).await?;
    let profile = find(&call, &profile.id.to_string()).await?;
    Ok(call.ok(&json!({"profile": wire::profile(&profile)})))
}

/// `DELETE /v1/profiles/{id}`
pub async fn delete(call: Call) -> Result<HttpResponse> {
    let profile = find(&call, &call.identity).await?;
    match db::delete(&mut call.conn(), profile.id).await {
        Ok(()) => Ok(HttpResponse::NoContent().finish()),
        Err(error) if error.is_in_use() => Err(ApiError::InUse {
            kind: "profile",
            identity: call.identity.clone(),
            reason: "still referenced by some clusters and/or nodes".to_owned(),
        }),
        Err(error) => Err(error.into()),
    }
}

//! Containers that carry our label and that the record does not account for,
//! as after the restoring of a backup: for admins. Each is taken back or removed.

use actix_web::HttpResponse;
use senlin_core::{Map, ids::*, profile::Profile};
use senlin_db::{
    child_actions::NewNode,
    clusters, nodes, profiles,
    profiles::NewProfile,
    unaccounted::{self as db, Refusal, Unaccounted},
};
use senlin_openapi::{
    self as wire,
    bodies::{Removal, TakeBack, UnaccountedAction},
    values::Flag,
};
use serde_json::{Value, json};

use super::nodes::adopt::place;
use crate::{
    body::{self, Words, only_key},
    error::{ApiError, Result},
    lists::{self, ListSpec},
    request::Call,
};

const LIST: ListSpec = ListSpec {
    filters: &[],
    sort: &[],
    own: &[],
    allowed: |_, _| true,
    quote: false,
};

/// What a container is taken to be whose profile is not recorded.
const TYPE: &str = "container.dockerinc.docker-1.1";

fn shown(one: &Unaccounted) -> Value {
    json!({
        "id": one.id, "container": one.container, "name": one.name, "running": one.running,
        "host_id": one.host, "host_name": one.host_name, "node_id": one.node, "generation": one.generation,
        "project": one.project, "cluster_id": one.cluster, "profile_id": one.profile,
        "reason": words(one), "reason_code": one.reason,
        "first_seen": wire::time(one.first_seen), "last_seen": wire::time(one.last_seen),
        "remove_asked_at": one.remove_asked_at.map(wire::time),
    })
}

fn words(one: &Unaccounted) -> String {
    let (node, generation) = (one.node, one.generation);
    match one.reason.as_str() {
        "GENERATION_UNKNOWN" if !one.node_known => format!("Node '{node}' has gone since it was listed."),
        "NODE_UNKNOWN" => format!("No node '{node}' is recorded, nor that one was deleted."),
        "GENERATION_UNKNOWN" => format!("Node '{node}' is recorded, and no generation {generation} of it."),
        _ => "The action that made it is not recorded.".to_owned(),
    }
}

fn admin(call: &Call) -> Result<()> {
    // They are of every project.
    if call.caller.is_admin {
        Ok(())
    } else {
        Err(ApiError::Forbidden)
    }
}

/// `GET /v1/unaccounted-containers`
pub async fn list(call: Call) -> Result<HttpResponse> {
    admin(&call)?;
    let page = lists::parse_list(&call, &LIST)?.page;
    let limit = page.limit.unwrap_or(call.api.settings.max_page_size);
    let found = db::list(&mut call.conn(), limit, page.marker).await?;
    let all: Vec<Value> = found.iter().map(shown).collect();
    Ok(call.ok(&json!({"unaccounted_containers": all})))
}

/// `POST /v1/unaccounted-containers/{id}/actions`
pub async fn act(call: Call) -> Result<HttpResponse> {
    admin(&call)?;
    let (verb, params) = only_key(call.body.as_ref(), &Words::ACTION)?;
    let action = body::action(&verb, params)?;
    let one = db::get(&mut call.conn(), &call.identity)
        .await?
        .ok_or_else(|| ApiError::NotFound {
            kind: "unaccounted container",
            identity: call.identity.clone(),
        })?;
    match action {
        UnaccountedAction::TakeBack(TakeBack { confirm }) => take_back(&call, &one, confirm == Some(Flag(true))).await,
        UnaccountedAction::Remove(Removal { confirm }) => remove(&call, &one, confirm == Some(Flag(true))).await,
    }
}

/// Its host's next heartbeat removes it.
async fn remove(call: &Call, one: &Unaccounted, confirmed: bool) -> Result<HttpResponse> {
    if !confirmed {
        return Err(ApiError::BadRequest(format!(
            "'confirm' must be true: container '{}' on host '{}' is removed with what it holds.",
            one.container, one.host_name
        )));
    }
    let mut conn = call.conn();
    db::ask_removal(&mut conn, one.id).await?;
    let current = db::get(&mut conn, &one.id.to_string()).await?;
    Ok(call.ok(&json!({"unaccounted_container": shown(current.as_ref().unwrap_or(one))})))
}

/// Its node has it again; a node that is not recorded is made.
async fn take_back(call: &Call, one: &Unaccounted, confirmed: bool) -> Result<HttpResponse> {
    let project = one.project.as_deref().filter(|_| one.may_be_there).ok_or_else(|| {
        ApiError::Conflict(format!(
            "The project that container '{}' names may not use host '{}'.",
            one.container, one.host_name
        ))
    })?;
    let taken = if one.node_known {
        repair(call, one, project, confirmed).await
    } else {
        restore(call, one, project).await
    };
    match taken {
        Ok(Ok(())) => {}
        Ok(Err(Refusal::Busy)) => {
            return Err(ApiError::Conflict(format!(
                "Something is being done to node '{}'; try again when it has ended.",
                one.node
            )));
        }
        Ok(Err(Refusal::Gone)) => {
            return Err(ApiError::Conflict(format!(
                "Container '{}' is settled already.",
                one.container
            )));
        }
        Err(error) => return Err(error),
    }
    let node = nodes::get(&mut call.conn(), one.node)
        .await?
        .ok_or_else(|| ApiError::Internal("the node is gone".to_owned()))?;
    Ok(call.ok(&json!({"node": wire::node(&node, call.version)})))
}

type Taken = Result<std::result::Result<(), Refusal>>;

fn duplicate(error: senlin_db::DbError, one: &Unaccounted) -> ApiError {
    if error.is_duplicate() {
        ApiError::Conflict(format!("Container '{}' belongs to another node.", one.container))
    } else {
        error.into()
    }
}

async fn repair(call: &Call, one: &Unaccounted, project: &str, confirmed: bool) -> Taken {
    let mut conn = call.conn();
    // A label is the host's word: it gives no one another project's node.
    let node = nodes::get(&mut conn, one.node).await?.filter(|n| n.project == project);
    let node = node.ok_or_else(|| ApiError::Conflict(format!("Node '{}' is not of project '{project}'.", one.node)))?;
    // It has one container: the other one goes.
    let has = node.physical_id;
    if let Some(other) = has.as_ref().filter(|id| **id != one.container && !confirmed) {
        return Err(ApiError::Conflict(format!(
            "Node '{}' has container '{other}', which is removed when it takes '{}' back; 'confirm' must be true.",
            one.node, one.container
        )));
    }
    let profile = match made_from(call, one, project).await? {
        Some(profile) => profile,
        None => profiles::get(&mut conn, node.profile_id)
            .await?
            .ok_or_else(|| ApiError::Internal("the node's profile is gone".to_owned()))?,
    };
    let place = place(call, &profile.type_name, &profile.spec.properties, one.host)?;
    db::repair(&mut conn, one, has.as_deref(), profile.id, &place)
        .await
        .map_err(|e| duplicate(e, one))
}

/// The profile that its label names, if that is recorded and may have made it.
async fn made_from(call: &Call, one: &Unaccounted, project: &str) -> Result<Option<Profile>> {
    let known = match one.profile {
        Some(id) => profiles::get(&mut call.conn(), id).await?,
        None => None,
    };
    let is_container = |kind: &str| call.api.registry.find(kind).is_some_and(|k| !k.is_host());
    Ok(known.filter(|p| p.project == project && is_container(&p.type_name)))
}

async fn restore(call: &Call, one: &Unaccounted, project: &str) -> Taken {
    let known = made_from(call, one, project).await?;
    let mut conn = call.conn();
    let cluster = match one.cluster {
        Some(id) => clusters::get(&mut conn, id).await?.filter(|c| c.project == project),
        None => None,
    };
    let profile = match known {
        Some(_) => None,
        None => Some(adopted(call, one, project).await?),
    };
    let (profile_id, place) = match (&known, &profile) {
        (Some(known), _) => (
            known.id,
            place(call, &known.type_name, &known.spec.properties, one.host)?,
        ),
        (None, Some(made)) => {
            let properties = made.spec.get("properties").and_then(Value::as_object);
            let properties = properties.cloned().unwrap_or_default();
            (made.id, place(call, TYPE, &properties, one.host)?)
        }
        (None, None) => return Err(ApiError::Internal("there is no profile".to_owned())),
    };
    let node = NewNode {
        id: one.node,
        name: if one.name.is_empty() {
            format!("node-{}", one.node.short())
        } else {
            one.name.clone()
        },
        cluster_id: cluster.map(|c| c.id),
        profile_id,
        user: call.caller.user.clone(),
        project: project.to_owned(),
        domain: None,
        index: -1,
        role: Some(String::new()),
        metadata: Map::new(),
    };
    let mut conn = call.conn();
    db::restore(&mut conn, one, profile.as_ref(), &node, &place)
        .await
        .map_err(|e| duplicate(e, one))
}

/// A profile as an adoption makes it of what runs.
async fn adopted(call: &Call, one: &Unaccounted, project: &str) -> Result<NewProfile> {
    let overrides = json!({"host_node": one.host});
    let request = json!({"type": TYPE, "identity": one.container, "host_node": one.host, "node": one.node,
        "overrides": overrides});
    let body = request.as_object().cloned().unwrap_or_default();
    let seen = call.api.ask("adopt.look", body, &call.caller.request_id).await?;
    let (kind, version) = TYPE.rsplit_once('-').unwrap_or((TYPE, ""));
    Ok(NewProfile {
        id: ProfileId::random(),
        name: format!("prof-{}", one.node.short()),
        type_name: TYPE.to_owned(),
        spec: json!({"type": kind, "version": version, "properties": seen.get("properties")}),
        user: call.caller.user.clone(),
        project: project.to_owned(),
        domain: None,
        metadata: Map::new(),
        host_node: Some(one.host),
        host_cluster: None,
    })
}

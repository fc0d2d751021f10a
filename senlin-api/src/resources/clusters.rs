//! Clusters.

use actix_web::HttpResponse;
use senlin_core::{
    Map,
    action::{ActionKind, inputs::ClusterUpdate},
    cluster::{Cluster, ClusterStatus},
    ids::*,
    naming,
};
use senlin_db::clusters::{self as db, Limits, NewCluster};
use senlin_openapi::{
    self as wire,
    bodies::{self, ClusterChange, Force},
    values::Object,
    versions, views,
};
use senlin_policies::size::{self as sizes, Bounds};
use serde_json::{Value, json};

use super::{ALONE, BESIDE, Target, action, no_room, profiles, record, size};
use crate::{
    body,
    error::{ApiError, Result},
    lists::{ListSpec, parse_list},
    request::Call,
};

mod act;
mod collect;
mod find;

pub(crate) use act::{Planned, VERBS, as_map, operation, recovery, triggered};
pub use act::{act, operate, preview};
pub use collect::collect;
pub(crate) use find::find;

const LIST: ListSpec = ListSpec {
    filters: &[("name", "name"), ("status", "status")],
    sort: &[
        ("name", "name"),
        ("status", "status"),
        ("init_at", "init_at"),
        ("created_at", "created_at"),
        ("updated_at", "updated_at"),
    ],
    own: &[],
    allowed: |key, value| key != "status" || ClusterStatus::parse(value).is_some(),
    quote: true,
};

/// `GET /v1/clusters`
pub async fn list(call: Call) -> Result<HttpResponse> {
    let query = parse_list(&call, &LIST)?;
    let found = db::list(&mut call.conn(), &query.scope, &query.filters, &query.page).await?;
    let shown = found.into_iter().map(|c| views::Cluster::of(c, call.version));
    Ok(call.list("clusters", shown))
}

/// `GET /v1/clusters/{id}`
pub async fn show(call: Call) -> Result<HttpResponse> {
    let cluster = find(&call, &call.identity).await?;
    Ok(call.ok(&json!({"cluster": wire::cluster(&cluster, call.version)})))
}

fn target(cluster: &Cluster) -> Target<'_> {
    Target {
        id: cluster.id.0,
        cluster: Some(cluster.id),
        host: None,
        project: &cluster.project,
        timeout: cluster.timeout,
    }
}

/// `POST /v1/clusters`
pub async fn create(call: Call) -> Result<HttpResponse> {
    let new = checked(&call, call.envelope("cluster")?).await?;
    let goal = Target {
        id: new.id.0,
        cluster: Some(new.id),
        host: None,
        project: &new.project,
        timeout: new.timeout,
    };
    let recorded = action(&call, ActionKind::ClusterCreate, &goal, &Map::new());
    let settings = &call.api.settings;
    let most = settings.max_clusters_per_project;
    let limits = Limits {
        clusters: most,
        nodes: settings.max_nodes_per_project,
        unique_names: settings.name_unique,
    };
    let answer = |made: &Cluster| call.accepted(recorded.id, json!({"cluster": wire::cluster(made, call.version)}));
    let keep = call.store_response(&answer);
    let made = db::create_within(&mut call.conn(), &new, &recorded, limits, &keep).await?;
    let cluster = match made {
        Ok(cluster) => cluster,
        Err(db::Refusal::NoRoom(full)) => return Err(no_room(&call, full)),
        Err(db::Refusal::TooMany) => return Err(ApiError::OverQuota(format!("clusters: a project may have {most}"))),
        Err(db::Refusal::NameTaken) => {
            let text = format!("a cluster named '{}' already exists.", new.name);
            return Err(ApiError::BadRequest(text));
        }
        Err(db::Refusal::ProfileGone) => {
            let text = format!("The specified profile '{}' could not be found.", new.profile_id);
            return Err(ApiError::BadRequest(text));
        }
    };
    call.api.wake(&[recorded.id], &call.caller.request_id);
    Ok(call.answer(&answer(&cluster)))
}

async fn checked(call: &Call, new: bodies::NewCluster) -> Result<NewCluster> {
    let min_size = size(call, "min_size", new.min_size.map(|s| s.0))?.unwrap_or(0);
    let max_size = size(call, "max_size", new.max_size.map(|s| s.0))?.unwrap_or(-1);
    let desired = size(call, "desired_capacity", new.desired_capacity.map(|s| s.0))?.unwrap_or(min_size);
    let timeout = new.timeout.map(|t| t.0).filter(|t| *t > 0);
    let profile = profiles::specified(call, &new.profile_id.0).await?;
    let anything = Bounds {
        min: 0,
        max: -1,
        desired: 0,
        limit: call.api.settings.max_nodes_per_cluster,
    };
    sizes::check(Some(desired), Some(min_size), Some(max_size), true, anything)?;
    Ok(NewCluster {
        id: ClusterId::random(),
        name: new.name.0,
        profile_id: profile.id,
        user: call.caller.user.clone(),
        project: call.caller.project.clone(),
        domain: call.caller.domain.clone(),
        min_size,
        max_size,
        desired_capacity: desired,
        timeout: timeout.unwrap_or(call.api.settings.default_action_timeout),
        metadata: new.metadata.unwrap_or_default().0,
        config: config(new.config)?.unwrap_or_default(),
    })
}

/// `config`, whose known keys have rules.
fn config(config: Option<Object>) -> Result<Option<Map>> {
    const FORMAT: &str = "node.name.format";
    let config = config.map(|c| c.0);
    let refuse = |rule: String| {
        Err(ApiError::BadRequest(format!(
            "The value of '{FORMAT}' in 'config' {rule}."
        )))
    };
    match config.as_ref().and_then(|c| c.get(FORMAT)) {
        None | Some(Value::Null) => {}
        Some(Value::String(format)) => naming::check_format(format).or_else(refuse)?,
        Some(_) => refuse("must be a text".to_owned())?,
    }
    Ok(config)
}

/// `PATCH /v1/clusters/{id}`
pub async fn update(call: Call) -> Result<HttpResponse> {
    let change: ClusterChange = call.change("cluster")?;
    let cluster = find(&call, &call.identity).await?;
    if let Some(projects) = call.newer("shared_with", change.shared_with, versions::SHARED_WITH)? {
        return share(&call, &cluster, &projects.0).await;
    }
    if cluster.status == ClusterStatus::Error {
        return Err(ApiError::NotSupported(
            "Updating a cluster in error state is not supported.".to_owned(),
        ));
    }
    let timeout = change.timeout.map(|t| t.0);
    let config = config(change.config)?;
    let mut inputs = ClusterUpdate {
        name: change.name.map(|n| n.0).filter(|n| *n != cluster.name),
        metadata: change.metadata.map(|m| m.0).filter(|m| *m != cluster.metadata),
        timeout: timeout.filter(|t| *t > 0 && *t != cluster.timeout),
        config: config.filter(|c| *c != cluster.config && call.version >= versions::CLUSTER_CONFIG),
        ..ClusterUpdate::default()
    };
    let mut new_profile = None;
    if let Some(identity) = change.profile_id {
        let profile = profiles::specified(&call, &identity.0).await?;
        if profile.type_name != cluster.profile_type {
            return Err(ApiError::BadRequest(
                "Cannot update a cluster to a different profile type, operation aborted.".to_owned(),
            ));
        }
        if profile.id != cluster.profile_id {
            new_profile = Some(profile);
        }
    }
    let only = call.newer("profile_only", change.profile_only, versions::PROFILE_ONLY)?;
    inputs.profile_only = only.map(|only| only.0);
    if let Some(profile) = &new_profile {
        if inputs.profile_only != Some(true) {
            profiles::stays(&call, profile, &cluster.nodes).await?;
        }
        inputs.new_profile_id = Some(profile.id);
    }
    if inputs == ClusterUpdate::default() {
        return Err(ApiError::BadRequest("No property needs an update.".to_owned()));
    }
    let new = action(&call, ActionKind::ClusterUpdate, &target(&cluster), &inputs);
    let answer = call.accepted(new.id, json!({"cluster": wire::cluster(&cluster, call.version)}));
    record(&call, &new, &cluster.name, ALONE, answer).await
}

/// Lets other projects use the hosts of this cluster: admins only.
async fn share(call: &Call, cluster: &Cluster, projects: &[String]) -> Result<HttpResponse> {
    if !call.caller.is_admin {
        return Err(ApiError::Forbidden);
    }
    db::share(&mut call.conn(), cluster.id, projects).await?;
    let cluster = find(call, &cluster.id.to_string()).await?;
    Ok(call.ok(&json!({"cluster": wire::cluster(&cluster, call.version)})))
}

/// `DELETE /v1/clusters/{id}`
pub async fn delete(call: Call) -> Result<HttpResponse> {
    let force = force(&call)?;
    let (new, name, _) = deletable(&call, force).await?.into_action(&call);
    let answer = call.accepted(new.id, Value::Null);
    record(&call, &new, &name, BESIDE, answer).await
}

/// The deletion of the cluster that the call is about, if it may go.
async fn deletable(call: &Call, force: bool) -> Result<Planned> {
    let cluster = find(call, &call.identity).await?;
    let busy = matches!(
        cluster.status,
        ClusterStatus::Creating | ClusterStatus::Updating | ClusterStatus::Deleting | ClusterStatus::Recovering
    );
    if busy && !force {
        return Err(ApiError::InProgress {
            kind: "cluster",
            identity: call.identity.clone(),
            status: cluster.status.as_str().to_owned(),
        });
    }
    let in_use = |reason: String| ApiError::InUse {
        kind: "cluster",
        identity: call.identity.clone(),
        reason,
    };
    if !cluster.dependent_profiles.is_empty() {
        let ids: Vec<String> = cluster.dependent_profiles.iter().map(ToString::to_string).collect();
        return Err(in_use(format!("profiles name it as host_cluster: {}", ids.join(", "))));
    }
    let containers = senlin_db::nodes::containers_on(&mut call.conn(), &cluster.nodes).await?;
    if !containers.is_empty() {
        return Err(in_use(format!("its hosts have containers: {}", containers.join(", "))));
    }
    Ok(Planned::new(&cluster, ActionKind::ClusterDelete, &Map::new()))
}

/// `force`, from the query or the body, since 1.8.
pub(crate) fn force(call: &Call) -> Result<bool> {
    if call.version < versions::FORCE {
        return Ok(false);
    }
    let mut body = call.body.clone().unwrap_or_default();
    for (key, value) in &call.query {
        if key != "force" {
            return Err(ApiError::BadRequest(format!("Invalid parameter {key}")));
        }
        body.insert(key.clone(), value.clone().into());
    }
    let Force { force } = body::read(body)?;
    Ok(force.is_some_and(|f| f.0))
}

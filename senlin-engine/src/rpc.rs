//! What only an engine can tell the API, since only engines talk to hosts.
//! It looks; it never writes.

use std::sync::Arc;

use senlin_bus::{Answer, Fault, Reply, Request};
use senlin_core::{
    Map,
    driver::DriverError,
    ids::*,
    node::Node,
    profile_type::{Demand, Job, ProfileError, ProfileType},
    steps::Unhindered,
};
use senlin_db::{hosts, nodes};
use serde_json::{Value, json};

use crate::{
    Engine,
    failure::{self, Failure},
};

mod targets;

/// Answers until the engine stops.
pub(crate) async fn serve(engine: Arc<Engine>) {
    let (bus, stop) = (engine.bus.clone(), engine.stop.clone());
    if let Err(error) = bus.serve(Arc::new(Look(engine)), stop).await {
        tracing::error!(%error, "requests are not answered any more");
    }
}

struct Look(Arc<Engine>);

#[async_trait::async_trait]
impl Answer for Look {
    async fn answer(&self, request: Request) -> Reply {
        let outcome = match request.verb.as_str() {
            "nodes.details" => details(&self.0, &request.body).await,
            "clusters.plan" => crate::decisions::plan::plan(&self.0, &request.body).await,
            "targets" => targets::list(&self.0, &request.body).await,
            "adopt.look" => adopt(&self.0, &request.body).await,
            other => Err(Failure::Refused(format!(
                "This engine does not know the request '{other}'."
            ))),
        };
        outcome.map_err(|failure| {
            tracing::info!(request_id = request.request_id, verb = request.verb, error = %failure::chain(&failure),
                "a request could not be answered");
            fault(&failure)
        })
    }
}

fn fault(failure: &Failure) -> Fault {
    let status = match failure {
        Failure::Db(_) | Failure::Interrupt(_) | Failure::NotYet(_) => 503,
        Failure::Profile(ProfileError::Driver(error)) => match error {
            DriverError::NotFound(_) => 404,
            error if error.is_transient() => 503,
            _ => 400,
        },
        Failure::Profile(_) | Failure::Refused(_) => 400,
    };
    let message = match failure {
        Failure::Db(_) => "The database did not answer.".to_owned(),
        other => failure::chain(other),
    };
    Fault { status, message }
}

/// `{"ids": […]}` → `{"<id>": {…} | {"error": "…"}}`.
async fn details(engine: &Engine, body: &Map) -> Result<Value, Failure> {
    let ids: Vec<NodeId> = body
        .get("ids")
        .cloned()
        .and_then(|ids| serde_json::from_value(ids).ok())
        .ok_or_else(|| Failure::Refused("'ids' is missing.".to_owned()))?;
    let mut all = Map::new();
    for id in ids {
        let shown = match one(engine, id).await {
            Ok(details) => details,
            Err(failure) => json!({"error": fault(&failure).message}),
        };
        all.insert(id.to_string(), shown);
    }
    Ok(Value::Object(all))
}

async fn one(engine: &Engine, id: NodeId) -> Result<Value, Failure> {
    let mut conn = engine.db.session();
    let node: Node = nodes::get(&mut conn, id)
        .await?
        .ok_or_else(|| Failure::Refused("The node could not be found.".to_owned()))?;
    let loaded = engine.profile_cache.load(&mut conn, node.profile_id).await?;
    let host = if loaded.kind.is_host() { Some(id) } else { node.host_id };
    let Some(host) = host else { return Ok(json!({})) };
    let known = hosts::get(&mut conn, host).await?;
    let driver = engine
        .connections
        .driver(&mut conn, &engine.profile_cache, host)
        .await?;
    let job = Job {
        node: &node,
        properties: &loaded.properties,
        driver,
        action: ActionId(uuid::Uuid::nil()),
        attempt: 0,
        owner: &engine.installation,
        rules: &engine.settings.rules,
        interface: engine.interface(),
        steps: &Unhindered,
    };
    let shown = loaded.kind.details(&job).await;
    if !loaded.kind.is_host() {
        return Ok(shown?);
    }
    // What is known of a host is shown even when it does not answer.
    let mut shown = match shown {
        Ok(Value::Object(map)) => map,
        _ => known
            .as_ref()
            .and_then(|h| serde_json::to_value(&h.info).ok()?.as_object().cloned())
            .unwrap_or_default(),
    };
    if let Some(host) = known {
        shown.insert("endpoint".to_owned(), host.endpoint.into());
        shown.insert("zone".to_owned(), host.zone.into());
        shown.insert("state".to_owned(), host.state.as_str().into());
        shown.insert("last_seen".to_owned(), host.last_seen.map(|t| t.to_rfc3339()).into());
    }
    Ok(Value::Object(shown))
}

/// `{"type", "identity", "overrides", "host_node", "node"}` → what is there.
async fn adopt(engine: &Engine, body: &Map) -> Result<Value, Failure> {
    let text = |key: &str| {
        body.get(key)
            .and_then(Value::as_str)
            .map(str::to_owned)
            .ok_or_else(|| Failure::Refused(format!("'{key}' is missing.")))
    };
    let kind = engine.profile_cache.find(&text("type")?)?;
    let identity = text("identity")?;
    let overrides = body
        .get("overrides")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    let overrides = engine.profile_cache.open(&overrides)?;
    if kind.is_host() {
        adopt_host(engine, kind.as_ref(), &identity, &overrides).await
    } else {
        adopt_container(engine, kind.as_ref(), &identity, &overrides, body).await
    }
}

async fn adopt_host(
    engine: &Engine,
    kind: &dyn ProfileType,
    identity: &str,
    overrides: &Map,
) -> Result<Value, Failure> {
    let properties = kind.adopted(identity, overrides).map_err(ProfileError::from)?;
    kind.validate(&properties, &engine.settings.rules)
        .map_err(ProfileError::from)?;
    let Demand::Endpoint(pool) = kind.demand(&properties).map_err(ProfileError::from)? else {
        return Err(Failure::Refused("This type has no endpoints.".to_owned()));
    };
    let endpoint = pool
        .first()
        .ok_or_else(|| Failure::Refused("There is no endpoint.".to_owned()))?;
    let driver = engine.connections.connect(endpoint).await?;
    let info = driver.info().await.map_err(ProfileError::from)?;
    let sealed = kind
        .schema()
        .seal(&properties, &engine.sealer)
        .map_err(|e| Failure::Refused(e.to_string()))?;
    Ok(json!({"properties": sealed, "physical_id": endpoint.url, "info": info, "host_id": null}))
}

async fn adopt_container(
    engine: &Engine,
    kind: &dyn ProfileType,
    identity: &str,
    overrides: &Map,
    body: &Map,
) -> Result<Value, Failure> {
    let host: NodeId = body
        .get("host_node")
        .cloned()
        .and_then(|id| serde_json::from_value(id).ok())
        .ok_or_else(|| {
            Failure::Refused("overrides.host_node must name the host that the container is on.".to_owned())
        })?;
    // A container that is taken back carries its node's label.
    let of = body.get("node").cloned().and_then(|id| serde_json::from_value(id).ok());
    let mut conn = engine.db.session();
    let driver = engine
        .connections
        .driver(&mut conn, &engine.profile_cache, host)
        .await?;
    let (physical_id, properties) = kind.adopt(driver.as_ref(), identity, overrides, of).await?;
    let sealed = kind
        .schema()
        .seal(&properties, &engine.sealer)
        .map_err(|e| Failure::Refused(e.to_string()))?;
    Ok(json!({"properties": sealed, "physical_id": physical_id, "info": null, "host_id": host}))
}

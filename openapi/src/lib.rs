//! Wire types: the contract's representations, and nothing else.
//!
//! Must never: decide anything. `senlin-v1.json` beside this crate is the
//! document; a test of `senlin-api` keeps it current.

use chrono::{DateTime, SecondsFormat, Utc};
use senlin_core::{
    Map,
    action::Action,
    cluster::Cluster,
    event::Event,
    ids::*,
    node::Node,
    policy::{Binding, Policy},
    profile::Profile,
    receiver::Receiver,
    service::Service,
    spec::redact,
};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// `2026-11-20T01:02:03Z`.
#[must_use]
pub fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn maybe(at: Option<DateTime<Utc>>) -> Value {
    at.map_or(Value::Null, |t| Value::String(time(t)))
}

#[expect(clippy::cast_precision_loss, reason = "microseconds since 1970 fit a double")]
fn epoch(at: Option<DateTime<Utc>>) -> Value {
    at.map_or(Value::Null, |t| json!(t.timestamp_micros() as f64 / 1e6))
}

fn ids<T: std::fmt::Display>(list: &[T]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

/// A microversion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Microversion(pub u32, pub u32);

/// The first.
pub const MIN: Microversion = Microversion(1, 0);
/// The last that Senlin had.
pub const SENLIN_MAX: Microversion = Microversion(1, 14);
/// The last: our own additions.
pub const MAX: Microversion = Microversion(1, 15);

impl std::fmt::Display for Microversion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// A profile as users see it; sealed values are `***`.
#[must_use]
pub fn profile(p: &Profile) -> Value {
    json!({
        "id": p.id, "name": p.name, "type": p.type_name, "user": p.user, "project": p.project, "domain": p.domain,
        "spec": redact(&serde_json::to_value(&p.spec).unwrap_or_default()), "metadata": p.metadata,
        "created_at": time(p.created_at), "updated_at": maybe(p.updated_at),
    })
}

/// A cluster as users see it.
#[must_use]
pub fn cluster(c: &Cluster, version: Microversion) -> Value {
    let mut dependents = Map::new();
    if !c.dependent_profiles.is_empty() {
        dependents.insert("profiles".to_owned(), json!(ids(&c.dependent_profiles)));
    }
    let mut out = json!({
        "id": c.id, "name": c.name, "profile_id": c.profile_id, "profile_name": c.profile_name, "user": c.user,
        "project": c.project, "domain": c.domain, "init_at": time(c.init_at), "created_at": maybe(c.created_at),
        "updated_at": maybe(c.updated_at), "min_size": c.min_size, "max_size": c.max_size,
        "desired_capacity": c.desired_capacity, "timeout": c.timeout, "status": c.status.as_str(),
        "status_reason": c.status_reason, "metadata": c.metadata, "data": c.data, "dependents": dependents,
        "config": c.config, "nodes": ids(&c.nodes), "policies": ids(&c.policies),
    });
    if version >= MAX
        && let Value::Object(map) = &mut out
    {
        map.insert("shared_with".to_owned(), json!(c.shared_with));
    }
    out
}

/// A node as users see it.
#[must_use]
pub fn node(n: &Node, version: Microversion) -> Value {
    let mut dependents = Map::new();
    if !n.dependent_nodes.is_empty() {
        dependents.insert("nodes".to_owned(), json!(ids(&n.dependent_nodes)));
    }
    if !n.dependent_profiles.is_empty() {
        dependents.insert("profiles".to_owned(), json!(ids(&n.dependent_profiles)));
    }
    let mut out = json!({
        "id": n.id, "name": n.name, "cluster_id": n.cluster_id.map(|c| c.to_string()).unwrap_or_default(),
        "physical_id": n.physical_id, "profile_id": n.profile_id, "profile_name": n.profile_name, "user": n.user,
        "project": n.project, "domain": n.domain, "index": n.index, "role": n.role, "init_at": time(n.init_at),
        "created_at": maybe(n.created_at), "updated_at": maybe(n.updated_at), "status": n.status.as_str(),
        "status_reason": n.status_reason, "data": placement(n), "metadata": n.metadata, "dependents": dependents,
    });
    if version >= Microversion(1, 13)
        && let Value::Object(map) = &mut out
    {
        map.insert("tainted".to_owned(), n.tainted.into());
    }
    out
}

/// Where the container is, beside what `data` holds.
fn placement(n: &Node) -> Map {
    let mut data = n.data.clone();
    if let Some(host) = n.host_id {
        data.insert("placement".to_owned(), json!({"host_node": host}));
    }
    data
}

/// Microseconds and an offset, as Senlin shows a policy's times.
fn precise(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, false)
}

/// A policy as users see it.
#[must_use]
pub fn policy(p: &Policy) -> Value {
    json!({
        "id": p.id, "name": p.name, "type": p.type_name, "user": p.user, "project": p.project, "domain": p.domain,
        "spec": p.spec, "data": p.data, "created_at": time(p.created_at), "updated_at": maybe(p.updated_at),
    })
}

/// A policy attached to a cluster as users see it.
#[must_use]
pub fn binding(b: &Binding) -> Value {
    json!({
        "id": b.id, "cluster_id": b.cluster_id, "cluster_name": b.cluster_name, "policy_id": b.policy_id,
        "policy_name": b.policy_name, "policy_type": b.policy_type, "enabled": b.enabled, "priority": b.priority,
        "data": b.data, "last_op": b.last_op.map(precise),
    })
}

/// A receiver as users see it; `alarm_url` is how it works now.
#[must_use]
pub fn receiver(r: &Receiver, alarm_url: &str, version: Microversion) -> Value {
    let mut out = json!({
        "id": r.id, "name": r.name, "type": r.type_name, "user": r.user, "project": r.project, "domain": r.domain,
        "cluster_id": r.cluster_id, "action": r.action, "actor": r.actor, "params": r.params,
        "channel": {"alarm_url": alarm_url}, "created_at": time(r.created_at), "updated_at": maybe(r.updated_at),
    });
    if version >= MAX
        && let Value::Object(map) = &mut out
    {
        map.insert("expires_at".to_owned(), maybe(r.expires_at));
    }
    out
}

/// An action as users see it.
#[must_use]
pub fn action(a: &Action, version: Microversion) -> Value {
    let mut out = json!({
        "id": a.id, "name": a.name, "action": a.kind.as_str(), "target": a.target, "cause": a.cause,
        "owner": a.owner, "interval": a.interval, "start_time": epoch(a.started_at), "end_time": epoch(a.ended_at),
        "timeout": a.timeout, "status": a.status.as_str(), "status_reason": a.status_reason, "inputs": a.inputs,
        "outputs": a.outputs, "depends_on": ids(&a.depends_on), "depended_by": ids(&a.depended_by),
        "created_at": time(a.created_at), "updated_at": maybe(a.updated_at), "data": a.data, "user": a.user,
        "project": a.project,
    });
    if version >= Microversion(1, 14)
        && let Value::Object(map) = &mut out
    {
        map.insert(
            "cluster_id".to_owned(),
            json!(a.cluster_id.map(|c| c.to_string()).unwrap_or_default()),
        );
    }
    out
}

/// An event as users see it.
#[must_use]
pub fn event(e: &Event) -> Value {
    json!({
        "id": e.id, "timestamp": e.timestamp.to_rfc3339_opts(SecondsFormat::Secs, false), "oid": e.oid,
        "oname": e.oname, "otype": e.otype, "cluster_id": e.cluster_id, "level": e.level, "user": e.user,
        "project": e.project, "action": e.action, "status": e.status, "status_reason": e.status_reason,
        "meta_data": e.meta_data,
    })
}

/// A service as operators see it.
#[must_use]
pub fn service(s: &Service) -> Value {
    json!({
        "id": s.id, "host": s.host, "binary": s.binary, "topic": s.topic,
        "status": if s.disabled { "disabled" } else { "enabled" }, "state": if s.up { "up" } else { "down" },
        "disabled_reason": s.disabled_reason,
        "updated_at": s.updated_at.format("%Y-%m-%dT%H:%M:%S%.6f").to_string(),
    })
}

/// The answer to a recorded action.
#[must_use]
pub fn accepted(id: ActionId) -> Value {
    json!({"action": id})
}

/// What is wrong with a request, as every error answers it.
#[derive(Debug, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the contract's own words")]
pub struct Fault {
    #[schema(example = 404)]
    pub code: u16,
    #[schema(example = "Not Found")]
    pub title: String,
    pub explanation: String,
    pub error: FaultDetail,
}

/// The part that clients show.
#[derive(Debug, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the contract's own words")]
pub struct FaultDetail {
    #[schema(example = 404)]
    pub code: u16,
    #[schema(example = "The cluster 'c1' could not be found.")]
    pub message: String,
    #[serde(rename = "type")]
    #[schema(example = "ResourceNotFound")]
    pub kind: String,
}

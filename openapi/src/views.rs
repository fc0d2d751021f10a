//! What answers show: one struct per resource, which serializes and describes
//! itself (contract/api, section 3).

use chrono::{DateTime, SecondsFormat, Utc};
use senlin_core::{
    Map, action::Action as CoreAction, cluster::Cluster as CoreCluster, event::Event as CoreEvent,
    node::Node as CoreNode, policy, profile::Profile as CoreProfile, receiver::Receiver as CoreReceiver,
    service::Service as CoreService, spec::redact,
};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{MAX, Microversion};

/// `2026-11-20T01:02:03Z`.
#[must_use]
pub fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Microseconds and an offset.
fn precise(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, false)
}

#[expect(clippy::cast_precision_loss, reason = "microseconds since 1970 fit a double")]
fn epoch(at: Option<DateTime<Utc>>) -> Option<f64> {
    at.map(|t| t.timestamp_micros() as f64 / 1e6)
}

fn value<T: Serialize>(view: T) -> Value {
    serde_json::to_value(view).unwrap_or_default()
}

/// Declares a view: fields with their Rust types, all of them the contract's own words.
macro_rules! views {
    ($($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident : $type:ty),* $(,)? })*) => {$(
        $(#[$meta])*
        #[derive(Debug, Serialize, ToSchema)]
        #[allow(missing_docs, reason = "the contract's own words")]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type),*
        }
    )*};
}

views! {
    /// What a node is.
    Profile {
        /// Null for one that was only validated.
        id: Option<Uuid>,
        name: String,
        /// `name-version` of its type.
        #[serde(rename = "type")]
        kind: String,
        user: String,
        project: String,
        domain: Option<String>,
        /// As it was given; secrets are `***`.
        #[schema(value_type = Object)]
        spec: Value,
        #[schema(value_type = Option<Object>)]
        metadata: Option<Map>,
        created_at: Option<String>,
        updated_at: Option<String>,
    }

    /// What decides about a cluster.
    Policy {
        /// Null for one that was only validated.
        id: Option<Uuid>,
        name: String,
        /// `name-version` of its type.
        #[serde(rename = "type")]
        kind: String,
        user: String,
        project: String,
        domain: Option<String>,
        #[schema(value_type = Object)]
        spec: Value,
        #[schema(value_type = Object)]
        data: Map,
        created_at: Option<String>,
        updated_at: Option<String>,
    }

    /// A group of nodes of one profile.
    Cluster {
        id: Uuid,
        name: String,
        profile_id: Uuid,
        profile_name: String,
        user: String,
        project: String,
        domain: Option<String>,
        init_at: String,
        created_at: Option<String>,
        updated_at: Option<String>,
        min_size: i32,
        /// -1 for no bound.
        max_size: i32,
        desired_capacity: i32,
        /// Seconds that its actions may take.
        timeout: i32,
        status: &'static str,
        status_reason: String,
        #[schema(value_type = Object)]
        metadata: Map,
        #[schema(value_type = Object)]
        data: Map,
        #[schema(value_type = Object)]
        dependents: Map,
        #[schema(value_type = Object)]
        config: Map,
        /// Ids of its members.
        nodes: Vec<Uuid>,
        /// Ids of its bindings.
        policies: Vec<Uuid>,
        /// Projects that may use its hosts (1.15).
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        shared_with: Option<Vec<String>>,
    }

    /// A container, or a host.
    Node {
        id: Uuid,
        name: String,
        /// Empty for an orphan.
        cluster_id: String,
        /// The container's full id, or the host's endpoint.
        physical_id: Option<String>,
        profile_id: Uuid,
        profile_name: String,
        user: String,
        project: String,
        domain: Option<String>,
        /// -1 for an orphan.
        index: i32,
        role: Option<String>,
        init_at: String,
        created_at: Option<String>,
        updated_at: Option<String>,
        status: &'static str,
        status_reason: String,
        /// Where it is: `placement.host_node`.
        #[schema(value_type = Object)]
        data: Map,
        #[schema(value_type = Object)]
        metadata: Map,
        #[schema(value_type = Object)]
        dependents: Map,
        /// Goes first when its cluster shrinks (1.13).
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        tainted: Option<bool>,
        /// What the engine says of it, when that is asked for.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<Object>)]
        details: Option<Value>,
    }

    /// A policy attached to a cluster.
    Binding {
        id: Uuid,
        cluster_id: Uuid,
        cluster_name: String,
        policy_id: Uuid,
        policy_name: String,
        policy_type: String,
        enabled: bool,
        /// Less is asked first.
        priority: i32,
        #[schema(value_type = Option<Object>)]
        data: Option<Map>,
        /// When it last let something be done.
        last_op: Option<String>,
    }

    /// Something that is done, or was.
    Action {
        id: Uuid,
        name: String,
        action: &'static str,
        /// Id of the cluster or node.
        target: Uuid,
        cause: String,
        /// The engine that works on it.
        owner: Option<Uuid>,
        interval: i32,
        /// Seconds since 1970.
        start_time: Option<f64>,
        /// Seconds since 1970.
        end_time: Option<f64>,
        timeout: i32,
        status: &'static str,
        status_reason: String,
        #[schema(value_type = Object)]
        inputs: Map,
        #[schema(value_type = Object)]
        outputs: Map,
        /// Actions that it waits for.
        depends_on: Vec<Uuid>,
        /// Actions that wait for it.
        depended_by: Vec<Uuid>,
        created_at: String,
        updated_at: Option<String>,
        /// What policies decided, and why.
        #[schema(value_type = Object)]
        data: Map,
        user: String,
        project: String,
        /// Empty for an orphan's (1.14).
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        cluster_id: Option<String>,
    }

    /// A door that metrics systems knock on.
    Receiver {
        id: Uuid,
        name: String,
        #[serde(rename = "type")]
        kind: String,
        user: String,
        project: String,
        domain: Option<String>,
        cluster_id: Option<Uuid>,
        action: Option<String>,
        #[schema(value_type = Object)]
        actor: Map,
        #[schema(value_type = Object)]
        params: Map,
        channel: Channel,
        created_at: String,
        updated_at: Option<String>,
        /// From then on it does nothing (1.15).
        #[serde(skip_serializing_if = "Option::is_none")]
        expires_at: Option<Option<String>>,
    }

    /// How a receiver is knocked at.
    Channel {
        /// Whoever has it may use it; `***` stands for its key where callers may not.
        alarm_url: String,
    }

    /// What happened.
    Event {
        id: Uuid,
        timestamp: String,
        /// Id of the cluster or node.
        oid: Uuid,
        oname: String,
        otype: String,
        cluster_id: Option<Uuid>,
        level: String,
        user: String,
        project: String,
        action: String,
        status: String,
        status_reason: String,
        #[schema(value_type = Object)]
        meta_data: Map,
    }

    /// A program of this control plane.
    Service {
        id: Uuid,
        host: String,
        binary: String,
        topic: String,
        status: &'static str,
        state: &'static str,
        disabled_reason: Option<String>,
        updated_at: String,
    }
}

/// A profile as users see it; sealed values are `***`.
#[must_use]
pub fn profile(p: &CoreProfile) -> Value {
    value(Profile {
        id: Some(p.id.0),
        name: p.name.clone(),
        kind: p.type_name.clone(),
        user: p.user.clone(),
        project: p.project.clone(),
        domain: p.domain.clone(),
        spec: redact(&value(&p.spec)),
        metadata: Some(p.metadata.clone()),
        created_at: Some(time(p.created_at)),
        updated_at: p.updated_at.map(time),
    })
}

/// A policy as users see it.
#[must_use]
pub fn policy(p: &policy::Policy) -> Value {
    value(Policy {
        id: Some(p.id.0),
        name: p.name.clone(),
        kind: p.type_name.clone(),
        user: p.user.clone(),
        project: p.project.clone(),
        domain: p.domain.clone(),
        spec: value(&p.spec),
        data: p.data.clone(),
        created_at: Some(time(p.created_at)),
        updated_at: p.updated_at.map(time),
    })
}

/// A cluster as users see it.
#[must_use]
pub fn cluster(c: &CoreCluster, version: Microversion) -> Value {
    let mut dependents = Map::new();
    if !c.dependent_profiles.is_empty() {
        dependents.insert("profiles".to_owned(), json!(c.dependent_profiles));
    }
    value(Cluster {
        id: c.id.0,
        name: c.name.clone(),
        profile_id: c.profile_id.0,
        profile_name: c.profile_name.clone(),
        user: c.user.clone(),
        project: c.project.clone(),
        domain: c.domain.clone(),
        init_at: time(c.init_at),
        created_at: c.created_at.map(time),
        updated_at: c.updated_at.map(time),
        min_size: c.min_size,
        max_size: c.max_size,
        desired_capacity: c.desired_capacity,
        timeout: c.timeout,
        status: c.status.as_str(),
        status_reason: c.status_reason.clone(),
        metadata: c.metadata.clone(),
        data: c.data.clone(),
        dependents,
        config: c.config.clone(),
        nodes: c.nodes.iter().map(|n| n.0).collect(),
        policies: c.policies.iter().map(|p| p.0).collect(),
        shared_with: (version >= MAX).then(|| c.shared_with.clone()),
    })
}

/// A node as users see it.
#[must_use]
pub fn node(n: &CoreNode, version: Microversion) -> Value {
    let mut dependents = Map::new();
    if !n.dependent_nodes.is_empty() {
        dependents.insert("nodes".to_owned(), json!(n.dependent_nodes));
    }
    if !n.dependent_profiles.is_empty() {
        dependents.insert("profiles".to_owned(), json!(n.dependent_profiles));
    }
    let mut data = n.data.clone();
    if let Some(host) = n.host_id {
        data.insert("placement".to_owned(), json!({"host_node": host}));
    }
    value(Node {
        id: n.id.0,
        name: n.name.clone(),
        cluster_id: n.cluster_id.map(|c| c.to_string()).unwrap_or_default(),
        physical_id: n.physical_id.clone(),
        profile_id: n.profile_id.0,
        profile_name: n.profile_name.clone(),
        user: n.user.clone(),
        project: n.project.clone(),
        domain: n.domain.clone(),
        index: n.index,
        role: n.role.clone(),
        init_at: time(n.init_at),
        created_at: n.created_at.map(time),
        updated_at: n.updated_at.map(time),
        status: n.status.as_str(),
        status_reason: n.status_reason.clone(),
        data,
        metadata: n.metadata.clone(),
        dependents,
        tainted: (version >= Microversion(1, 13)).then_some(n.tainted),
        details: None,
    })
}

/// A policy attached to a cluster as users see it.
#[must_use]
pub fn binding(b: &policy::Binding) -> Value {
    value(Binding {
        id: b.id.0,
        cluster_id: b.cluster_id.0,
        cluster_name: b.cluster_name.clone(),
        policy_id: b.policy_id.0,
        policy_name: b.policy_name.clone(),
        policy_type: b.policy_type.clone(),
        enabled: b.enabled,
        priority: b.priority,
        data: b.data.clone(),
        last_op: b.last_op.map(precise),
    })
}

/// An action as users see it.
#[must_use]
pub fn action(a: &CoreAction, version: Microversion) -> Value {
    value(Action {
        id: a.id.0,
        name: a.name.clone(),
        action: a.kind.as_str(),
        target: a.target,
        cause: a.cause.clone(),
        owner: a.owner.map(|o| o.0),
        interval: a.interval,
        start_time: epoch(a.started_at),
        end_time: epoch(a.ended_at),
        timeout: a.timeout,
        status: a.status.as_str(),
        status_reason: a.status_reason.clone(),
        inputs: a.inputs.clone(),
        outputs: a.outputs.clone(),
        depends_on: a.depends_on.iter().map(|d| d.0).collect(),
        depended_by: a.depended_by.iter().map(|d| d.0).collect(),
        created_at: time(a.created_at),
        updated_at: a.updated_at.map(time),
        data: a.data.clone(),
        user: a.user.clone(),
        project: a.project.clone(),
        cluster_id: (version >= Microversion(1, 14)).then(|| a.cluster_id.map(|c| c.to_string()).unwrap_or_default()),
    })
}

/// A receiver as users see it; `alarm_url` is how it works now.
#[must_use]
pub fn receiver(r: &CoreReceiver, alarm_url: &str, version: Microversion) -> Value {
    value(Receiver {
        id: r.id.0,
        name: r.name.clone(),
        kind: r.type_name.clone(),
        user: r.user.clone(),
        project: r.project.clone(),
        domain: r.domain.clone(),
        cluster_id: r.cluster_id.map(|c| c.0),
        action: r.action.clone(),
        actor: r.actor.clone(),
        params: r.params.clone(),
        channel: Channel {
            alarm_url: alarm_url.to_owned(),
        },
        created_at: time(r.created_at),
        updated_at: r.updated_at.map(time),
        expires_at: (version >= MAX).then(|| r.expires_at.map(time)),
    })
}

/// An event as users see it.
#[must_use]
pub fn event(e: &CoreEvent) -> Value {
    value(Event {
        id: e.id.0,
        timestamp: e.timestamp.to_rfc3339_opts(SecondsFormat::Secs, false),
        oid: e.oid,
        oname: e.oname.clone(),
        otype: e.otype.clone(),
        cluster_id: e.cluster_id.map(|c| c.0),
        level: e.level.clone(),
        user: e.user.clone(),
        project: e.project.clone(),
        action: e.action.clone(),
        status: e.status.clone(),
        status_reason: e.status_reason.clone(),
        meta_data: e.meta_data.clone(),
    })
}

/// A service as operators see it.
#[must_use]
pub fn service(s: &CoreService) -> Value {
    value(Service {
        id: s.id.0,
        host: s.host.clone(),
        binary: s.binary.clone(),
        topic: s.topic.clone(),
        status: if s.disabled { "disabled" } else { "enabled" },
        state: if s.up { "up" } else { "down" },
        disabled_reason: s.disabled_reason.clone(),
        updated_at: s.updated_at.format("%Y-%m-%dT%H:%M:%S%.6f").to_string(),
    })
}

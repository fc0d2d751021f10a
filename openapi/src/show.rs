//! From what the database holds to what answers show.

use chrono::{DateTime, SecondsFormat, Utc};
use senlin_core::{
    Map, action::Action as CoreAction, cluster::Cluster as CoreCluster, event::Event as CoreEvent,
    node::Node as CoreNode, policy, profile::Profile as CoreProfile, receiver::Receiver as CoreReceiver,
    service::Service as CoreService, spec::redact,
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    Microversion, versions,
    views::{Action, Binding, Channel, Cluster, Event, Node, Policy, Profile, Receiver, Service},
};

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

impl Cluster {
    /// What callers of this version see of it.
    #[must_use]
    pub fn of(c: CoreCluster, version: Microversion) -> Self {
        let mut dependents = Map::new();
        if !c.dependent_profiles.is_empty() {
            dependents.insert("profiles".to_owned(), json!(c.dependent_profiles));
        }
        Self {
            id: c.id.0,
            name: c.name,
            profile_id: c.profile_id.0,
            profile_name: c.profile_name,
            user: c.user,
            project: c.project,
            domain: c.domain,
            init_at: time(c.init_at),
            created_at: c.created_at.map(time),
            updated_at: c.updated_at.map(time),
            min_size: c.min_size,
            max_size: c.max_size,
            desired_capacity: c.desired_capacity,
            timeout: c.timeout,
            status: c.status.as_str(),
            status_reason: c.status_reason,
            metadata: c.metadata,
            data: c.data,
            dependents,
            config: c.config,
            nodes: c.nodes.iter().map(|n| n.0).collect(),
            policies: c.policies.iter().map(|p| p.0).collect(),
            shared_with: (version >= versions::SHARED_WITH).then_some(c.shared_with),
        }
    }
}

/// A cluster as users see it.
#[must_use]
pub fn cluster(c: &CoreCluster, version: Microversion) -> Value {
    value(Cluster::of(c.clone(), version))
}

impl Node {
    /// What callers of this version see of it.
    #[must_use]
    pub fn of(n: CoreNode, version: Microversion) -> Self {
        let mut dependents = Map::new();
        if !n.dependent_nodes.is_empty() {
            dependents.insert("nodes".to_owned(), json!(n.dependent_nodes));
        }
        if !n.dependent_profiles.is_empty() {
            dependents.insert("profiles".to_owned(), json!(n.dependent_profiles));
        }
        let mut data = n.data;
        if let Some(host) = n.host_id {
            data.insert("placement".to_owned(), json!({"host_node": host}));
        }
        Self {
            id: n.id.0,
            name: n.name,
            cluster_id: n.cluster_id.map(|c| c.to_string()).unwrap_or_default(),
            physical_id: n.physical_id,
            profile_id: n.profile_id.0,
            profile_name: n.profile_name,
            user: n.user,
            project: n.project,
            domain: n.domain,
            index: n.index,
            role: n.role,
            init_at: time(n.init_at),
            created_at: n.created_at.map(time),
            updated_at: n.updated_at.map(time),
            status: n.status.as_str(),
            status_reason: n.status_reason,
            data,
            metadata: n.metadata,
            dependents,
            tainted: (version >= versions::TAINTED).then_some(n.tainted),
            details: None,
        }
    }
}

/// A node as users see it.
#[must_use]
pub fn node(n: &CoreNode, version: Microversion) -> Value {
    value(Node::of(n.clone(), version))
}

/// A policy attached to a cluster as users see it.
#[must_use]
pub fn binding(b: &policy::Binding, version: Microversion) -> Value {
    let told = |key: &&str| Some(((*key).to_owned(), b.memory.get(*key)?.clone()));
    let decision: Map = ["decision", "decided_at", "measure"].iter().filter_map(told).collect();
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
        decision: Some(decision).filter(|d| version >= versions::DECISION && !d.is_empty()),
    })
}

impl Action {
    /// What callers of this version see of it.
    #[must_use]
    pub fn of(a: CoreAction, version: Microversion) -> Self {
        Self {
            id: a.id.0,
            name: a.name,
            action: a.kind.as_str(),
            target: a.target,
            cause: a.cause,
            owner: a.owner.map(|o| o.0),
            interval: a.interval,
            start_time: epoch(a.started_at),
            end_time: epoch(a.ended_at),
            timeout: a.timeout,
            status: a.status.as_str(),
            status_reason: a.status_reason,
            inputs: a.inputs,
            outputs: a.outputs,
            depends_on: a.depends_on.iter().map(|d| d.0).collect(),
            depended_by: a.depended_by.iter().map(|d| d.0).collect(),
            created_at: time(a.created_at),
            updated_at: a.updated_at.map(time),
            data: a.data,
            user: a.user,
            project: a.project,
            cluster_id: (version >= versions::ACTION_CLUSTER)
                .then(|| a.cluster_id.map(|c| c.to_string()).unwrap_or_default()),
        }
    }
}

/// An action as users see it.
#[must_use]
pub fn action(a: &CoreAction, version: Microversion) -> Value {
    value(Action::of(a.clone(), version))
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
        expires_at: (version >= versions::RECEIVER_OPTIONS).then(|| r.expires_at.map(time)),
        options: (version >= versions::RECEIVER_OPTIONS).then(|| r.options.clone()),
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

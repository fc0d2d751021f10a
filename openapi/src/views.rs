//! What answers show: one struct per resource, which serializes and describes itself.

use senlin_core::Map;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{Fault, Named, Wrapper, list, one, schemas_of};

/// Declares a view: fields with their Rust types, all of them the contract's own words.
macro_rules! views {
    ($($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident : $type:ty),* $(,)? })*) => {
    $(
        #[derive(Debug, Serialize, ToSchema)]
        $(#[$meta])*
        #[allow(missing_docs, reason = "the contract's own words")]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type),*
        }
    )*

        /// All of them, as the document has them.
        #[must_use]
        pub fn schemas() -> Vec<Named> {
            [schemas_of::<Fault>(), $(schemas_of::<$name>()),*].concat()
        }
    };
}

/// Answers that hold a view, or a list of them.
pub const WRAPPERS: &[Wrapper] = &[
    one("ProfileAnswer", "profile", "Profile"),
    list("ProfilesAnswer", "profiles", "Profile"),
    one("PolicyAnswer", "policy", "Policy"),
    list("PoliciesAnswer", "policies", "Policy"),
    one("ClusterAnswer", "cluster", "Cluster"),
    list("ClustersAnswer", "clusters", "Cluster"),
    one("NodeAnswer", "node", "Node"),
    list("NodesAnswer", "nodes", "Node"),
    one("BindingAnswer", "cluster_policy", "Binding"),
    list("BindingsAnswer", "cluster_policies", "Binding"),
    one("ActionAnswer", "action", "Action"),
    list("ActionsAnswer", "actions", "Action"),
    one("ReceiverAnswer", "receiver", "Receiver"),
    list("ReceiversAnswer", "receivers", "Receiver"),
    one("EventAnswer", "event", "Event"),
    list("EventsAnswer", "events", "Event"),
    list("ServicesAnswer", "services", "Service"),
    list("UnaccountedAnswer", "unaccounted_containers", "UnaccountedContainer"),
    list("AttributesAnswer", "cluster_attributes", "Attribute"),
    one("ProfileTypeAnswer", "profile_type", "Type"),
    list("ProfileTypesAnswer", "profile_types", "ListedType"),
    one("PolicyTypeAnswer", "policy_type", "Type"),
    list("PolicyTypesAnswer", "policy_types", "ListedType"),
    one("VersionAnswer", "version", "Version"),
    list("Versions", "versions", "Version"),
];

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
        /// Of a policy that acts by itself: what it last decided, when, and the measure (1.15).
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<Object>)]
        decision: Option<Map>,
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

    /// A webhook that metrics systems call.
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
        /// How it takes alerts (1.15).
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<Object>)]
        options: Option<Map>,
    }

    /// How a receiver is called.
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

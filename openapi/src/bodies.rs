//! What requests bring: what is read, and what the document describes.

use senlin_core::{Map, profile};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, json};
use utoipa::{
    ToSchema,
    openapi::{ObjectBuilder, Ref, RefOr, Schema, Type},
};

use crate::{Named, Wrapper, one, schemas_of, values::*};

/// Declares bodies, or parts of them, that have no keys but these. The document
/// shows kinds of value where they are used.
macro_rules! bodies {
    ($($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident : $type:ty),* $(,)? })*) => {
    $(
        #[derive(Debug, Deserialize, ToSchema)]
        $(#[$meta])*
        #[serde(deny_unknown_fields)]
        #[allow(missing_docs, reason = "the contract's own words")]
        pub struct $name {
            $(#[schema(inline)] $(#[$field_meta])* pub $field: $type),*
        }
    )*

        /// All of them, as the document has them.
        #[must_use]
        pub fn schemas() -> Vec<Named> {
            [$(schemas_of::<$name>()),*, verbs()].concat()
        }
    };
}

/// Bodies that hold one of these under a key.
pub const WRAPPERS: &[Wrapper] = &[
    one("ProfileCreate", "profile", "NewProfile"),
    one("ProfileValidate", "profile", "SpecOnly"),
    one("ProfileUpdate", "profile", "ProfileChange"),
    one("PolicyCreate", "policy", "NewPolicy"),
    one("PolicyValidate", "policy", "PolicySpecOnly"),
    one("PolicyUpdate", "policy", "PolicyChange"),
    one("ClusterCreate", "cluster", "NewCluster"),
    one("ClusterUpdate", "cluster", "ClusterChange"),
    one("NodeCreate", "node", "NewNode"),
    one("NodeUpdate", "node", "NodeChange"),
    one("ActionUpdate", "action", "Cancellation"),
    one("ReceiverCreate", "receiver", "NewReceiver"),
    one("ReceiverUpdate", "receiver", "ReceiverChange"),
];

fn reference<T: ToSchema>() -> RefOr<Schema> {
    Ref::from_schema_name(T::name()).into()
}

fn only_true() -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::Boolean)
        .enum_values(Some([json!(true)]))
        .into()
}

bodies! {
    /// `{type, version, properties}`, as the type's schema describes.
    Spec {
        r#type: String,
        /// A text or a number.
        #[schema(value_type = String)]
        version: Value,
        #[schema(value_type = Object)]
        properties: Option<Map>,
    }
    /// `{type, version, properties}`, as the type's schema describes.
    PolicySpec {
        r#type: String,
        /// A text or a number.
        #[schema(value_type = String)]
        version: Value,
        /// What it is for.
        description: Option<String>,
        #[schema(value_type = Object)]
        properties: Option<Map>,
    }

    NewProfile {
        name: Name,
        #[schema(schema_with = reference::<Spec>)]
        spec: Value,
        metadata: Option<Object>,
    }
    SpecOnly {
        #[schema(schema_with = reference::<Spec>)]
        spec: Value,
    }
    ProfileChange {
        name: Option<Name>,
        metadata: Option<Object>,
    }

    NewPolicy {
        name: Name,
        #[schema(schema_with = reference::<PolicySpec>)]
        spec: Value,
    }
    PolicySpecOnly {
        #[schema(schema_with = reference::<PolicySpec>)]
        spec: Value,
    }
    PolicyChange { name: Name }

    NewCluster {
        name: Name,
        /// Id, name or short id.
        profile_id: Text,
        #[schema(default = 0)]
        min_size: Option<Size>,
        /// -1 for no bound.
        #[schema(default = -1)]
        max_size: Option<MaxSize>,
        /// `min_size` if not said.
        desired_capacity: Option<Size>,
        metadata: Option<Object>,
        /// Seconds that its actions may take.
        timeout: Option<Whole>,
        /// `node.name.format`, such as `web-$3I`.
        config: Option<Object>,
    }
    ClusterChange {
        name: Option<Name>,
        profile_id: Option<Text>,
        metadata: Option<Object>,
        timeout: Option<Whole>,
        /// Only new members get the new profile (1.6).
        #[schema(value_type = Option<Flag>)]
        profile_only: Option<Newer<Flag>>,
        config: Option<Object>,
        /// Projects that may use its hosts, or `*`: for admins (1.15).
        #[schema(value_type = Option<Projects>)]
        shared_with: Option<Newer<Projects>>,
    }

    Members { nodes: Identities }
    Leaving {
        nodes: Identities,
        /// Destroyed, or let go as orphans (1.4).
        #[schema(default = false)]
        destroy_after_deletion: Option<Flag>,
        /// Refuse what is not what this plan said (1.15).
        plan_token: Option<Text>,
    }
    Replacement {
        /// Old to new.
        #[schema(value_type = Object)]
        nodes: Replacements,
    }
    Resize {
        /// EXACT_CAPACITY, CHANGE_IN_CAPACITY or CHANGE_IN_PERCENTAGE.
        adjustment_type: Option<Text>,
        number: Option<Number>,
        min_size: Option<Size>,
        max_size: Option<MaxSize>,
        min_step: Option<Whole>,
        /// Refuse what breaks the bounds; otherwise as near as they let.
        #[schema(default = true)]
        strict: Option<Flag>,
        /// Refuse what is not what this plan said (1.15).
        plan_token: Option<Text>,
    }
    PolicyRef { policy_id: Text }
    PolicyBinding {
        policy_id: Text,
        #[schema(default = true)]
        enabled: Option<Flag>,
    }
    Recovery {
        /// RESTART or RECREATE (or Senlin's REBOOT, REBUILD).
        operation: Option<Text>,
        operation_params: Option<Object>,
        /// Look first.
        check: Option<Flag>,
        /// Make up the desired capacity.
        check_capacity: Option<Flag>,
    }
    Lifecycle {
        lifecycle_action_token: Text,
        /// Only begin the wait anew (1.15).
        heartbeat: Option<Flag>,
    }
    Rebalancing {
        /// Members on the move at once.
        max_moves: Option<Positive>,
    }

    NewNode {
        /// In a cluster, its own format names nodes.
        name: Name,
        profile_id: Text,
        cluster_id: Option<Text>,
        role: Option<Role>,
        metadata: Option<Object>,
    }
    NodeChange {
        name: Option<Name>,
        profile_id: Option<Text>,
        role: Option<Role>,
        metadata: Option<Object>,
        /// Goes first when its cluster shrinks (1.13).
        #[schema(value_type = Option<Flag>)]
        tainted: Option<Newer<Flag>>,
    }
    NodeAdopt {
        /// A container's id or name on its host, or a host's endpoint.
        identity: Text,
        /// `name-version` of a profile type.
        r#type: Text,
        name: Option<Name>,
        role: Option<Text>,
        metadata: Option<Object>,
        /// `host_node` for a container; TLS, zone and labels for a host.
        overrides: Option<Object>,
        /// None is taken, whatever is said.
        #[schema(value_type = Option<bool>)]
        snapshot: Option<IgnoredAny>,
    }
    NodeAdoptPreview {
        identity: Text,
        r#type: Text,
        overrides: Option<Object>,
        #[schema(value_type = Option<bool>)]
        snapshot: Option<IgnoredAny>,
    }
    NodeRecovery {
        /// RESTART or RECREATE (or Senlin's REBOOT, REBUILD).
        operation: Option<Text>,
        operation_params: Option<Object>,
        /// Look first.
        check: Option<Flag>,
        force_recreate: Option<Flag>,
        /// Read past: the profile says how long a container gets to end.
        #[schema(value_type = Option<i32>)]
        delete_timeout: Option<IgnoredAny>,
    }

    Cancellation {
        /// CANCELLED.
        status: Text,
    }

    NewReceiver {
        name: Name,
        /// webhook; since 1.15 alertmanager, grafana, json too.
        r#type: Text,
        #[schema(value_type = String)]
        cluster_id: Option<Text>,
        /// Such as CLUSTER_SCALE_OUT.
        #[schema(value_type = String)]
        action: Option<Text>,
        /// Taken from the caller, whatever is said.
        #[schema(value_type = Option<Object>)]
        actor: Option<IgnoredAny>,
        /// Inputs of the action.
        params: Option<Object>,
        /// A time such as 2027-01-31T00:00:00Z (1.15).
        #[schema(value_type = Option<String>)]
        expires_at: Option<Newer<Text>>,
        /// Of a receiver of alerts: window, resolved, resolved_params, secret, signature_header, fields (1.15).
        #[schema(value_type = Option<Object>)]
        options: Option<Newer<Object>>,
    }
    ReceiverChange {
        name: Option<Name>,
        action: Option<Text>,
        params: Option<Object>,
        #[schema(value_type = Option<String>)]
        expires_at: Option<Newer<Text>>,
        #[schema(value_type = Option<Object>)]
        options: Option<Newer<Object>>,
    }

    Force {
        /// Whatever its status (1.8).
        force: Option<Flag>,
    }

    SelfEvent {
        message: Message,
        #[schema(nullable = false)]
        level: Option<Severity>,
    }
    SelfProtection { seconds: Protection }
    SelfLifecycle { result: LifecycleResult }

    TakeBack {
        /// The container that the node has by now may be removed.
        confirm: Option<Flag>,
    }
    Removal {
        #[schema(required = true, schema_with = only_true)]
        confirm: Option<Flag>,
    }
}

/// Other keys are read past, as Senlin does.
#[derive(Debug, Deserialize, ToSchema)]
pub struct Count {
    /// One, or what a policy says, if not said.
    #[schema(value_type = Option<i32>, minimum = 1)]
    pub count: Option<Whole>,
    /// Refuse what is not what this plan said (1.15).
    #[schema(value_type = Option<String>)]
    pub plan_token: Option<Newer<Text>>,
}

/// Declares bodies of one key, which says what to do.
macro_rules! verbs {
    ($($(#[$meta:meta])* $name:ident { $($(#[$verb_meta:meta])* $verb:ident($params:ty)),* $(,)? })*) => {
    $(
        #[derive(Debug, Deserialize, ToSchema)]
        $(#[$meta])*
        #[serde(rename_all = "snake_case")]
        #[allow(missing_docs, reason = "the contract's own words")]
        pub enum $name {
            $($(#[$verb_meta])* $verb($params)),*
        }
    )*

        fn verbs() -> Vec<Named> {
            [$(schemas_of::<$name>()),*].concat()
        }
    };
}

verbs! {
    /// Exactly one key; null is as good as an empty map.
    ClusterAction {
        AddNodes(Members),
        DelNodes(Leaving),
        /// Since 1.3.
        ReplaceNodes(Replacement),
        ScaleOut(Count),
        ScaleIn(Count),
        Resize(Resize),
        Check(Object),
        Recover(Recovery),
        /// Since 1.15.
        Rebalance(Rebalancing),
        PolicyAttach(PolicyBinding),
        PolicyDetach(PolicyRef),
        PolicyUpdate(PolicyBinding),
        /// Since 1.9.
        CompleteLifecycle(Lifecycle),
    }
    /// Exactly one key; null is as good as an empty map.
    NodeAction {
        Check(Object),
        Recover(NodeRecovery),
    }
    /// Exactly one key; null is as good as an empty map.
    UnaccountedAction {
        TakeBack(TakeBack),
        Remove(Removal),
    }
}

impl From<Spec> for profile::Spec {
    fn from(spec: Spec) -> Self {
        Self {
            type_name: spec.r#type,
            version: spec.version,
            description: None,
            properties: spec.properties.unwrap_or_default(),
        }
    }
}

impl From<PolicySpec> for profile::Spec {
    fn from(spec: PolicySpec) -> Self {
        Self {
            type_name: spec.r#type,
            version: spec.version,
            description: spec.description,
            properties: spec.properties.unwrap_or_default(),
        }
    }
}

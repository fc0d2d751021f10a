//! What requests bring (contract/api, sections 3 to 5). The handlers read
//! bodies leniently, as Senlin did; these structs describe what to send.

use senlin_core::Map;
use serde_json::Value;
use utoipa::ToSchema;

/// Declares the description of a body.
macro_rules! bodies {
    ($($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident : $type:ty),* $(,)? })*) => {$(
        $(#[$meta])*
        #[derive(Debug, ToSchema)]
        #[allow(missing_docs, reason = "described, and read field by field")]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type),*
        }
    )*};
}

bodies! {
    /// `{type, version, properties}`, as the type's schema describes.
    Spec {
        r#type: String,
        /// A text or a number.
        #[schema(value_type = String)]
        version: Value,
        #[schema(value_type = Object)]
        properties: Map,
    }

    NewProfile {
        #[schema(min_length = 1, max_length = 255, pattern = r"^[a-zA-Z\u4e00-\u9fa5\d._~-]*$")]
        name: String,
        spec: Spec,
        #[schema(value_type = Option<Object>)]
        metadata: Option<Map>,
    }
    ProfileCreate { profile: NewProfile }
    SpecOnly { spec: Spec }
    ProfileValidate { profile: SpecOnly }
    ProfileChange {
        name: Option<String>,
        #[schema(value_type = Option<Object>)]
        metadata: Option<Map>,
    }
    ProfileUpdate { profile: ProfileChange }

    NewPolicy {
        #[schema(min_length = 1, max_length = 255)]
        name: String,
        spec: Spec,
    }
    PolicyCreate { policy: NewPolicy }
    PolicyValidate { policy: SpecOnly }
    PolicyChange { name: String }
    PolicyUpdate { policy: PolicyChange }

    NewCluster {
        #[schema(min_length = 1, max_length = 255)]
        name: String,
        /// Id, name or short id.
        profile_id: String,
        #[schema(minimum = 0, maximum = 1000, default = 0)]
        min_size: Option<i32>,
        /// -1 for no bound.
        #[schema(minimum = -1, maximum = 1000, default = -1)]
        max_size: Option<i32>,
        /// `min_size` if not said.
        #[schema(minimum = 0, maximum = 1000)]
        desired_capacity: Option<i32>,
        #[schema(value_type = Option<Object>)]
        metadata: Option<Map>,
        /// Seconds that its actions may take.
        #[schema(minimum = 0)]
        timeout: Option<i32>,
        /// `node.name.format`, such as `web-$3I`.
        #[schema(value_type = Option<Object>)]
        config: Option<Map>,
    }
    ClusterCreate { cluster: NewCluster }
    ClusterChange {
        name: Option<String>,
        profile_id: Option<String>,
        #[schema(value_type = Option<Object>)]
        metadata: Option<Map>,
        #[schema(minimum = 0)]
        timeout: Option<i32>,
        /// Only new members get the new profile (1.6).
        profile_only: Option<bool>,
        #[schema(value_type = Option<Object>)]
        config: Option<Map>,
        /// Projects that may use its hosts, or `*`: for admins (1.15).
        shared_with: Option<Vec<String>>,
    }
    ClusterUpdate { cluster: ClusterChange }

    Members {
        /// Ids or names, each once.
        #[schema(min_items = 1, max_items = 1000)]
        nodes: Vec<String>,
    }
    Leaving {
        #[schema(min_items = 1, max_items = 1000)]
        nodes: Vec<String>,
        /// Destroyed, or let go as orphans (1.4).
        #[schema(default = false)]
        destroy_after_deletion: Option<bool>,
    }
    Replacement {
        /// Old to new.
        #[schema(value_type = Object)]
        nodes: Map,
    }
    Count {
        /// One, or what a policy says, if not said.
        #[schema(minimum = 1)]
        count: Option<i32>,
    }
    Resize {
        /// EXACT_CAPACITY, CHANGE_IN_CAPACITY or CHANGE_IN_PERCENTAGE.
        adjustment_type: Option<String>,
        number: Option<f64>,
        #[schema(minimum = 0)]
        min_size: Option<i32>,
        #[schema(minimum = -1)]
        max_size: Option<i32>,
        #[schema(minimum = 0)]
        min_step: Option<i32>,
        /// Refuse what breaks the bounds; otherwise as near as they let.
        #[schema(default = true)]
        strict: Option<bool>,
    }
    PolicyRef { policy_id: String }
    PolicyBinding {
        policy_id: String,
        #[schema(default = true)]
        enabled: Option<bool>,
    }
    Recovery {
        /// RESTART or RECREATE (or Senlin's REBOOT, REBUILD).
        operation: Option<String>,
        #[schema(value_type = Option<Object>)]
        operation_params: Option<Map>,
        /// Look first.
        check: Option<bool>,
        /// Make up the desired capacity.
        check_capacity: Option<bool>,
    }
    Lifecycle {
        lifecycle_action_token: String,
        /// Only begin the wait anew (1.15).
        heartbeat: Option<bool>,
    }
    Rebalancing {
        /// Members on the move at once.
        max_moves: Option<i32>,
    }
    /// Exactly one key.
    ClusterAction {
        add_nodes: Option<Members>,
        del_nodes: Option<Leaving>,
        /// Since 1.3.
        replace_nodes: Option<Replacement>,
        scale_out: Option<Count>,
        scale_in: Option<Count>,
        resize: Option<Resize>,
        #[schema(value_type = Option<Object>)]
        check: Option<Map>,
        recover: Option<Recovery>,
        /// Since 1.15.
        rebalance: Option<Rebalancing>,
        policy_attach: Option<PolicyBinding>,
        policy_detach: Option<PolicyRef>,
        policy_update: Option<PolicyBinding>,
        /// Since 1.9.
        complete_lifecycle: Option<Lifecycle>,
    }

    NewNode {
        /// In a cluster, its own format names nodes.
        #[schema(min_length = 1, max_length = 255)]
        name: String,
        profile_id: String,
        cluster_id: Option<String>,
        #[schema(max_length = 64)]
        role: Option<String>,
        #[schema(value_type = Option<Object>)]
        metadata: Option<Map>,
    }
    NodeCreate { node: NewNode }
    NodeChange {
        name: Option<String>,
        profile_id: Option<String>,
        role: Option<String>,
        #[schema(value_type = Option<Object>)]
        metadata: Option<Map>,
        /// Goes first when its cluster shrinks (1.13).
        tainted: Option<bool>,
    }
    NodeUpdate { node: NodeChange }
    NodeAdopt {
        /// A container's id or name on its host, or a host's endpoint.
        identity: String,
        /// `name-version` of a profile type.
        r#type: String,
        name: Option<String>,
        role: Option<String>,
        #[schema(value_type = Option<Object>)]
        metadata: Option<Map>,
        /// `host_node` for a container; TLS, zone and labels for a host.
        #[schema(value_type = Option<Object>)]
        overrides: Option<Map>,
        snapshot: Option<bool>,
    }
    /// Exactly one key.
    NodeAction {
        #[schema(value_type = Option<Object>)]
        check: Option<Map>,
        recover: Option<Recovery>,
    }
    Cancellation {
        /// CANCELLED.
        status: String,
    }
    ActionUpdate { action: Cancellation }

    NewReceiver {
        #[schema(min_length = 1, max_length = 255)]
        name: String,
        /// webhook; since 1.15 alertmanager, grafana, json too.
        r#type: String,
        cluster_id: String,
        /// Such as CLUSTER_SCALE_OUT.
        action: String,
        /// Taken from the caller, whatever is said.
        #[schema(value_type = Option<Object>)]
        actor: Option<Map>,
        /// Inputs of the action.
        #[schema(value_type = Option<Object>)]
        params: Option<Map>,
        /// A time such as 2027-01-31T00:00:00Z (1.15).
        expires_at: Option<String>,
        /// Of a receiver of alerts: window, resolved, resolved_params, secret, signature_header, fields (1.15).
        #[schema(value_type = Option<Object>)]
        options: Option<Map>,
    }
    ReceiverCreate { receiver: NewReceiver }
    ReceiverChange {
        name: Option<String>,
        action: Option<String>,
        #[schema(value_type = Option<Object>)]
        params: Option<Map>,
        expires_at: Option<String>,
        #[schema(value_type = Option<Object>)]
        options: Option<Map>,
    }
    ReceiverUpdate { receiver: ReceiverChange }
    Force {
        /// Whatever its status (1.8).
        force: Option<bool>,
    }
}

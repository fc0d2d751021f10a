//! Microversions, and what each one brought. A gate compares with the version
//! that brought the thing, never with the newest, which grows.

/// A microversion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Microversion(pub u32, pub u32);

impl std::fmt::Display for Microversion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// The first.
pub const MIN: Microversion = Microversion(1, 0);
/// The last that Senlin had.
pub const SENLIN_MAX: Microversion = Microversion(1, 14);
/// The last: our own additions.
pub const MAX: Microversion = Microversion(1, 15);

/// `destroy_after_deletion` of `del_nodes`.
pub const DESTROY_AFTER_DELETION: Microversion = Microversion(1, 4);
/// `support_status` of profile and policy types.
pub const SUPPORT_STATUS: Microversion = Microversion(1, 5);
/// `profile_only` of a cluster's update.
pub const PROFILE_ONLY: Microversion = Microversion(1, 6);
/// `config` of a cluster.
pub const CLUSTER_CONFIG: Microversion = Microversion(1, 7);
/// `force` of a deletion.
pub const FORCE: Microversion = Microversion(1, 8);
/// Parameters of a webhook as its body.
pub const WEBHOOK_BODY: Microversion = Microversion(1, 10);
/// `tainted` of a node.
pub const TAINTED: Microversion = Microversion(1, 13);
/// `cluster_id` of an action.
pub const ACTION_CLUSTER: Microversion = Microversion(1, 14);
/// `shared_with` of a cluster of hosts.
pub const SHARED_WITH: Microversion = Microversion(1, 15);
/// `plan_token` of a cluster's actions.
pub const PLAN_TOKEN: Microversion = Microversion(1, 15);
/// `rebalance` of a cluster's actions.
pub const REBALANCE: Microversion = Microversion(1, 15);
/// `decision` of an action.
pub const DECISION: Microversion = Microversion(1, 15);
/// `heartbeat` of a lifecycle hook's answer.
pub const LIFECYCLE_HEARTBEAT: Microversion = Microversion(1, 15);
/// Receivers of alerts, and `options` and `expires_at` of a receiver.
pub const RECEIVER_OPTIONS: Microversion = Microversion(1, 15);
/// `since` of a list of events.
pub const EVENT_CURSOR: Microversion = Microversion(1, 15);
/// The header `Idempotency-Key`.
pub const IDEMPOTENCY_KEY: Microversion = Microversion(1, 15);

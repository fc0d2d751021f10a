//! Actions: what is being done, to what, and how far it is.
//!
//! `docs/actions.md` says who may write which field.

use uuid::Uuid;

use crate::{Map, Time, ids::*, words::words};

pub mod inputs;

words! {
    /// Senlin's nine states. They move only along [`ActionStatus::may_become`].
    ActionStatus {
        Init = "INIT",
        Waiting = "WAITING",
        Ready = "READY",
        Running = "RUNNING",
        Suspended = "SUSPENDED",
        Succeeded = "SUCCEEDED",
        Failed = "FAILED",
        Cancelled = "CANCELLED",
        WaitingLifecycleCompletion = "WAITING_LIFECYCLE_COMPLETION",
    }
}

impl ActionStatus {
    /// Ended: nothing moves it again.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// The moves that are allowed; the database refuses the others (trigger
    /// `actions_transition`). READY again after RUNNING or WAITING is a
    /// hand-back (retry, lost engine, children done), never a step backwards
    /// in the action's phase.
    #[must_use]
    pub fn may_become(self, next: Self) -> bool {
        use ActionStatus::*;
        match self {
            Init => matches!(next, Ready | Waiting | WaitingLifecycleCompletion | Cancelled | Failed),
            Waiting => matches!(next, Ready | Cancelled | Failed),
            // What was to be deleted was gone already.
            Ready => matches!(next, Running | Suspended | Succeeded | Cancelled | Failed),
            Running => matches!(
                next,
                Waiting | WaitingLifecycleCompletion | Ready | Suspended | Succeeded | Failed | Cancelled
            ),
            Suspended => matches!(next, Ready | Cancelled | Failed),
            WaitingLifecycleCompletion => matches!(next, Ready | Cancelled | Failed),
            Succeeded | Failed | Cancelled => false,
        }
    }
}

words! {
    /// What an action does; the prefix says to which kind of target.
    ActionKind {
        ClusterCreate = "CLUSTER_CREATE",
        ClusterDelete = "CLUSTER_DELETE",
        ClusterUpdate = "CLUSTER_UPDATE",
        ClusterAddNodes = "CLUSTER_ADD_NODES",
        ClusterDelNodes = "CLUSTER_DEL_NODES",
        ClusterResize = "CLUSTER_RESIZE",
        ClusterCheck = "CLUSTER_CHECK",
        ClusterRecover = "CLUSTER_RECOVER",
        ClusterReplaceNodes = "CLUSTER_REPLACE_NODES",
        ClusterScaleOut = "CLUSTER_SCALE_OUT",
        ClusterScaleIn = "CLUSTER_SCALE_IN",
        ClusterAttachPolicy = "CLUSTER_ATTACH_POLICY",
        ClusterDetachPolicy = "CLUSTER_DETACH_POLICY",
        ClusterUpdatePolicy = "CLUSTER_UPDATE_POLICY",
        ClusterOperation = "CLUSTER_OPERATION",
        ClusterRebalance = "CLUSTER_REBALANCE",
        NodeCreate = "NODE_CREATE",
        NodeDelete = "NODE_DELETE",
        NodeUpdate = "NODE_UPDATE",
        NodeJoin = "NODE_JOIN",
        NodeLeave = "NODE_LEAVE",
        NodeCheck = "NODE_CHECK",
        NodeRecover = "NODE_RECOVER",
        NodeOperation = "NODE_OPERATION",
    }
}

impl ActionKind {
    /// Whether its target is a cluster (else a node).
    #[must_use]
    pub fn is_cluster(self) -> bool {
        self.as_str().starts_with("CLUSTER_")
    }
}

/// Where an action came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A request of a user.
    Rpc,
    /// A child of another action.
    Derived,
    /// A child that asks its node first.
    Hooked,
    /// The health manager found something amiss.
    Health,
    /// A policy's own decision.
    Policy,
}

impl Cause {
    /// The contract's text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rpc => "RPC Request",
            Self::Derived => "Derived Action",
            Self::Hooked => "Derived Action with Lifecycle Hook",
            Self::Health => "Health Manager",
            Self::Policy => "Policy",
        }
    }
}

words! {
    /// Which locks a claim must take with it.
    LockScope {
        /// The cluster, alone.
        Cluster = "CLUSTER",
        /// The node, and a share of its cluster's lock.
        Member = "MEMBER",
        /// The node only: children (their parent holds the cluster) and orphans.
        Node = "NODE",
    }
}

/// A request that the API writes and the engine obeys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// End it at the next step.
    Cancel,
}

/// One action as the database holds it.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the contract's own words; docs/actions.md has each field")]
pub struct Action {
    pub id: ActionId,
    pub name: String,
    pub kind: ActionKind,
    pub target: Uuid,
    pub cluster_id: Option<ClusterId>,
    pub parent_id: Option<ActionId>,
    pub cause: String,
    pub status: ActionStatus,
    pub status_reason: String,
    pub phase: String,
    pub cancel: bool,
    pub inputs: Map,
    pub outputs: Map,
    pub data: Map,
    pub owner: Option<ServiceId>,
    pub attempt: i32,
    pub retries: i32,
    pub interval: i32,
    pub timeout: i32,
    pub user: String,
    pub project: String,
    pub request_id: String,
    pub created_at: Time,
    pub updated_at: Option<Time>,
    pub started_at: Option<Time>,
    pub ended_at: Option<Time>,
    pub depends_on: Vec<ActionId>,
    pub depended_by: Vec<ActionId>,
}

/// An action to be recorded.
#[derive(Debug, Clone)]
pub struct NewAction {
    /// Its id, chosen by the recorder.
    pub id: ActionId,
    /// Such as `cluster_create_1a2b3c4d`.
    pub name: String,
    /// What it does.
    pub kind: ActionKind,
    /// The cluster's or node's id.
    pub target: Uuid,
    /// The cluster it concerns, if any.
    pub cluster_id: Option<ClusterId>,
    /// The action that waits for it.
    pub parent_id: Option<ActionId>,
    /// Where it came from.
    pub cause: Cause,
    /// What a claim locks.
    pub lock_scope: LockScope,
    /// The host it will talk to, when that is known: limits per host count by it.
    pub host_id: Option<NodeId>,
    /// `READY`, or `WAITING_LIFECYCLE_COMPLETION`.
    pub status: ActionStatus,
    /// Handler inputs.
    pub inputs: Map,
    /// Seconds from its start.
    pub timeout: i32,
    /// On whose behalf.
    pub user: String,
    /// In which project.
    pub project: String,
    /// The request that led to it.
    pub request_id: String,
    /// Who is asked before it begins, and for how many seconds (`timeout`).
    pub hook: Option<Map>,
}

impl NewAction {
    /// One that no request asked for, to be claimed at once. It locks its node,
    /// concerns no cluster and has an hour, unless the caller says otherwise.
    #[must_use]
    pub fn unasked(kind: ActionKind, target: Uuid, cause: Cause, user: String, project: String) -> Self {
        let id = target.to_string();
        Self {
            id: ActionId::random(),
            name: format!("{}_{}", kind.as_str().to_lowercase(), id.get(..8).unwrap_or(&id)),
            kind,
            target,
            cluster_id: None,
            parent_id: None,
            cause,
            lock_scope: LockScope::Node,
            host_id: None,
            status: ActionStatus::Ready,
            inputs: Map::new(),
            timeout: 3600,
            user,
            project,
            request_id: String::new(),
            hook: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for status in ActionStatus::ALL {
            assert_eq!(ActionStatus::parse(status.as_str()), Some(*status));
        }
        for kind in ActionKind::ALL {
            assert_eq!(ActionKind::parse(kind.as_str()), Some(*kind));
        }
    }

    #[test]
    fn the_end_is_final() {
        for end in ActionStatus::ALL.iter().filter(|s| s.is_terminal()) {
            for &next in ActionStatus::ALL {
                assert!(!end.may_become(next), "{end:?} -> {next:?}");
            }
        }
    }

    #[test]
    fn every_state_can_reach_an_end() {
        for state in ActionStatus::ALL.iter().filter(|s| !s.is_terminal()) {
            assert!(state.may_become(ActionStatus::Failed), "{state:?}");
            assert!(state.may_become(ActionStatus::Cancelled), "{state:?}");
        }
    }
}

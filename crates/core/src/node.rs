//! Nodes: one container, or one machine that runs Docker Engine.

use crate::{Map, Time, ids::*, words::words};

words! {
    /// A node's status.
    NodeStatus {
        Init = "INIT",
        Active = "ACTIVE",
        Error = "ERROR",
        Warning = "WARNING",
        Creating = "CREATING",
        Updating = "UPDATING",
        Deleting = "DELETING",
        Recovering = "RECOVERING",
        Operating = "OPERATING",
    }
}

words! {
    /// What was seen of a node's container or machine.
    Condition {
        Running = "RUNNING",
        Exited = "EXITED",
        Unhealthy = "UNHEALTHY",
        Unresponsive = "UNRESPONSIVE",
        Suspended = "SUSPENDED",
        Gone = "GONE",
        Unknown = "UNKNOWN",
    }
}

impl NodeStatus {
    /// An action is changing the node, or was when it ended.
    #[must_use]
    pub fn is_passing(self) -> bool {
        !matches!(self, Self::Active | Self::Warning | Self::Error)
    }
}

/// An update of a node's container, as it is recorded before its host is touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// Whose it is.
    pub action: ActionId,
    /// Of the container that may be made.
    pub generation: i32,
    /// What it is made from.
    pub profile_id: ProfileId,
}

/// A node as the database holds it, with what its representation joins in.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the contract's own words")]
pub struct Node {
    pub id: NodeId,
    pub name: String,
    pub cluster_id: Option<ClusterId>,
    /// A container's full 64-character id, or a host's endpoint.
    pub physical_id: Option<String>,
    pub profile_id: ProfileId,
    pub profile_name: String,
    pub profile_type: String,
    pub user: String,
    pub project: String,
    pub domain: Option<String>,
    /// -1 outside a cluster.
    pub index: i32,
    pub role: Option<String>,
    pub init_at: Time,
    pub created_at: Option<Time>,
    pub updated_at: Option<Time>,
    pub status: NodeStatus,
    pub status_reason: String,
    pub metadata: Map,
    pub data: Map,
    pub tainted: bool,
    /// The host that the container is placed on.
    pub host_id: Option<NodeId>,
    /// Counts this node's containers; names and labels carry it.
    pub generation: i32,
    /// The highest generation that was ever begun for it, attempts included:
    /// nothing that it has made can be of a newer one.
    pub generations: i32,
    /// An operation stopped or paused its container: that it does not run is no failure.
    pub at_rest: bool,
    /// An update whose end is not recorded yet.
    pub attempt: Option<Attempt>,
    /// Containers placed on this host.
    pub dependent_nodes: Vec<NodeId>,
    /// Profiles that name this host.
    pub dependent_profiles: Vec<ProfileId>,
}

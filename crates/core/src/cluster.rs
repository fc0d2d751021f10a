//! Clusters: groups of nodes of one profile.

use crate::{Map, Time, ids::*, words::words};

words! {
    /// A cluster's status.
    ClusterStatus {
        Init = "INIT",
        Active = "ACTIVE",
        Creating = "CREATING",
        Updating = "UPDATING",
        Resizing = "RESIZING",
        Deleting = "DELETING",
        Checking = "CHECKING",
        Recovering = "RECOVERING",
        Critical = "CRITICAL",
        Error = "ERROR",
        Warning = "WARNING",
        Operating = "OPERATING",
    }
}

/// A cluster as the database holds it, with what its representation joins in.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the contract's own words")]
pub struct Cluster {
    pub id: ClusterId,
    pub name: String,
    pub profile_id: ProfileId,
    pub profile_name: String,
    pub profile_type: String,
    pub user: String,
    pub project: String,
    pub domain: Option<String>,
    pub init_at: Time,
    pub created_at: Option<Time>,
    pub updated_at: Option<Time>,
    pub min_size: i32,
    /// -1: no limit of its own.
    pub max_size: i32,
    pub desired_capacity: i32,
    pub next_index: i32,
    pub timeout: i32,
    pub status: ClusterStatus,
    pub status_reason: String,
    pub metadata: Map,
    pub data: Map,
    pub config: Map,
    /// Projects that an admin lets use this cluster's hosts; `*` is every one.
    pub shared_with: Vec<String>,
    /// Member ids by index.
    pub nodes: Vec<NodeId>,
    /// Binding ids.
    pub policies: Vec<BindingId>,
    /// Profiles whose containers go to this cluster of hosts.
    pub dependent_profiles: Vec<ProfileId>,
}

/// What a cluster's status follows from.
#[derive(Debug, Clone, Copy)]
pub struct MemberCounts {
    /// Members that are ACTIVE.
    pub active: i32,
    /// Members of any status.
    pub total: i32,
    /// The size asked for.
    pub desired: i32,
    /// The least size allowed.
    pub min: i32,
    /// The greatest size allowed, -1 for none.
    pub max: i32,
}

/// The status that is true of a cluster now, with its reason (Senlin's
/// `eval_status`). `operation` prefixes the reason, such as `CLUSTER_CREATE`.
#[must_use]
pub fn evaluate(operation: &str, member_counts: MemberCounts) -> (ClusterStatus, String) {
    let MemberCounts {
        active,
        desired,
        min,
        max,
        ..
    } = member_counts;
    let (status, reason) = if active < min {
        (
            ClusterStatus::Error,
            format!("number of active nodes is below min_size ({min})."),
        )
    } else if active < desired {
        (
            ClusterStatus::Warning,
            format!("number of active nodes is below desired_capacity ({desired})."),
        )
    } else if max < 0 || active <= max {
        (
            ClusterStatus::Active,
            format!("number of active nodes is equal or above desired_capacity ({desired})."),
        )
    } else {
        (
            ClusterStatus::Warning,
            format!("number of active nodes is above max_size ({max})."),
        )
    };
    (status, format!("{operation}: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_follows_the_member_counts() {
        let table = [
            (0, 1, 1, -1, ClusterStatus::Error),
            (1, 2, 1, -1, ClusterStatus::Warning),
            (2, 2, 1, -1, ClusterStatus::Active),
            (3, 2, 1, 3, ClusterStatus::Active),
            (4, 2, 1, 3, ClusterStatus::Warning),
            (0, 0, 0, -1, ClusterStatus::Active),
        ];
        for (active, desired, min, max, expected) in table {
            let member_counts = MemberCounts {
                active,
                total: active,
                desired,
                min,
                max,
            };
            assert_eq!(evaluate("X", member_counts).0, expected, "{member_counts:?}");
        }
    }
}

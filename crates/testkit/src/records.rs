//! Rows to begin a test with: a test names what it is about, the rest is here.

use senlin_core::{
    Map,
    action::{ActionKind, Cause, LockScope, NewAction},
    ids::*,
};
use senlin_db::{child_actions::NewNode, clusters::NewCluster, policies::NewPolicy, profiles::NewProfile};

/// Who made them all.
const USER: &str = "u";

/// A profile of no type that there is.
#[must_use]
pub fn profile(project: &str, name: &str) -> NewProfile {
    NewProfile {
        id: ProfileId::random(),
        name: name.to_owned(),
        type_name: "t-1.0".to_owned(),
        spec: Map::new().into(),
        user: USER.to_owned(),
        project: project.to_owned(),
        domain: None,
        metadata: Map::new(),
        host_node: None,
        host_cluster: None,
    }
}

/// A policy of no type that there is.
#[must_use]
pub fn policy(project: &str, name: &str) -> NewPolicy {
    NewPolicy {
        id: PolicyId::random(),
        name: name.to_owned(),
        type_name: "t-1.0".to_owned(),
        spec: Map::new().into(),
        user: USER.to_owned(),
        project: project.to_owned(),
        domain: None,
    }
}

/// A cluster without bounds.
#[must_use]
pub fn cluster(project: &str, name: &str, profile: ProfileId, size: i32) -> NewCluster {
    NewCluster {
        id: ClusterId::random(),
        name: name.to_owned(),
        profile_id: profile,
        user: USER.to_owned(),
        project: project.to_owned(),
        domain: None,
        min_size: 0,
        max_size: -1,
        desired_capacity: size,
        timeout: 3600,
        metadata: Map::new(),
        config: Map::new(),
    }
}

/// A node outside clusters.
#[must_use]
pub fn node(project: &str, name: &str, profile: ProfileId) -> NewNode {
    NewNode {
        id: NodeId::random(),
        name: name.to_owned(),
        cluster_id: None,
        profile_id: profile,
        user: USER.to_owned(),
        project: project.to_owned(),
        domain: None,
        index: -1,
        role: None,
        metadata: Map::new(),
    }
}

/// An action that a user asked for, to be claimed at once.
#[must_use]
pub fn action(
    project: &str,
    kind: ActionKind,
    target: uuid::Uuid,
    cluster: Option<ClusterId>,
    lock_scope: LockScope,
) -> NewAction {
    NewAction {
        cluster_id: cluster,
        lock_scope,
        request_id: "req-test".to_owned(),
        ..NewAction::unasked(kind, target, Cause::Rpc, USER.to_owned(), project.to_owned())
    }
}

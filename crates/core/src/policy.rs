//! Policies and their bindings to clusters.

use crate::{Map, Time, ids::*, profile::Spec};

/// A policy as the database holds it.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the contract's own words")]
pub struct Policy {
    pub id: PolicyId,
    pub name: String,
    pub type_name: String,
    pub spec: Spec,
    pub data: Map,
    pub user: String,
    pub project: String,
    pub domain: Option<String>,
    pub created_at: Time,
    pub updated_at: Option<Time>,
}

/// A policy attached to a cluster.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the contract's own words")]
pub struct Binding {
    pub id: BindingId,
    pub cluster_id: ClusterId,
    pub cluster_name: String,
    pub policy_id: PolicyId,
    pub policy_name: String,
    pub policy_type: String,
    pub enabled: bool,
    pub priority: i32,
    pub data: Option<Map>,
    /// What the policy decided by itself, and why; of those that act by themselves.
    pub memory: Map,
    pub last_op: Option<Time>,
}

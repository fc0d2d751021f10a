//! Receivers: doors that metrics systems knock on.

use crate::{Map, Time, ids::*};

/// A receiver as the database holds it.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the contract's own words")]
pub struct Receiver {
    pub id: ReceiverId,
    pub name: String,
    pub type_name: String,
    pub user: String,
    pub project: String,
    pub domain: Option<String>,
    pub cluster_id: Option<ClusterId>,
    pub action: Option<String>,
    pub actor: Map,
    pub params: Map,
    pub channel: Map,
    pub created_at: Time,
    pub updated_at: Option<Time>,
}

//! Receivers: webhooks that metrics systems call.

use crate::{Map, Time, ids::*};

/// A receiver as the database holds it.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the contract's own words")]
pub struct Receiver {
    pub id: ReceiverId,
    pub name: String,
    pub type_name: String,
    /// In whose name it acts.
    pub user: String,
    /// In whose project it acts.
    pub project: String,
    pub domain: Option<String>,
    pub cluster_id: Option<ClusterId>,
    pub action: Option<String>,
    pub actor: Map,
    pub params: Map,
    pub channel: Map,
    /// How it takes alerts; secrets sealed.
    pub options: Map,
    /// What opens it beside its id, sealed.
    pub key: String,
    pub created_at: Time,
    pub updated_at: Option<Time>,
    /// From then on it does nothing.
    pub expires_at: Option<Time>,
}

//! Events: each state change of an action, as users read it.

use crate::{Map, Time, ids::*};

/// How much an event matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the contract's own words")]
pub enum Level {
    Debug = 10,
    Info = 20,
    Warn = 30,
    Error = 40,
    Critical = 50,
}

impl Level {
    /// Every level.
    pub const ALL: [Self; 5] = [Self::Critical, Self::Error, Self::Warn, Self::Info, Self::Debug];

    /// The name on the wire and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
            Self::Critical => "CRITICAL",
        }
    }
}

/// An event as the database holds it.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the contract's own words")]
pub struct Event {
    pub id: EventId,
    pub timestamp: Time,
    pub oid: uuid::Uuid,
    pub oname: String,
    pub otype: String,
    pub cluster_id: Option<ClusterId>,
    pub level: String,
    pub user: String,
    pub project: String,
    pub action: String,
    pub status: String,
    pub status_reason: String,
    pub meta_data: Map,
}

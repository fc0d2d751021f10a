//! Services: the processes that are running.

use crate::{Time, ids::ServiceId};

/// A process as the database holds it.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the contract's own words")]
pub struct Service {
    pub id: ServiceId,
    pub host: String,
    pub binary: String,
    pub topic: String,
    pub disabled: bool,
    pub disabled_reason: Option<String>,
    /// Reported within the service-down time, by the database's clock.
    pub up: bool,
    pub created_at: Time,
    pub updated_at: Time,
}

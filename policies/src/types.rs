//! Every policy type, one file each.

use std::sync::Arc;

use crate::engine::Registry;

pub(crate) mod affinity;
pub mod batch;
pub(crate) mod deletion;
pub mod health;
pub mod host_placement;
pub(crate) mod region_placement;
pub(crate) mod scaling;
pub mod target_tracking;
pub(crate) mod zone_placement;

/// Every policy type, in listing order. A new one is one file, and a line in each list here.
#[must_use]
pub fn all() -> Registry {
    let [health_1_0, health_1_1, health_1_2] = health::HealthPolicy::all();
    Registry::new(vec![
        Arc::new(affinity::Affinity::new()),
        Arc::new(batch::Batch::new()),
        Arc::new(deletion::Deletion::v1_0()),
        Arc::new(deletion::Deletion::v1_1()),
        Arc::new(health_1_0),
        Arc::new(health_1_1),
        Arc::new(health_1_2),
        Arc::new(host_placement::HostPlacement::new()),
        Arc::new(region_placement::RegionPlacement::new()),
        Arc::new(scaling::Scaling::new()),
        Arc::new(target_tracking::TargetTrackingPolicy::new()),
        Arc::new(zone_placement::ZonePlacement::new()),
    ])
}

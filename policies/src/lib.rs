//! Decisions: sizes, victims, placement. Facts in, decision and explanation out.
//!
//! Must never: do IO, be async, or read the clock; time and chance are arguments.

use std::sync::Arc;

pub mod batch;
pub mod engine;
pub mod health;
pub mod host_placement;
pub mod placement;
pub mod rebalance;
pub mod size;
pub mod target_tracking;
pub mod victims;

mod affinity;
mod chance;
mod deletion;
mod region_placement;
mod scaling;
mod shares;
mod zone_placement;

/// Every policy type, in listing order. A new one is one file and one line here.
#[must_use]
pub fn all() -> engine::Registry {
    let [health_1_0, health_1_1, health_1_2] = health::HealthPolicy::all();
    engine::Registry::new(vec![
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

//! Every policy type, one file each.

use std::sync::Arc;

use target_tracking::TargetTracking;

use crate::engine::{Registry, Typed};

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
    let [deletion_1_0, deletion_1_1] = deletion::all();
    let [health_1_0, health_1_1, health_1_2] = health::all();
    Registry::new(vec![
        Arc::new(Typed::<affinity::Spec>::new(&affinity::META)),
        Arc::new(Typed::<batch::Spec>::new(&batch::META)),
        Arc::new(deletion_1_0),
        Arc::new(deletion_1_1),
        Arc::new(health_1_0),
        Arc::new(health_1_1),
        Arc::new(health_1_2),
        Arc::new(Typed::<host_placement::Spec>::new(&host_placement::META)),
        Arc::new(Typed::<region_placement::Spec>::new(&region_placement::META)),
        Arc::new(Typed::<scaling::Spec>::new(&scaling::META)),
        Arc::new(Typed::<TargetTracking>::new(&target_tracking::META)),
        Arc::new(Typed::<zone_placement::Spec>::new(&zone_placement::META)),
    ])
}

//! `senlin.policy.region_placement`: members over regions of hosts, by weight
//! and up to a cap. A host's region is its label `region`.

use std::collections::BTreeMap;

use senlin_core::{
    placement::HostSnapshot,
    types::{Meta, Support},
};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    engine::{Decision, PolicyMeta},
    shares::{Places, Share, Steering, hundred},
};

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    /// List of regions to choose from.
    #[schema(min_items = 1)]
    regions: Vec<Region>,
}

/// A region of hosts.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Region {
    /// Name of a region.
    #[schema(min_length = 1)]
    name: String,
    /// Weight of the region. The default is 100.
    #[serde(default = "hundred")]
    #[schema(default = 100, minimum = 1, maximum = 1000000)]
    weight: i64,
    /// Maximum number of nodes in this region. The default is -1 which means no cap set.
    #[serde(default = "uncapped")]
    #[schema(default = -1, minimum = -1, maximum = 1000000)]
    cap: i64,
}

fn uncapped() -> i64 {
    -1
}

pub(crate) const META: PolicyMeta = PolicyMeta {
    is: Meta {
        name: "senlin.policy.region_placement",
        version: "1.0",
        support: &[Support::experimental("2016.04"), Support::supported("2016.10")],
        since: (1, 0),
    },
    priority: 200,
    singleton: true,
    needs_hosts: true,
};

impl Places for Spec {
    const STEERING: Steering = Steering {
        one: "Region",
        what: "regions",
        of_host: HostSnapshot::region,
        of_member: |m| m.region.as_deref(),
    };

    fn shares(&self) -> Vec<Share> {
        let share = |p: &Region| Share {
            name: p.name.clone(),
            weight: p.weight,
            cap: p.cap,
        };
        self.regions.iter().map(share).collect()
    }

    fn put(decision: &mut Decision, plan: BTreeMap<String, i64>, shrinks: bool) {
        if shrinks {
            decision.regions = Some(plan);
        } else {
            decision.rules.region_shares = Some(plan);
        }
    }
}

//! `senlin.policy.zone_placement`: members over zones of hosts, by weight.

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
    /// List of zones to choose from.
    #[schema(min_items = 1)]
    zones: Vec<Zone>,
}

/// A zone of hosts.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Zone {
    /// Name of an availability zone.
    #[schema(min_length = 1)]
    name: String,
    /// Weight of the availability zone (default is 100).
    #[serde(default = "hundred")]
    #[schema(default = 100, minimum = 1, maximum = 1000000)]
    weight: i64,
}

pub(crate) const META: PolicyMeta = PolicyMeta {
    is: Meta {
        name: "senlin.policy.zone_placement",
        version: "1.0",
        support: &[Support::experimental("2016.04"), Support::supported("2016.10")],
        since: (1, 0),
    },
    priority: 300,
    singleton: true,
    needs_hosts: true,
};

impl Places for Spec {
    const STEERING: Steering = Steering {
        one: "Zone",
        what: "zones",
        of_host: HostSnapshot::zone,
        of_member: |m| m.zone.as_deref(),
    };

    fn shares(&self) -> Vec<Share> {
        let share = |p: &Zone| Share {
            name: p.name.clone(),
            weight: p.weight,
            cap: -1,
        };
        self.zones.iter().map(share).collect()
    }

    fn put(decision: &mut Decision, plan: BTreeMap<String, i64>, shrinks: bool) {
        if shrinks {
            decision.zones = Some(plan);
        } else {
            decision.rules.zone_shares = Some(plan);
        }
    }
}

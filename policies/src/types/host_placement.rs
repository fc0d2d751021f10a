//! `senlin.policy.host_placement`: which hosts new members prefer.

use std::collections::BTreeMap;

use senlin_core::{
    Map,
    placement::{Strategy, Threshold},
    spec::SpecError,
    types::{Meta, Support},
};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    engine::{AttachedPolicy, Behaviour, ClusterSnapshot, Decision, PolicyMeta, Request, read},
    shares::concerns,
};

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    /// How to choose among the hosts that fit: the one with the lowest CPU load, with the least memory in use, with
    /// the fewest members, the fullest, or any.
    #[serde(default)]
    #[schema(inline, default = "low_cpu")]
    strategy: Kind,
    /// A limit of CPU load.
    cpu_threshold: Option<Limit>,
    /// Labels that a host must carry.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// Zones that a host may be in; empty allows every one.
    #[serde(default)]
    zones: Vec<String>,
    /// Most members of the cluster on one host.
    #[schema(minimum = 1)]
    max_per_host: Option<i64>,
    /// Moving members from hot hosts to cool ones, unasked.
    rebalance: Option<Rebalance>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    #[default]
    LowCpu,
    LowMemory,
    Spread,
    Binpack,
    Random,
}

/// Hosts under it come first.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Limit {
    /// CPU load in percent of the host's processors.
    #[schema(exclusive_minimum = 0)]
    percent: f64,
    /// Hosts over it are taken last, when no other is left, or never.
    #[serde(default)]
    #[schema(inline, default = "last")]
    over: Over,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Over {
    #[default]
    Last,
    Never,
}

/// When and how much a cluster is rebalanced without being asked.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rebalance {
    /// Whether it is done at all.
    #[serde(default)]
    #[schema(default = false)]
    pub enabled: bool,
    /// A host is hot when its CPU load is this many points over the mean of the cluster's hosts.
    #[serde(default = "gap")]
    #[schema(default = 30, minimum = 1, maximum = 100)]
    pub gap: i64,
    /// Most members on the move at once.
    #[serde(default = "one")]
    #[schema(default = 1, minimum = 1)]
    pub max_moves: i64,
    /// Seconds between two rebalances.
    #[serde(default = "interval")]
    #[schema(default = 300, minimum = 10)]
    pub interval: i64,
}

fn gap() -> i64 {
    30
}

fn one() -> i64 {
    1
}

fn interval() -> i64 {
    300
}

impl Default for Rebalance {
    fn default() -> Self {
        Self {
            enabled: false,
            gap: gap(),
            max_moves: one(),
            interval: interval(),
        }
    }
}

/// What such a policy says of rebalancing; the defaults when it says nothing.
///
/// # Errors
/// When the properties are not of this type.
pub fn rebalance(properties: &Map) -> Result<Rebalance, SpecError> {
    Ok(read::<Spec>(properties)?.rebalance.unwrap_or_default())
}

pub(crate) const META: PolicyMeta = PolicyMeta {
    is: Meta {
        name: "senlin.policy.host_placement",
        version: "1.0",
        support: &[Support::supported("2026.11")],
        since: (1, 15),
    },
    priority: 350,
    singleton: true,
    needs_hosts: false,
};

impl Behaviour for Spec {
    fn concerns(request: &Request) -> bool {
        concerns(request.kind) && !request.shrinks
    }

    fn before(
        self,
        bound: &AttachedPolicy,
        _: &ClusterSnapshot,
        _: &Request,
        mut decision: Decision,
    ) -> Result<Decision, String> {
        let (strategy, words) = match self.strategy {
            Kind::LowCpu => (Strategy::LowCpu, "the host with the lowest CPU load"),
            Kind::LowMemory => (Strategy::LowMemory, "the host with the least memory in use"),
            Kind::Spread => (Strategy::Spread, "the host with the fewest members"),
            Kind::Binpack => (Strategy::Binpack, "the fullest host"),
            Kind::Random => (Strategy::Random, "any host"),
        };
        let mut text = format!("'{}' prefers {words}", bound.name);
        if let Some(limit) = self.cpu_threshold {
            let never = limit.over == Over::Never;
            text.push_str(&format!(
                ", and takes one over {} % CPU {}",
                limit.percent,
                if never { "never" } else { "only when no other is left" }
            ));
            decision.rules.threshold = Some(Threshold {
                percent: limit.percent,
                never,
            });
        }
        decision.reasons.push(text + ".");
        decision.rules.strategy = Some(strategy);
        decision.rules.most = self.max_per_host;
        decision.rules.labels.extend(self.labels);
        decision.rules.zones.extend(self.zones);
        Ok(decision)
    }
}

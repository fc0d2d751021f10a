//! `senlin.policy.zone_placement`: members over zones of hosts, by weight.

use std::collections::BTreeMap;

use senlin_core::{
    Map,
    action::ActionKind,
    host::HostState,
    profile_type::Support,
    spec::{SpecError, SpecSchema},
};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    engine::{Bound, Decision, PolicyType, Request, View, read},
    shares::{Share, divide},
};

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Spec {
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

pub(crate) fn hundred() -> i64 {
    100
}

/// The type.
pub(crate) struct ZonePlacement {
    schema: SpecSchema,
}

impl ZonePlacement {
    pub(crate) fn new() -> Self {
        Self {
            schema: SpecSchema::of::<Spec>(),
        }
    }
}

pub(crate) const LIFE: &[Support] = &[
    Support {
        status: "EXPERIMENTAL",
        since: "2016.04",
    },
    Support {
        status: "SUPPORTED",
        since: "2016.10",
    },
];

/// Whether a placement policy has a say in such an action.
pub(crate) fn concerns(kind: ActionKind) -> bool {
    matches!(
        kind,
        ActionKind::ClusterScaleOut
            | ActionKind::ClusterScaleIn
            | ActionKind::ClusterResize
            | ActionKind::ClusterRecover
            | ActionKind::ClusterRebalance
            | ActionKind::NodeCreate
            | ActionKind::NodeRecover
    )
}

/// Members now, by where `place` says they are.
pub(crate) fn census(
    view: &View,
    place: impl Fn(&crate::victims::Candidate) -> Option<&String>,
) -> BTreeMap<String, i64> {
    let mut counts = BTreeMap::new();
    for name in view.members.iter().filter_map(place) {
        *counts.entry(name.clone()).or_insert(0) += 1;
    }
    counts
}

/// No two of a name.
pub(crate) fn distinct<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> Result<(), SpecError> {
    let mut seen = std::collections::BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(SpecError(format!("{what} '{name}' is listed twice")));
        }
    }
    Ok(())
}

/// "a: 2, b: 1".
pub(crate) fn told(shares: &BTreeMap<String, i64>) -> String {
    let list: Vec<String> = shares.iter().map(|(name, n)| format!("{name}: {n}")).collect();
    list.join(", ")
}

impl PolicyType for ZonePlacement {
    fn name(&self) -> &'static str {
        "senlin.policy.zone_placement"
    }

    fn version(&self) -> &'static str {
        "1.0"
    }

    fn support(&self) -> &'static [Support] {
        LIFE
    }

    fn schema(&self) -> &SpecSchema {
        &self.schema
    }

    fn priority(&self) -> i32 {
        300
    }

    fn needs_hosts(&self) -> bool {
        true
    }

    fn validate(&self, properties: &Map) -> Result<(), SpecError> {
        let spec: Spec = read(properties)?;
        distinct("Zone", spec.zones.iter().map(|z| z.name.as_str()))
    }

    fn before(&self, bound: &Bound, view: &View, request: &Request, mut so_far: Decision) -> Result<Decision, String> {
        if !concerns(request.kind) || !so_far.victims.is_empty() {
            return Ok(so_far);
        }
        let spec: Spec = read(&bound.properties).map_err(|e| e.0)?;
        let count = i64::from(so_far.count.unwrap_or(1));
        let answers = |zone: &str| {
            let up = |h: &&senlin_core::placement::HostSnapshot| h.state == HostState::Up && !h.closed;
            view.hosts.is_empty() || view.hosts.iter().filter(up).any(|h| h.zone() == Some(zone))
        };
        let places: Vec<Share> = spec
            .zones
            .iter()
            // A zone whose hosts are all away takes nothing now.
            .filter(|z| request.shrinks || answers(&z.name))
            .map(|z| Share {
                name: z.name.clone(),
                weight: z.weight,
                cap: -1,
            })
            .collect();
        let now = census(view, |m| m.zone.as_ref());
        let plan = divide(&places, &now, count, request.shrinks)
            .ok_or_else(|| "there is no feasible plan to place the members in its zones".to_owned())?;
        so_far.because.push(format!(
            "'{}' divides {count} among zones: {}.",
            bound.name,
            told(&plan)
        ));
        if request.shrinks {
            so_far.zones = Some(plan);
        } else {
            so_far.rules.zone_shares = Some(plan);
        }
        Ok(so_far)
    }
}

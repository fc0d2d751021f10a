//! `senlin.policy.region_placement`: members over regions of hosts, by weight
//! and up to a cap. A host's region is its label `region`.

use senlin_core::{
    Map,
    host::HostState,
    profile_type::Support,
    spec::{SpecError, SpecSchema},
};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    engine::{Bound, Decision, PolicyType, Request, View, read},
    shares::{Share, divide},
    zone_placement::{LIFE, census, concerns, distinct, hundred, told},
};

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Spec {
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

/// The type.
pub(crate) struct RegionPlacement {
    schema: SpecSchema,
}

impl RegionPlacement {
    pub(crate) fn new() -> Self {
        Self {
            schema: SpecSchema::of::<Spec>(),
        }
    }
}

impl PolicyType for RegionPlacement {
    fn name(&self) -> &'static str {
        "senlin.policy.region_placement"
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
        200
    }

    fn needs_hosts(&self) -> bool {
        true
    }

    fn validate(&self, properties: &Map) -> Result<(), SpecError> {
        let spec: Spec = read(properties)?;
        distinct("Region", spec.regions.iter().map(|r| r.name.as_str()))
    }

    fn before(&self, bound: &Bound, view: &View, request: &Request, mut so_far: Decision) -> Result<Decision, String> {
        if !concerns(request.kind) || !so_far.victims.is_empty() {
            return Ok(so_far);
        }
        let spec: Spec = read(&bound.properties).map_err(|e| e.0)?;
        let count = i64::from(so_far.count.unwrap_or(1));
        let answers = |region: &str| {
            let up = |h: &&senlin_core::placement::HostSnapshot| h.state == HostState::Up && !h.closed;
            view.hosts.is_empty() || view.hosts.iter().filter(up).any(|h| h.region() == Some(region))
        };
        let places: Vec<Share> = spec
            .regions
            .iter()
            .filter(|r| request.shrinks || answers(&r.name))
            .map(|r| Share {
                name: r.name.clone(),
                weight: r.weight,
                cap: r.cap,
            })
            .collect();
        let now = census(view, |m| m.region.as_ref());
        let plan = divide(&places, &now, count, request.shrinks)
            .ok_or_else(|| "there is no feasible plan to place the members in its regions".to_owned())?;
        so_far.because.push(format!(
            "'{}' divides {count} among regions: {}.",
            bound.name,
            told(&plan)
        ));
        if request.shrinks {
            so_far.regions = Some(plan);
        } else {
            so_far.rules.region_shares = Some(plan);
        }
        Ok(so_far)
    }
}

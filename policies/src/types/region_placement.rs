//! `senlin.policy.region_placement`: members over regions of hosts, by weight
//! and up to a cap. A host's region is its label `region`.

use senlin_core::{
    Map,
    placement::HostSnapshot,
    spec::{SpecError, SpecSchema},
    types::{Meta, Support},
};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    engine::{AttachedPolicy, ClusterSnapshot, Decision, PolicyMeta, PolicyType, Request, read},
    shares::{Share, Steering, distinct},
    types::zone_placement::hundred,
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

const META: PolicyMeta = PolicyMeta {
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

impl PolicyType for RegionPlacement {
    fn meta(&self) -> &'static PolicyMeta {
        &META
    }

    fn schema(&self) -> &SpecSchema {
        &self.schema
    }

    fn validate(&self, properties: &Map) -> Result<(), SpecError> {
        let spec: Spec = read(properties)?;
        distinct("Region", spec.regions.iter().map(|r| r.name.as_str()))
    }

    fn before(
        &self,
        bound: &AttachedPolicy,
        view: &ClusterSnapshot,
        request: &Request,
        mut decision: Decision,
    ) -> Result<Decision, String> {
        let spec: Spec = read(&bound.properties).map_err(|e| e.0)?;
        let places = spec.regions.into_iter().map(|r| Share {
            name: r.name,
            weight: r.weight,
            cap: r.cap,
        });
        let steering = Steering {
            what: "regions",
            of_host: HostSnapshot::region,
            of_member: |m| m.region.as_deref(),
        };
        let Some(plan) = steering.plan(bound, view, request, &mut decision, places.collect())? else {
            return Ok(decision);
        };
        if request.shrinks {
            decision.regions = Some(plan);
        } else {
            decision.rules.region_shares = Some(plan);
        }
        Ok(decision)
    }
}

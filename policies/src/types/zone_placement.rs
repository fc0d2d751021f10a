//! `senlin.policy.zone_placement`: members over zones of hosts, by weight.

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

const META: PolicyMeta = PolicyMeta {
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

impl PolicyType for ZonePlacement {
    fn meta(&self) -> &'static PolicyMeta {
        &META
    }

    fn schema(&self) -> &SpecSchema {
        &self.schema
    }

    fn validate(&self, properties: &Map) -> Result<(), SpecError> {
        let spec: Spec = read(properties)?;
        distinct("Zone", spec.zones.iter().map(|z| z.name.as_str()))
    }

    fn before(
        &self,
        bound: &AttachedPolicy,
        view: &ClusterSnapshot,
        request: &Request,
        mut decision: Decision,
    ) -> Result<Decision, String> {
        let spec: Spec = read(&bound.properties).map_err(|e| e.0)?;
        let places = spec.zones.into_iter().map(|z| Share {
            name: z.name,
            weight: z.weight,
            cap: -1,
        });
        let steering = Steering {
            what: "zones",
            of_host: HostSnapshot::zone,
            of_member: |m| m.zone.as_deref(),
        };
        let Some(plan) = steering.plan(bound, view, request, &mut decision, places.collect())? else {
            return Ok(decision);
        };
        if request.shrinks {
            decision.zones = Some(plan);
        } else {
            decision.rules.zone_shares = Some(plan);
        }
        Ok(decision)
    }
}

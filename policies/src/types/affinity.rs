//! `senlin.policy.affinity`: members together on hosts, or apart.

use senlin_core::{
    Map,
    placement::Affinity as How,
    spec::{SpecError, SpecSchema},
    types::{Meta, Support},
};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    engine::{AttachedPolicy, ClusterSnapshot, Decision, PolicyMeta, PolicyType, Request, read},
    shares::concerns,
};

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Spec {
    /// Properties of the VM server group
    #[serde(default)]
    #[schema(value_type = Option<ServerGroup>)]
    servergroup: ServerGroup,
    /// Name of the availability zone to place the nodes.
    availability_zone: Option<String>,
    /// Enable vSphere DRS extension.
    #[serde(default, rename = "enable_drs_extension")]
    #[schema(default = false)]
    _drs: bool,
}

/// Senlin's word for members that belong together, kept so that specs stay valid.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ServerGroup {
    /// The name of the server group
    #[serde(rename = "name")]
    _name: Option<String>,
    /// The server group policies.
    #[serde(default)]
    #[schema(inline, default = "anti-affinity")]
    policies: Kind,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Affinity,
    SoftAffinity,
    #[default]
    AntiAffinity,
    SoftAntiAffinity,
}

/// The type.
pub(crate) struct Affinity {
    schema: SpecSchema,
}

impl Affinity {
    pub(crate) fn new() -> Self {
        Self {
            schema: SpecSchema::of::<Spec>(),
        }
    }
}

const META: PolicyMeta = PolicyMeta {
    is: Meta {
        name: "senlin.policy.affinity",
        version: "1.0",
        support: &[Support::supported("2016.10")],
        since: (1, 0),
    },
    priority: 300,
    singleton: true,
    needs_hosts: false,
};

impl PolicyType for Affinity {
    fn meta(&self) -> &'static PolicyMeta {
        &META
    }

    fn schema(&self) -> &SpecSchema {
        &self.schema
    }

    fn validate(&self, properties: &Map) -> Result<(), SpecError> {
        read::<Spec>(properties).map(|_| ())
    }

    fn before(
        &self,
        bound: &AttachedPolicy,
        _: &ClusterSnapshot,
        request: &Request,
        mut decision: Decision,
    ) -> Result<Decision, String> {
        if !concerns(request.kind) || request.shrinks {
            return Ok(decision);
        }
        let spec: Spec = read(&bound.properties).map_err(|e| e.0)?;
        let (how, words) = match spec.servergroup.policies {
            Kind::Affinity => (How::Affinity, "keeps members on one host"),
            Kind::SoftAffinity => (How::SoftAffinity, "prefers members on one host"),
            Kind::AntiAffinity => (How::AntiAffinity, "keeps members on different hosts"),
            Kind::SoftAntiAffinity => (How::SoftAntiAffinity, "prefers members on different hosts"),
        };
        decision.rules.affinity = Some(how);
        decision.reasons.push(format!("'{}' {words}.", bound.name));
        if let Some(zone) = spec.availability_zone.filter(|z| !z.is_empty()) {
            decision
                .reasons
                .push(format!("'{}' allows only zone '{zone}'.", bound.name));
            decision.rules.zones.push(zone);
        }
        Ok(decision)
    }
}

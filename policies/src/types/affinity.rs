//! `senlin.policy.affinity`: members together on hosts, or apart.

use senlin_core::{
    placement::Affinity as How,
    types::{Meta, Support},
};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    engine::{AttachedPolicy, Behaviour, ClusterSnapshot, Decision, PolicyMeta, Request},
    shares::concerns,
};

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
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

pub(crate) const META: PolicyMeta = PolicyMeta {
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
        let (how, words) = match self.servergroup.policies {
            Kind::Affinity => (How::Affinity, "keeps members on one host"),
            Kind::SoftAffinity => (How::SoftAffinity, "prefers members on one host"),
            Kind::AntiAffinity => (How::AntiAffinity, "keeps members on different hosts"),
            Kind::SoftAntiAffinity => (How::SoftAntiAffinity, "prefers members on different hosts"),
        };
        decision.rules.affinity = Some(how);
        decision.reasons.push(format!("'{}' {words}.", bound.name));
        if let Some(zone) = self.availability_zone.filter(|z| !z.is_empty()) {
            decision
                .reasons
                .push(format!("'{}' allows only zone '{zone}'.", bound.name));
            decision.rules.zones.push(zone);
        }
        Ok(decision)
    }
}

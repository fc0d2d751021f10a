//! `senlin.policy.deletion`: who goes when a cluster shrinks, and how.

use senlin_core::{
    Map,
    action::ActionKind,
    profile_type::Support,
    spec::{SpecError, SpecSchema},
};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    engine::{Bound, Decision, PolicyType, Request, View},
    victims::{self, Criteria},
};

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Spec {
    /// Criteria used in selecting candidates for deletion
    #[serde(default)]
    #[schema(inline, default = "RANDOM")]
    criteria: Criteria,
    /// Whether a node should be completely destroyed after deletion. Default to True
    #[serde(default = "yes")]
    #[schema(default = true)]
    destroy_after_deletion: bool,
    /// Number of seconds before real deletion happens.
    #[serde(default)]
    #[schema(default = 0, minimum = 0)]
    grace_period: i64,
    /// Whether the desired capacity of the cluster should be reduced along the deletion. Default to True.
    #[serde(default = "yes")]
    #[schema(default = true)]
    reduce_desired_capacity: bool,
    /// Lifecycle hook properties
    hooks: Option<Hooks>,
}

fn yes() -> bool {
    true
}

/// How a node may have a word before it goes.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Hooks {
    /// Type of lifecycle hook
    #[serde(rename = "type")]
    #[schema(inline)]
    kind: Option<HookKind>,
    /// Number of seconds before actual deletion happens.
    #[serde(rename = "timeout")]
    #[schema(default = 0, minimum = 0)]
    _timeout: Option<i64>,
    /// Specific parameters for the hook type
    #[serde(rename = "params")]
    _params: Option<HookParams>,
}

#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum HookKind {
    Zaqar,
    Webhook,
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct HookParams {
    /// Zaqar queue to receive lifecycle hook message
    #[serde(rename = "queue")]
    #[schema(default = "")]
    _queue: Option<String>,
    /// Url sink to which to send lifecycle hook message
    #[serde(rename = "url")]
    #[schema(default = "")]
    _url: Option<String>,
}

/// The type; 1.1 brought hooks.
pub(crate) struct Deletion {
    version: &'static str,
    support: &'static [Support],
    schema: SpecSchema,
}

impl Deletion {
    pub(crate) fn v1_0() -> Self {
        Self {
            version: "1.0",
            support: &[Support {
                status: "SUPPORTED",
                since: "2016.04",
            }],
            schema: SpecSchema::of::<Spec>().without("hooks"),
        }
    }

    pub(crate) fn v1_1() -> Self {
        Self {
            version: "1.1",
            support: &[Support {
                status: "SUPPORTED",
                since: "2018.01",
            }],
            schema: SpecSchema::of::<Spec>(),
        }
    }
}

fn parse(properties: &Map) -> Result<Spec, SpecError> {
    serde_json::from_value(Value::Object(properties.clone()))
        .map_err(|e| SpecError(format!("The properties cannot be understood: {e}")))
}

impl PolicyType for Deletion {
    fn name(&self) -> &'static str {
        "senlin.policy.deletion"
    }

    fn version(&self) -> &'static str {
        self.version
    }

    fn support(&self) -> &'static [Support] {
        self.support
    }

    fn schema(&self) -> &SpecSchema {
        &self.schema
    }

    fn priority(&self) -> i32 {
        400
    }

    fn validate(&self, properties: &Map) -> Result<(), SpecError> {
        if parse(properties)?.hooks.is_some_and(|h| h.kind.is_some()) {
            // Better refused than taken and not honoured.
            return Err(SpecError(
                "Lifecycle 'hooks' are not supported by this release".to_owned(),
            ));
        }
        Ok(())
    }

    fn before(&self, bound: &Bound, view: &View, request: &Request, mut so_far: Decision) -> Result<Decision, String> {
        let shrinks = matches!(
            request.kind,
            ActionKind::ClusterScaleIn | ActionKind::ClusterDelNodes | ActionKind::ClusterResize
        );
        if !shrinks {
            return Ok(so_far);
        }
        let spec = parse(&bound.properties).map_err(|e| e.0)?;
        if so_far.victims.is_empty() {
            let count = so_far.count.unwrap_or(1).clamp(0, view.size);
            so_far.victims = victims::choose(
                &view.members,
                usize::try_from(count).unwrap_or(0),
                spec.criteria,
                request.seed,
            );
            so_far
                .because
                .push(format!("'{}' chooses by {:?}.", bound.name, spec.criteria));
        }
        so_far.destroy = Some(spec.destroy_after_deletion);
        so_far.grace = spec.grace_period;
        so_far.reduce = spec.reduce_desired_capacity;
        if !spec.destroy_after_deletion {
            so_far
                .because
                .push(format!("'{}' lets them go as orphans.", bound.name));
        }
        if spec.grace_period > 0 {
            so_far
                .because
                .push(format!("'{}' waits {} s before.", bound.name, spec.grace_period));
        }
        Ok(so_far)
    }
}

//! `senlin.policy.scaling`: by how much a cluster grows or shrinks, and how often.

use senlin_core::{
    Time,
    action::ActionKind,
    types::{Meta, Support},
};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    engine::{AttachedPolicy, Behaviour, ClusterSnapshot, Decision, PolicyMeta, Request},
    size::{self, Adjustment},
};

/// What it is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Event {
    ClusterScaleIn,
    ClusterScaleOut,
}

/// How `number` is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Kind {
    ExactCapacity,
    #[default]
    ChangeInCapacity,
    ChangeInPercentage,
}

/// By how much.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AdjustmentSpec {
    /// Type of adjustment when scaling is triggered.
    #[serde(default, rename = "type")]
    #[schema(inline, default = "CHANGE_IN_CAPACITY")]
    kind: Kind,
    /// A number specifying the amount of adjustment.
    #[serde(default = "one")]
    #[schema(default = 1, exclusive_minimum = 0)]
    number: f64,
    /// When adjustment type is set to "CHANGE_IN_PERCENTAGE", this specifies the cluster size will be decreased by
    /// at least this number of nodes.
    #[serde(default = "one_step")]
    #[schema(default = 1, minimum = 0)]
    min_step: i32,
    /// Whether do best effort scaling when new size of cluster will break the size limitation.
    #[serde(default)]
    #[schema(default = false)]
    best_effort: bool,
    /// Number of seconds to hold the cluster for cool-down before allowing cluster to be resized again.
    #[serde(default)]
    #[schema(default = 0, minimum = 0)]
    cooldown: i64,
}

fn one() -> f64 {
    1.0
}

fn one_step() -> i32 {
    1
}

impl Default for AdjustmentSpec {
    fn default() -> Self {
        Self {
            kind: Kind::default(),
            number: one(),
            min_step: one_step(),
            best_effort: false,
            cooldown: 0,
        }
    }
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    /// Event that will trigger this policy. Must be one of CLUSTER_SCALE_IN and CLUSTER_SCALE_OUT.
    #[schema(inline)]
    event: Event,
    /// Detailed specification for scaling adjustments.
    #[serde(default)]
    #[schema(value_type = Option<AdjustmentSpec>)]
    adjustment: AdjustmentSpec,
}

fn is_mine(event: Event, kind: ActionKind) -> bool {
    match event {
        Event::ClusterScaleIn => kind == ActionKind::ClusterScaleIn,
        Event::ClusterScaleOut => kind == ActionKind::ClusterScaleOut,
    }
}

/// Members more or fewer, as the spec has it: positive, or there is nothing to do.
fn amount(spec: &AdjustmentSpec, event: Event, size: i32) -> i32 {
    let away = |desired: i32| match event {
        Event::ClusterScaleIn => size.saturating_sub(desired),
        Event::ClusterScaleOut => desired.saturating_sub(size),
    };
    match spec.kind {
        Kind::ExactCapacity => away(size::desired(size, Adjustment::Exact, spec.number, None)),
        Kind::ChangeInCapacity => size::desired(0, Adjustment::Change, spec.number, None),
        // Towards zero, then at least min_step (not as a resize rounds it).
        Kind::ChangeInPercentage => {
            let part = spec.number * f64::from(size) / 100.0;
            size::desired(0, Adjustment::Change, part.trunc(), None).max(spec.min_step)
        }
    }
}

pub(crate) const META: PolicyMeta = PolicyMeta {
    is: Meta {
        name: "senlin.policy.scaling",
        version: "1.0",
        support: &[Support::supported("2016.04")],
        since: (1, 0),
    },
    priority: 100,
    singleton: false,
    needs_hosts: false,
};

impl Behaviour for Spec {
    fn cooldown(&self, bound: &AttachedPolicy, kind: ActionKind, now: Time) -> Option<i64> {
        let passed = (now - bound.last_op.filter(|_| is_mine(self.event, kind))?).num_seconds();
        Some(self.adjustment.cooldown - passed).filter(|left| *left > 0)
    }

    fn after(kind: ActionKind) -> bool {
        matches!(kind, ActionKind::ClusterScaleIn | ActionKind::ClusterScaleOut)
    }

    fn concerns(request: &Request) -> bool {
        Self::after(request.kind)
    }

    fn before(
        self,
        bound: &AttachedPolicy,
        view: &ClusterSnapshot,
        request: &Request,
        mut decision: Decision,
    ) -> Result<Decision, String> {
        if !is_mine(self.event, request.kind) {
            return Ok(decision);
        }
        if let Some(left) = self.cooldown(bound, request.kind, view.now) {
            return Err(format!("the policy is in cooldown for another {left} s"));
        }
        let wanted = decision
            .count
            .unwrap_or_else(|| amount(&self.adjustment, self.event, view.size));
        if wanted <= 0 {
            return Err(format!(
                "invalid count ({wanted}) for scaling: it must be a positive integer"
            ));
        }
        let bounds = view.bounds;
        let room = match self.event {
            Event::ClusterScaleIn => view.size.saturating_sub(bounds.min),
            Event::ClusterScaleOut if bounds.max < 0 => bounds.limit.saturating_sub(view.size),
            Event::ClusterScaleOut => bounds.max.saturating_sub(view.size),
        };
        let count = if self.adjustment.best_effort {
            wanted.min(room.max(0))
        } else {
            wanted
        };
        let desired = match self.event {
            Event::ClusterScaleIn => view.size.saturating_sub(count),
            Event::ClusterScaleOut => view.size.saturating_add(count),
        };
        size::check(Some(desired), None, None, !self.adjustment.best_effort, bounds).map_err(|e| e.to_string())?;
        decision.reasons.push(if count == wanted {
            format!("'{}' asks for {count}.", bound.name)
        } else {
            format!(
                "'{}' asks for {wanted}; the cluster's bounds leave {count}.",
                bound.name
            )
        });
        decision.count = Some(count);
        Ok(decision)
    }
}

//! `senlin.policy.deletion`: who goes when a cluster shrinks, and how.

use senlin_core::{
    action::ActionKind,
    spec::{SpecError, SpecSchema},
    types::{Meta, Support},
};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    engine::{AttachedPolicy, Behaviour, ClusterSnapshot, Decision, Hook, PolicyMeta, Request, Sink, Typed},
    victims::Criteria,
};

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
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
    #[schema(default = 0, minimum = 0)]
    timeout: Option<i64>,
    /// Specific parameters for the hook type
    params: Option<HookParams>,
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
    #[schema(default = "")]
    queue: Option<String>,
    /// Url sink to which to send lifecycle hook message
    #[schema(default = "")]
    url: Option<String>,
}

/// Longest that a hook is waited for: a day.
const LONGEST: i64 = 86_400;

/// The hook that a spec describes; none when it has no type.
fn hook(spec: Option<&Hooks>) -> Result<Option<Hook>, SpecError> {
    let refuse = |text: &str| Err(SpecError(text.to_owned()));
    let Some(spec) = spec else { return Ok(None) };
    let (queue, url) = spec
        .params
        .as_ref()
        .map_or((None, None), |p| (p.queue.clone(), p.url.clone()));
    let given = |text: Option<String>| text.filter(|t| !t.is_empty());
    let (queue, url) = (given(queue), given(url));
    if spec.kind.is_none() && spec.timeout.is_none() && queue.is_none() && url.is_none() {
        return Ok(None);
    }
    let sink = match spec.kind.unwrap_or(HookKind::Zaqar) {
        HookKind::Zaqar => match queue {
            Some(queue) if queue.len() > 200 || queue.starts_with("amq.") => {
                return refuse("'hooks.params.queue' must have at most 200 bytes and not begin with 'amq.'");
            }
            Some(queue) => Sink::Zaqar { queue },
            None => return refuse("'hooks.params.queue' is required when 'hooks.type' is 'zaqar'"),
        },
        HookKind::Webhook => match url {
            Some(url) if url.starts_with("http://") || url.starts_with("https://") => Sink::Webhook { url },
            Some(_) => return refuse("'hooks.params.url' must begin with http:// or https://"),
            None => return refuse("'hooks.params.url' is required when 'hooks.type' is 'webhook'"),
        },
    };
    let timeout = spec.timeout.unwrap_or(0);
    if timeout > LONGEST {
        return refuse("'hooks.timeout' must be at most 86400 seconds");
    }
    Ok(Some(Hook { sink, timeout }))
}

const V1_0: PolicyMeta = PolicyMeta {
    is: Meta {
        name: "senlin.policy.deletion",
        version: "1.0",
        support: &[Support::supported("2016.04")],
        since: (1, 0),
    },
    priority: 400,
    singleton: true,
    needs_hosts: false,
};

const V1_1: PolicyMeta = PolicyMeta {
    is: Meta {
        version: "1.1",
        support: &[Support::supported("2018.01")],
        ..V1_0.is
    },
    ..V1_0
};

/// 1.0, and 1.1 that brought hooks.
pub(crate) fn all() -> [Typed<Spec>; 2] {
    [
        Typed::with(&V1_0, SpecSchema::of::<Spec>().without("hooks")),
        Typed::new(&V1_1),
    ]
}

impl Behaviour for Spec {
    fn check(&self) -> Result<(), SpecError> {
        hook(self.hooks.as_ref()).map(|_| ())
    }

    fn concerns(request: &Request) -> bool {
        let shrinks = matches!(
            request.kind,
            ActionKind::ClusterScaleIn
                | ActionKind::ClusterDelNodes
                | ActionKind::ClusterResize
                | ActionKind::NodeDelete
        );
        shrinks && request.shrinks
    }

    fn before(
        self,
        bound: &AttachedPolicy,
        view: &ClusterSnapshot,
        request: &Request,
        mut decision: Decision,
    ) -> Result<Decision, String> {
        if decision.victims.is_empty() {
            let count = decision.count.unwrap_or(1).clamp(0, view.size);
            decision.choose(view, count, self.criteria, request.seed);
            decision
                .reasons
                .push(format!("'{}' chooses by {:?}.", bound.name, self.criteria));
        }
        decision.destroy = Some(self.destroy_after_deletion);
        decision.grace = self.grace_period;
        decision.reduce = self.reduce_desired_capacity;
        decision.hook = hook(self.hooks.as_ref()).map_err(|e| e.0)?;
        if let Some(hook) = &decision.hook {
            decision.reasons.push(format!(
                "'{}' asks {} first, for up to {} s.",
                bound.name,
                match &hook.sink {
                    Sink::Zaqar { queue } => format!("queue '{queue}'"),
                    Sink::Webhook { .. } => "a webhook".to_owned(),
                },
                hook.timeout
            ));
        }
        if !self.destroy_after_deletion {
            decision
                .reasons
                .push(format!("'{}' lets them go as orphans.", bound.name));
        }
        if self.grace_period > 0 {
            decision
                .reasons
                .push(format!("'{}' waits {} s before.", bound.name, self.grace_period));
        }
        Ok(decision)
    }
}

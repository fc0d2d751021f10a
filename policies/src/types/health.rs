//! `senlin.policy.health`: how a member's loss is noticed, and what is done.

use senlin_core::{
    Map,
    action::ActionKind,
    spec::SpecError,
    types::{Meta, Support},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use crate::engine::{AttachedPolicy, Behaviour, ClusterSnapshot, Decision, PolicyMeta, Request, Typed, read};

/// What the policy says.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = HealthSpec)]
pub struct Health {
    /// Policy aspect for node failure detection.
    pub detection: Detection,
    /// Policy aspect for node failure recovery.
    pub recovery: Recovery,
}

/// How a loss is noticed.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Detection {
    /// Number of seconds between pollings.
    #[serde(default = "minute")]
    #[schema(default = 60)]
    pub interval: i64,
    /// Number of seconds since last node update to wait before checking node health.
    #[serde(default = "five_minutes")]
    #[schema(default = 300, minimum = 0)]
    pub node_update_timeout: i64,
    /// The conditional that determines when recovery should be performed in case multiple detection modes are
    /// specified. 'ALL_FAILED' means that all detection modes have to return failed health checks before a node is
    /// recovered. 'ANY_FAILED' means that a failed health check with a single detection mode triggers a node recovery.
    #[serde(default)]
    #[schema(inline, default = "ANY_FAILED")]
    pub recovery_conditional: Conditional,
    /// List of node failure detection modes.
    #[schema(min_items = 1)]
    pub detection_modes: Vec<Mode>,
}

/// When several modes disagree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the contract's own words")]
pub enum Conditional {
    AllFailed,
    #[default]
    AnyFailed,
}

/// One way of looking.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Mode {
    /// Type of node failure detection.
    #[serde(rename = "type")]
    #[schema(inline)]
    pub kind: ModeKind,
    /// Its options.
    #[serde(default)]
    #[schema(value_type = Option<Options>)]
    pub options: Options,
}

/// Ways of looking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the contract's own words")]
pub enum ModeKind {
    LifecycleEvents,
    NodeStatusPolling,
    NodeStatusPollUrl,
    HypervisorStatusPolling,
}

/// Options of a way of looking.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// URL to poll for node status: http://, https://, or tcp:// for a bare connection. {nodename} stands for the
    /// node's name, {address} for its container's own address, {host}:{port:N} for where its port N is published.
    #[schema(default = "")]
    pub poll_url: String,
    /// Whether to verify SSL when calling URL to poll for node status.
    #[schema(default = true)]
    pub poll_url_ssl_verify: bool,
    /// Whether to treat URL connection errors as an indication of an unhealthy node.
    #[schema(default = true)]
    pub poll_url_conn_error_as_unhealthy: bool,
    /// String pattern in the poll URL response body that indicates a healthy node. It is a regular expression that
    /// may match anywhere; empty accepts every answer of status 2xx.
    #[schema(default = "", max_length = 1000)]
    pub poll_url_healthy_response: String,
    /// Number of times to retry URL polling when its return body is missing POLL_URL_HEALTHY_RESPONSE string before
    /// a node is considered down.
    #[schema(default = 3, minimum = 0, maximum = 20)]
    pub poll_url_retry_limit: i64,
    /// Number of seconds between URL polling retries before a node is considered down.
    #[schema(default = 3, minimum = 0, maximum = 300)]
    pub poll_url_retry_interval: i64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            poll_url: String::new(),
            poll_url_ssl_verify: true,
            poll_url_conn_error_as_unhealthy: true,
            poll_url_healthy_response: String::new(),
            poll_url_retry_limit: 3,
            poll_url_retry_interval: 3,
        }
    }
}

/// What is done about it.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Recovery {
    /// List of actions to try for node recovery, in this order, until one helps.
    #[serde(default)]
    #[schema(required = false)]
    pub actions: Vec<Step>,
    /// List of services to be fenced.
    #[serde(default)]
    pub fencing: Vec<Fencing>,
    /// Number of seconds to wait for node deletion to finish and start node creation for recreate recovery option.
    /// Required when type in detection is NODE_STATUS_POLLING and recovery action is RECREATE.
    #[serde(default = "twenty")]
    #[schema(default = 20, minimum = 0)]
    pub node_delete_timeout: i64,
    /// Whether to create node even if node deletion failed. Required when type in detection is NODE_STATUS_POLLING
    /// and action recovery action is RECREATE.
    #[serde(default)]
    #[schema(default = false)]
    pub node_force_recreate: bool,
    /// Most recoveries of the cluster within budget_window seconds; 0 is twice its desired capacity, at least 10.
    #[serde(default)]
    #[schema(default = 0, minimum = 0)]
    pub budget: i64,
    /// Seconds over which the budget counts.
    #[serde(default = "ten_minutes")]
    #[schema(default = 600, minimum = 1)]
    pub budget_window: i64,
    /// Number of seconds that a host may be silent before its containers are made anew elsewhere.
    #[serde(default = "five_minutes")]
    #[schema(default = 300, minimum = 30)]
    pub host_grace: i64,
}

/// One thing to try.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Name of action to execute.
    #[schema(inline)]
    pub name: StepKind,
    /// Parameters for the action
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub params: Map,
}

/// Things to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the contract's own words")]
pub enum StepKind {
    Reboot,
    Rebuild,
    Recreate,
    Restart,
}

/// Services to fence; kept so that specs stay valid.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the contract's own words")]
pub enum Fencing {
    Compute,
}

fn minute() -> i64 {
    60
}

fn twenty() -> i64 {
    20
}

fn five_minutes() -> i64 {
    300
}

fn ten_minutes() -> i64 {
    600
}

impl Health {
    /// The health policy with these properties.
    ///
    /// # Errors
    /// Names what does not fit.
    pub fn read(properties: &Map) -> Result<Self, SpecError> {
        read(properties)
    }

    /// Whether it looks in this way.
    #[must_use]
    pub fn has(&self, kind: ModeKind) -> bool {
        self.detection.detection_modes.iter().any(|m| m.kind == kind)
    }

    /// What a recovery tries, one after the other, as NODE_RECOVER names them.
    #[must_use]
    pub fn operations(&self) -> Vec<&'static str> {
        let name = |step: &Step| match step.name {
            StepKind::Reboot | StepKind::Restart => "RESTART",
            StepKind::Rebuild | StepKind::Recreate => "RECREATE",
        };
        self.recovery.actions.iter().map(name).collect()
    }

    /// Recoveries that a cluster of `desired` members may have in a window.
    #[must_use]
    pub fn budget(&self, desired: i32) -> i64 {
        if self.recovery.budget > 0 {
            self.recovery.budget
        } else {
            (2 * i64::from(desired)).max(10)
        }
    }
}

/// Least seconds between two pollings, as Senlin's `health_check_interval_min`
/// has it where an operator lowers it.
const MIN_INTERVAL: i64 = 1;

const V1_0: PolicyMeta = PolicyMeta {
    is: Meta {
        name: "senlin.policy.health",
        version: "1.0",
        support: &[Support::experimental("2017.02"), Support::supported("2018.06")],
        since: (1, 0),
    },
    priority: 600,
    singleton: true,
    needs_hosts: false,
};

const V1_1: PolicyMeta = PolicyMeta {
    is: Meta {
        version: "1.1",
        support: &[Support::supported("2018.09")],
        ..V1_0.is
    },
    ..V1_0
};

const V1_2: PolicyMeta = PolicyMeta {
    is: Meta {
        version: "1.2",
        support: &[Support::supported("2020.09")],
        ..V1_0.is
    },
    ..V1_0
};

/// 1.0, 1.1 and 1.2, which have one schema.
pub(crate) fn all() -> [Typed<Health>; 3] {
    [&V1_0, &V1_1, &V1_2].map(Typed::new)
}

impl Behaviour for Health {
    fn check(&self) -> Result<(), SpecError> {
        let refuse = |text: String| Err(SpecError(text));
        if self.detection.interval < MIN_INTERVAL {
            return refuse(format!(
                "Specified interval of {} seconds has to be larger than health_check_interval_min of {MIN_INTERVAL} \
                 seconds set in configuration.",
                self.detection.interval
            ));
        }
        let modes = &self.detection.detection_modes;
        for (at, mode) in modes.iter().enumerate() {
            if modes.iter().take(at).any(|m| m == mode) {
                return refuse(format!("Duplicate detection modes are not allowed: {:?}", mode.kind));
            }
            if mode.kind == ModeKind::NodeStatusPollUrl {
                let url = &mode.options.poll_url;
                if !["http://", "https://", "tcp://"].iter().any(|s| url.starts_with(s)) {
                    return refuse(
                        "'poll_url' is required for NODE_STATUS_POLL_URL and must begin with http://, https:// or \
                         tcp://"
                            .to_owned(),
                    );
                }
                if let Err(error) = regex_lite::Regex::new(&mode.options.poll_url_healthy_response) {
                    return refuse(format!("'poll_url_healthy_response' is no regular expression: {error}"));
                }
            }
        }
        Ok(())
    }

    fn binding_data(&self, properties: &Map, meta: &PolicyMeta) -> Option<Map> {
        let data = json!({"interval": self.detection.interval,
            "node_update_timeout": self.detection.node_update_timeout,
            "recovery_conditional": match self.detection.recovery_conditional {
                Conditional::AllFailed => "ALL_FAILED",
                Conditional::AnyFailed => "ANY_FAILED",
            },
            "detection_modes": properties.get("detection").and_then(|d| d.get("detection_modes")),
            "node_delete_timeout": self.recovery.node_delete_timeout,
            "node_force_recreate": self.recovery.node_force_recreate});
        let whole = json!({"HealthPolicy": {"version": meta.is.version, "data": data}});
        whole.as_object().cloned()
    }

    fn concerns(request: &Request) -> bool {
        request.kind == ActionKind::ClusterRecover
    }

    fn before(
        self,
        bound: &AttachedPolicy,
        _: &ClusterSnapshot,
        _: &Request,
        mut decision: Decision,
    ) -> Result<Decision, String> {
        let actions: Vec<_> = self
            .operations()
            .into_iter()
            .map(|name| json!({"name": name}))
            .collect();
        let data = json!({"recover_action": actions, "fencing": self.recovery.fencing});
        decision.health = data.as_object().cloned();
        decision.reasons.push(format!(
            "'{}' recovers by {}.",
            bound.name,
            match self.operations().as_slice() {
                [] => "what fits".to_owned(),
                list => list.join(", then "),
            }
        ));
        Ok(decision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::PolicyType;

    fn properties(detection: serde_json::Value, actions: serde_json::Value) -> Map {
        Map::from_iter([
            ("detection".to_owned(), detection),
            ("recovery".to_owned(), json!({"actions": actions})),
        ])
    }

    /// Worked examples: detection → why not.
    #[test]
    fn bad_specs_are_named() {
        let kind = &all()[2];
        let polling = json!({"type": "NODE_STATUS_POLLING"});
        let url = "NODE_STATUS_POLL_URL";
        for (detection, part) in [
            (json!({"detection_modes": [polling], "interval": 0}), "interval"),
            (json!({"detection_modes": [polling, polling]}), "Duplicate detection"),
            (json!({"detection_modes": []}), "at least 1"),
            (json!({"detection_modes": [{"type": url}]}), "poll_url"),
            (
                json!({"detection_modes": [{"type": "NODE_STATUS_POLL_URL", "options": {"poll_url": "file:///etc"}}]}),
                "http://",
            ),
            (
                json!({"detection_modes": [{"type": "NODE_STATUS_POLL_URL",
                    "options": {"poll_url": "http://{address}/", "poll_url_healthy_response": "("}}]}),
                "regular expression",
            ),
            (json!({"detection_modes": [{"type": "GUESS"}]}), "allowed values"),
        ] {
            let raw = properties(detection.clone(), json!([]));
            let error = kind.schema().check(&raw).and_then(|p| kind.validate(&p)).unwrap_err();
            assert!(error.0.contains(part), "{detection}: {}", error.0);
        }
    }

    #[test]
    fn recovery_is_a_list_and_the_budget_has_a_floor() {
        let raw = properties(
            json!({"detection_modes": [{"type": "LIFECYCLE_EVENTS"}]}),
            json!([{"name": "REBOOT"}, {"name": "RECREATE"}]),
        );
        let kind = &all()[0];
        let checked = kind.schema().check(&raw).unwrap();
        kind.validate(&checked).unwrap();
        let health = Health::read(&checked).unwrap();
        assert_eq!(health.operations(), ["RESTART", "RECREATE"]);
        assert!(health.has(ModeKind::LifecycleEvents) && !health.has(ModeKind::NodeStatusPolling));
        assert_eq!((health.budget(3), health.budget(20)), (10, 40));
        assert_eq!(health.recovery.host_grace, 300);
        assert_eq!(
            kind.binding_data(&checked).unwrap()["HealthPolicy"]["data"]["interval"],
            60
        );
    }
}

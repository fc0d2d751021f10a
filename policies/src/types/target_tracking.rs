//! `senlin.policy.target_tracking`: holds a measure near a target, within
//! bounds that may follow a schedule.

use std::str::FromStr;

use chrono_tz::Tz;
use croner::Cron;
use senlin_core::{
    Map, Time,
    action::ActionKind,
    spec::SpecError,
    types::{Meta, Support},
};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::engine::{AttachedPolicy, Behaviour, ClusterSnapshot, Decision, PolicyMeta, Request, read};

/// What the policy says.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TargetTrackingSpec)]
pub struct TargetTracking {
    /// What is held near the target: mean CPU use of the members in percent of what each may use, mean memory use
    /// likewise, or a query of a Prometheus server.
    #[serde(default)]
    #[schema(inline, default = "cpu")]
    pub metric: Metric,
    /// Where and what to ask when metric is prometheus.
    pub prometheus: Option<Prometheus>,
    /// The value to hold. With none, only the schedules act.
    #[schema(exclusive_minimum = 0)]
    pub target: Option<f64>,
    /// How far the measure may be from the target, in percent of it, before anything is done.
    #[serde(default = "ten_f")]
    #[schema(default = 10, minimum = 0)]
    pub tolerance: f64,
    /// Seconds between two looks.
    #[serde(default = "thirty")]
    #[schema(default = 30, minimum = 1, maximum = 3600)]
    pub interval: i64,
    /// Seconds after a growth before the next one.
    #[serde(default = "minute")]
    #[schema(default = 60, minimum = 0)]
    pub cooldown_up: i64,
    /// Seconds after any change before the cluster shrinks.
    #[serde(default = "five_minutes")]
    #[schema(default = 300, minimum = 0)]
    pub cooldown_down: i64,
    /// The cluster shrinks only to the greatest size that was wanted within so many seconds, and only when the measure
    /// was known all that time: the policy's attachment begins a window, and so does a measure that was unknown.
    #[serde(default = "five_minutes")]
    #[schema(default = 300, minimum = 0, maximum = 3600)]
    pub stabilization_window: i64,
    /// Seconds after a member was made before the cluster shrinks: what it uses until then says little.
    #[serde(default = "minute")]
    #[schema(default = 60, minimum = 0, maximum = 3600)]
    pub warm_up: i64,
    /// The cluster never shrinks below this, whatever its own min_size. Only 0 lets it be emptied.
    #[serde(default = "one")]
    #[schema(default = 1, minimum = 0)]
    pub min_size: i32,
    /// Least members more or fewer at once.
    #[serde(default = "one")]
    #[schema(default = 1, minimum = 1)]
    pub min_step: i32,
    /// Most members more or fewer at once.
    #[serde(default = "ten")]
    #[schema(default = 10, minimum = 1)]
    pub max_step: i32,
    /// Times at which the cluster's bounds change.
    #[serde(default)]
    pub schedules: Vec<Schedule>,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the contract's own words")]
pub enum Metric {
    #[default]
    Cpu,
    Memory,
    Prometheus,
}

/// A question to a Prometheus server.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Prometheus {
    /// Its address, such as `http://metrics.example:9090`.
    #[schema(min_length = 1)]
    pub url: String,
    /// A query that answers one number; {cluster_id} stands for the cluster's id.
    #[schema(min_length = 1, max_length = 4000)]
    pub query: String,
}

/// From one time on.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// When, in five fields: minute, hour, day of month, month, day of week.
    pub cron: String,
    /// The time zone that is meant, such as Europe/Paris.
    #[serde(default = "utc")]
    #[schema(default = "UTC")]
    pub timezone: String,
    /// The cluster's least size from then on.
    #[schema(minimum = 0)]
    pub min_size: Option<i32>,
    /// The cluster's greatest size from then on, -1 for none.
    #[schema(minimum = -1)]
    pub max_size: Option<i32>,
}

fn ten_f() -> f64 {
    10.0
}
fn thirty() -> i64 {
    30
}
fn minute() -> i64 {
    60
}
fn five_minutes() -> i64 {
    300
}
fn one() -> i32 {
    1
}
fn ten() -> i32 {
    10
}
fn utc() -> String {
    "UTC".to_owned()
}

impl Schedule {
    fn when(&self) -> Result<(Cron, Tz), SpecError> {
        let cron =
            Cron::from_str(&self.cron).map_err(|e| SpecError(format!("'{}' is no cron expression: {e}", self.cron)))?;
        let zone = Tz::from_str(&self.timezone)
            .map_err(|_unnamed| SpecError(format!("'{}' is no time zone", self.timezone)))?;
        Ok((cron, zone))
    }

    /// When it last came to be in force.
    fn last(&self, now: Time) -> Option<Time> {
        let (cron, zone) = self.when().ok()?;
        let local = now.with_timezone(&zone);
        let last = cron.find_previous_occurrence(&local, true).ok()?;
        Some(last.with_timezone(&chrono::Utc))
    }
}

/// What is known when it is decided.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Members the cluster has.
    pub size: i32,
    /// Its least size.
    pub min: i32,
    /// Its greatest size, -1 for none.
    pub max: i32,
    /// Nodes that any cluster may have.
    pub limit: i32,
    /// The measure; none when it is unknown.
    pub measure: Option<f64>,
    /// Since when every look found the measure; none when this is the first one that does.
    pub known: Option<Time>,
    /// When the newest member was made.
    pub newest: Option<Time>,
    /// When the cluster last grew by this policy.
    pub grew: Option<Time>,
    /// When it last grew or shrank by this policy.
    pub changed: Option<Time>,
    /// Sizes that were wanted lately, and when.
    pub wanted: Vec<(Time, i32)>,
    /// When it is decided.
    pub now: Time,
}

/// What is to be done, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The size to go to; none leaves it.
    pub size: Option<i32>,
    /// The size that the measure asks for, bounds and cooldowns aside.
    pub wanted: Option<i32>,
    /// Why, in words.
    pub reason: String,
}

impl TargetTracking {
    /// The policy with these properties.
    ///
    /// # Errors
    /// Names what does not fit.
    pub fn read(properties: &Map) -> Result<Self, SpecError> {
        read(properties)
    }

    /// The bounds that the schedules ask for at `now`: the latest to have come
    /// wins, each for what it names. None: no schedule has come yet, or there is none.
    #[must_use]
    pub fn bounds(&self, now: Time) -> (Option<i32>, Option<i32>) {
        let mut come: Vec<(Time, &Schedule)> = self
            .schedules
            .iter()
            .filter_map(|s| s.last(now).map(|at| (at, s)))
            .collect();
        come.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        let min = come.iter().find_map(|(_, s)| s.min_size);
        let max = come.iter().find_map(|(_, s)| s.max_size);
        (min, max)
    }

    /// What the cluster's size should be.
    #[must_use]
    pub fn decide(&self, facts: &Facts) -> Verdict {
        let Some(target) = self.target else {
            return stay(None, "No target: only the schedules act.".to_owned());
        };
        let measure = match facts.measure {
            None => return stay(None, "The measure is unknown: nothing is done.".to_owned()),
            Some(odd) if !is_measure(odd) => {
                let what = self.measured();
                return stay(None, format!("{what} is {odd}, which cannot be: nothing is done."));
            }
            Some(measure) => measure,
        };
        let size = facts.size;
        let ratio = measure / target;
        let text = format!("{} is {measure:.1}, the target {target:.1}", self.measured());
        if (ratio - 1.0).abs() * 100.0 <= self.tolerance {
            return stay(Some(size), format!("{text}: near enough."));
        }
        let wanted = ceil(f64::from(size.max(1)) * ratio);
        if wanted > size {
            self.grow(facts, wanted, &text)
        } else {
            self.shrink(facts, wanted, &text)
        }
    }

    fn grow(&self, facts: &Facts, wanted: i32, text: &str) -> Verdict {
        let size = facts.size;
        let most = if facts.max < 0 { facts.limit } else { facts.max };
        let to = size.saturating_add(self.step(wanted - size)).min(most);
        if to <= size {
            return stay(Some(wanted), format!("{text}: at max_size ({most})."));
        }
        if let Some(left) = left(facts.grew, self.cooldown_up, facts.now) {
            return stay(
                Some(wanted),
                format!("{text}: the policy is in cooldown for another {left} s."),
            );
        }
        go(to, wanted, size, text)
    }

    fn shrink(&self, facts: &Facts, wanted: i32, text: &str) -> Verdict {
        let size = facts.size;
        let stay = |why: String| stay(Some(wanted), format!("{text}: {why}"));
        let least = facts.min.max(self.min_size);
        if least >= size {
            return stay(format!("at min_size ({least})."));
        }
        if wanted >= size {
            return stay(format!("fewer than {size} members would not hold it."));
        }
        let window = self.stabilization_window;
        if let Some(left) = left(Some(facts.known.unwrap_or(facts.now)), window, facts.now) {
            return stay(format!("it has to be known for {left} s more."));
        }
        if let Some(left) = left(facts.newest, self.warm_up, facts.now) {
            return stay(format!("the newest member warms up for {left} s more."));
        }
        let from = facts.now - chrono::Duration::seconds(window);
        let lately = facts.wanted.iter().filter(|(at, _)| *at >= from).map(|(_, n)| *n);
        let settled = lately.max().unwrap_or(wanted).max(wanted);
        if settled >= size {
            return stay(format!("{settled} members were wanted within the last {window} s."));
        }
        if let Some(left) = left(facts.changed, self.cooldown_down, facts.now) {
            return stay(format!("the policy is in cooldown for another {left} s."));
        }
        go((size - self.step(size - settled)).max(least), wanted, size, text)
    }

    /// Members more or fewer at once.
    fn step(&self, by: i32) -> i32 {
        by.clamp(self.min_step, self.max_step.max(self.min_step))
    }

    fn measured(&self) -> &'static str {
        match self.metric {
            Metric::Cpu => "Mean CPU use",
            Metric::Memory => "Mean memory use",
            Metric::Prometheus => "The query's answer",
        }
    }
}

/// Whether a number can be a use of something: not negative, not infinite, not NaN.
#[must_use]
pub fn is_measure(number: f64) -> bool {
    number.is_finite() && number >= 0.0
}

fn stay(wanted: Option<i32>, reason: String) -> Verdict {
    Verdict {
        size: None,
        wanted,
        reason,
    }
}

fn go(to: i32, wanted: i32, from: i32, text: &str) -> Verdict {
    Verdict {
        size: Some(to),
        wanted: Some(wanted),
        reason: format!("{text}: {to} members instead of {from}."),
    }
}

/// Seconds that are left of a time that began then.
fn left(since: Option<Time>, seconds: i64, now: Time) -> Option<i64> {
    let passed = (now - since?).num_seconds();
    Some(seconds - passed).filter(|left| *left > 0)
}

#[expect(clippy::cast_possible_truncation, reason = "clamped")]
fn ceil(number: f64) -> i32 {
    number.ceil().clamp(0.0, 1e9) as i32
}

pub(crate) const META: PolicyMeta = PolicyMeta {
    is: Meta {
        name: "senlin.policy.target_tracking",
        version: "1.0",
        support: &[Support::supported("2026.11")],
        since: (1, 15),
    },
    priority: 700,
    singleton: true,
    needs_hosts: false,
};

impl Behaviour for TargetTracking {
    fn check(&self) -> Result<(), SpecError> {
        let refuse = |text: &str| Err(SpecError(text.to_owned()));
        if self.target.is_none() && self.schedules.is_empty() {
            return refuse("'target' or 'schedules' is required");
        }
        if self.min_step > self.max_step {
            return refuse("'min_step' must not be greater than 'max_step'");
        }
        match (&self.prometheus, self.metric) {
            (None, Metric::Prometheus) => return refuse("'prometheus' is required when 'metric' is 'prometheus'"),
            (Some(p), Metric::Prometheus) if !p.url.starts_with("http://") && !p.url.starts_with("https://") => {
                return refuse("'prometheus.url' must begin with http:// or https://");
            }
            _ => {}
        }
        for schedule in &self.schedules {
            schedule.when()?;
            if schedule.min_size.is_none() && schedule.max_size.is_none() {
                return refuse("A schedule must name 'min_size', 'max_size' or both");
            }
            if let (Some(min), Some(max)) = (schedule.min_size, schedule.max_size)
                && max >= 0
                && min > max
            {
                return refuse("A schedule's 'min_size' must not be greater than its 'max_size'");
            }
        }
        Ok(())
    }

    // It asks for actions; it has no say in those of others.
    fn concerns(_: &Request) -> bool {
        false
    }

    fn before(
        self,
        _: &AttachedPolicy,
        _: &ClusterSnapshot,
        _: &Request,
        decision: Decision,
    ) -> Result<Decision, String> {
        Ok(decision)
    }

    fn after(kind: ActionKind) -> bool {
        kind == ActionKind::ClusterResize
    }
}

#[cfg(test)]
mod tests;

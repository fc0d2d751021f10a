//! What the engine counts.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use senlin_core::action::ActionKind;

pub(crate) mod fleet;

use fleet::FleetMetrics;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    action: String,
}

/// The engine's counters.
#[derive(Debug, Clone)]
pub struct Metrics {
    claimed: Counter,
    expired: Counter,
    collected: Counter,
    unaccounted: Counter,
    beats_missed: Counter,
    ran: Family<Kind, Histogram, fn() -> Histogram>,
    decided: Family<Decided, Counter>,
    recoveries: Family<Why, Counter>,
    moved: Counter,
    dropped_partitions: Counter,
    task_runs: Family<TaskRun, Counter>,
    task_seconds: Family<OfTask, Histogram, fn() -> Histogram>,
    task_last: Family<OfTask, Gauge>,
    pub(crate) fleet: FleetMetrics,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Decided {
    action: &'static str,
    answer: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfTask {
    task: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TaskRun {
    task: &'static str,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Why {
    outcome: String,
}

fn seconds() -> Histogram {
    Histogram::new([0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0])
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            claimed: Counter::default(),
            expired: Counter::default(),
            collected: Counter::default(),
            unaccounted: Counter::default(),
            beats_missed: Counter::default(),
            ran: Family::new_with_constructor(seconds as fn() -> Histogram),
            decided: Family::default(),
            recoveries: Family::default(),
            moved: Counter::default(),
            dropped_partitions: Counter::default(),
            task_runs: Family::default(),
            task_seconds: Family::new_with_constructor(seconds as fn() -> Histogram),
            task_last: Family::default(),
            fleet: FleetMetrics::default(),
        }
    }
}

impl Metrics {
    /// Puts the counters into a registry.
    #[must_use]
    pub fn registered(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "senlin_engine_actions_claimed",
            "Actions claimed",
            metrics.claimed.clone(),
        );
        registry.register(
            "senlin_engine_leases_expired",
            "Leases of silent engines taken back",
            metrics.expired.clone(),
        );
        registry.register(
            "senlin_engine_containers_collected",
            "Containers without a node removed",
            metrics.collected.clone(),
        );
        registry.register(
            "senlin_engine_containers_unaccounted",
            "Containers found that the record does not account for",
            metrics.unaccounted.clone(),
        );
        registry.register(
            "senlin_engine_heartbeats_missed",
            "Heartbeats that a host did not answer",
            metrics.beats_missed.clone(),
        );
        registry.register(
            "senlin_engine_action_seconds",
            "How long one run of an action took",
            metrics.ran.clone(),
        );
        registry.register(
            "senlin_engine_decisions",
            "Decisions made, by action and answer",
            metrics.decided.clone(),
        );
        registry.register(
            "senlin_engine_recoveries",
            "Recoveries that health asked for, by what became of the request",
            metrics.recoveries.clone(),
        );
        registry.register(
            "senlin_engine_history_moved",
            "Ended actions moved to the history",
            metrics.moved.clone(),
        );
        registry.register(
            "senlin_engine_history_partitions_dropped",
            "Partitions of history dropped for their age",
            metrics.dropped_partitions.clone(),
        );
        registry.register(
            "senlin_engine_task_runs",
            "Runs of what engines do unasked, by task and result",
            metrics.task_runs.clone(),
        );
        registry.register(
            "senlin_engine_task_seconds",
            "How long one run of a task took",
            metrics.task_seconds.clone(),
        );
        registry.register(
            "senlin_engine_task_last_result",
            "Whether a task succeeded when it was last due: 1 or 0",
            metrics.task_last.clone(),
        );
        metrics.fleet.register(registry);
        metrics
    }

    pub(crate) fn ran_task(&self, task: &'static str, took: Duration, succeeded: bool) {
        let result = if succeeded { "success" } else { "failure" };
        self.task_runs.get_or_create(&TaskRun { task, result }).inc();
        self.task_seconds
            .get_or_create(&OfTask { task })
            .observe(took.as_secs_f64());
        self.task_result(task, succeeded);
    }

    /// What became of a task when it was last due.
    pub(crate) fn task_result(&self, task: &'static str, succeeded: bool) {
        self.task_last.get_or_create(&OfTask { task }).set(i64::from(succeeded));
    }

    /// By fixed words alone: a label of clusters would grow with every one there ever was.
    pub(crate) fn decided(&self, kind: ActionKind, answer: &'static str) {
        let labels = Decided {
            action: kind.as_str(),
            answer,
        };
        self.decided.get_or_create(&labels).inc();
    }

    pub(crate) fn recovery(&self, outcome: &str) {
        let labels = Why {
            outcome: outcome.to_owned(),
        };
        self.recoveries.get_or_create(&labels).inc();
    }

    pub(crate) fn moved(&self, n: i64) {
        self.moved.inc_by(n.try_into().unwrap_or(0));
    }

    pub(crate) fn dropped_partition(&self) {
        self.dropped_partitions.inc();
    }

    pub(crate) fn unaccounted(&self, n: usize) {
        self.unaccounted.inc_by(n.try_into().unwrap_or(0));
    }

    pub(crate) fn claimed(&self, n: usize) {
        self.claimed.inc_by(n.try_into().unwrap_or(0));
    }

    pub(crate) fn expired(&self, n: usize) {
        self.expired.inc_by(n.try_into().unwrap_or(0));
    }

    pub(crate) fn collected(&self) {
        self.collected.inc();
    }

    pub(crate) fn beat_missed(&self) {
        self.beats_missed.inc();
    }

    pub(crate) fn ran(&self, kind: ActionKind, took: Duration) {
        self.ran
            .get_or_create(&Kind {
                action: kind.as_str().to_owned(),
            })
            .observe(took.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a11_what_tenants_make_is_no_label_of_a_counter() {
        let mut registry = Registry::default();
        let metrics = Metrics::registered(&mut registry);
        for answer in ["yes", "no", "asked"] {
            metrics.decided(ActionKind::ClusterResize, answer);
        }
        metrics.moved(3);
        metrics.dropped_partition();
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert!(
            text.contains("senlin_engine_decisions_total{action=\"CLUSTER_RESIZE\",answer=\"yes\"} 1"),
            "{text}"
        );
        assert!(text.contains("senlin_engine_history_moved_total 3"), "{text}");
        assert!(
            text.contains("senlin_engine_history_partitions_dropped_total 1"),
            "{text}"
        );
        assert!(!text.contains("cluster_id="), "{text}");
    }
}

//! How hosts that fit are compared: the least score wins, first difference decides.

use senlin_core::placement::{Affinity, HostSnapshot, Rules, Strategy};

use crate::chance::Chance;

/// Containers that failed on a host lately before it ranks a step lower.
const FAILURES_PER_STEP: i64 = 3;

/// A host's score; less is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Score {
    /// Siblings, as a soft affinity wants them.
    affinity: i64,
    /// Under the threshold 0, unknown 1, over it 2.
    tier: u8,
    /// Steps down for what failed there lately.
    trouble: i64,
    /// What the strategy looks at first.
    first: i64,
    /// And next.
    second: i64,
    /// Then by chance.
    chance: u64,
}

/// The score of a host.
#[must_use]
pub fn of(host: &HostSnapshot, rules: &Rules, seed: u64) -> Score {
    let (high, low) = host.id.0.as_u64_pair();
    let chance = Chance::new(seed ^ high ^ low.rotate_left(32)).next();
    let strategy = rules.strategy.unwrap_or_default();
    let reckoned = rules.threshold.is_some() || strategy == Strategy::LowCpu;
    let cpu = if reckoned { host.cpu_expected() } else { None };
    let tier = match (rules.threshold, cpu) {
        (Some(limit), Some(load)) if load > limit.percent => 2,
        (Some(_), Some(_)) => 0,
        (_, None) if reckoned => 1,
        _ => 0,
    };
    let (first, second) = match strategy {
        Strategy::Spread => (host.siblings, host.containers),
        Strategy::Random => (0, 0),
        Strategy::LowCpu => (tenths(cpu.unwrap_or(promised(host))), host.siblings),
        Strategy::LowMemory => (tenths(host.memory_expected().unwrap_or(promised(host))), host.siblings),
        Strategy::Binpack => (-tenths(promised(host)), -host.containers),
    };
    Score {
        affinity: match rules.affinity {
            Some(Affinity::SoftAffinity) => -host.siblings,
            Some(Affinity::SoftAntiAffinity) => host.siblings,
            _ => 0,
        },
        tier,
        trouble: host.failures / FAILURES_PER_STEP,
        first,
        second,
        chance,
    }
}

/// The fuller of promised CPU and promised memory, in percent.
#[expect(clippy::cast_precision_loss, reason = "a share of a whole needs no last digit")]
fn promised(host: &HostSnapshot) -> f64 {
    let share = |part: i64, whole: i64| 100.0 * part as f64 / whole.max(1) as f64;
    share(host.cpu_used, host.cpu_millis).max(share(host.memory_used, host.memory))
}

/// Tenths of a percent; finer differences are none.
#[expect(clippy::cast_possible_truncation, reason = "clamped")]
fn tenths(percent: f64) -> i64 {
    (percent.clamp(0.0, 1e6) * 10.0).round() as i64
}

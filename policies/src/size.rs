//! Size arithmetic, with Senlin's messages.

use senlin_core::cluster::Cluster;

/// Nodes that one cluster may have, unless the operator says otherwise.
pub const MAX_NODES_PER_CLUSTER: i32 = 1000;

/// A size that a rule forbids; the text is Senlin's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SizeError(String);

/// What a cluster is now.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Its least size.
    pub min: i32,
    /// Its greatest size, -1 for none.
    pub max: i32,
    /// The size asked for.
    pub desired: i32,
    /// Nodes that any cluster may have.
    pub limit: i32,
}

impl Bounds {
    /// A cluster's bounds, under the default limit.
    #[must_use]
    pub fn of(cluster: &Cluster) -> Self {
        Self {
            min: cluster.min_size,
            max: cluster.max_size,
            desired: cluster.desired_capacity,
            limit: MAX_NODES_PER_CLUSTER,
        }
    }
}

/// How a number changes a size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adjustment {
    /// It is the new size.
    Exact,
    /// It is added.
    Change,
    /// That many percent are added.
    Percentage,
}

impl Adjustment {
    /// Every name, as messages list them.
    pub const NAMES: [&'static str; 3] = ["EXACT_CAPACITY", "CHANGE_IN_CAPACITY", "CHANGE_IN_PERCENTAGE"];

    /// The adjustment with that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "EXACT_CAPACITY" => Some(Self::Exact),
            "CHANGE_IN_CAPACITY" => Some(Self::Change),
            "CHANGE_IN_PERCENTAGE" => Some(Self::Percentage),
            _ => None,
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "clamped to i32 before")]
fn whole(number: f64) -> i32 {
    number.clamp(f64::from(i32::MIN), f64::from(i32::MAX)) as i32
}

/// The size that an adjustment asks for. A percentage is rounded away from
/// zero when it is less than one node, else towards zero; `min_step` is the
/// least change, in the direction of `number`.
#[must_use]
pub fn desired(current: i32, kind: Adjustment, number: f64, min_step: Option<i32>) -> i32 {
    match kind {
        Adjustment::Exact => whole(number),
        Adjustment::Change => current.saturating_add(whole(number)),
        Adjustment::Percentage => {
            let delta = number * f64::from(current) / 100.0;
            let rounded = if delta.abs() < 1.0 {
                whole(delta.abs().ceil().copysign(delta))
            } else {
                whole(delta.trunc())
            };
            let change = match min_step {
                Some(step) if step > rounded.saturating_abs() => {
                    if number < 0.0 {
                        step.saturating_neg()
                    } else {
                        step
                    }
                }
                _ => rounded,
            };
            current.saturating_add(change)
        }
    }
}

/// Brings a size within the new bounds, or the cluster's where none is new
/// (best effort: `strict` false).
#[must_use]
pub fn truncate(desired: i32, min: Option<i32>, max: Option<i32>, now: Bounds) -> i32 {
    let least = min.unwrap_or(now.min);
    let most = match max.unwrap_or(now.max) {
        max if max > 0 => max,
        _ => now.limit,
    };
    desired.max(least).min(most.max(least))
}

/// Checks a size and new bounds against each other and the cluster, in
/// Senlin's order.
///
/// # Errors
/// The first rule that is broken.
pub fn check(
    desired: Option<i32>,
    min: Option<i32>,
    max: Option<i32>,
    strict: bool,
    now: Bounds,
) -> Result<(), SizeError> {
    let refuse = |text: String| Err(SizeError(text));
    if let Some(d) = desired {
        if d > now.limit {
            return refuse(format!(
                "The target capacity ({d}) is greater than the maximum number of nodes allowed per cluster ({}).",
                now.limit
            ));
        }
        if let Some(min) = min.filter(|m| d < *m) {
            return refuse(format!(
                "The target capacity ({d}) is less than the specified min_size ({min})."
            ));
        }
        if min.is_none() && strict && d < now.min {
            return refuse(format!(
                "The target capacity ({d}) is less than the cluster's min_size ({}).",
                now.min
            ));
        }
        if let Some(max) = max.filter(|m| *m >= 0 && d > *m) {
            return refuse(format!(
                "The target capacity ({d}) is greater than the specified max_size ({max})."
            ));
        }
        if max.is_none() && strict && now.max >= 0 && d > now.max {
            return refuse(format!(
                "The target capacity ({d}) is greater than the cluster's max_size ({}).",
                now.max
            ));
        }
        if d < 0 {
            return refuse(format!("The target capacity ({d}) is less than 0."));
        }
    }
    if let Some(min) = min {
        if let Some(max) = max.filter(|m| *m >= 0 && min > *m) {
            return refuse(format!(
                "The specified min_size ({min}) is greater than the specified max_size ({max})."
            ));
        }
        if max.is_none() && now.max >= 0 && min > now.max {
            return refuse(format!(
                "The specified min_size ({min}) is greater than the current max_size ({}) of the cluster.",
                now.max
            ));
        }
        if desired.is_none() && strict && min > now.desired {
            return refuse(format!(
                "The specified min_size ({min}) is greater than the current desired_capacity ({}) of the cluster.",
                now.desired
            ));
        }
    }
    if let Some(max) = max {
        if max > now.limit {
            return refuse(format!(
                "The specified max_size ({max}) is greater than the maximum number of nodes allowed per cluster ({}).",
                now.limit
            ));
        }
        if max >= 0 && min.is_none() && max < now.min {
            return refuse(format!(
                "The specified max_size ({max}) is less than the current min_size ({}) of the cluster.",
                now.min
            ));
        }
        if max >= 0 && desired.is_none() && strict && max < now.desired {
            return refuse(format!(
                "The specified max_size ({max}) is less than the current desired_capacity ({}) of the cluster.",
                now.desired
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Bounds = Bounds {
        min: 1,
        max: 10,
        desired: 4,
        limit: 1000,
    };

    #[test]
    fn adjustments() {
        use Adjustment::*;
        let table = [
            (4, Exact, 7.0, None, 7),
            (4, Change, -1.0, None, 3),
            (10, Percentage, 25.0, None, 12),
            (10, Percentage, -25.0, None, 8),
            (10, Percentage, 1.0, None, 11),
            (10, Percentage, -1.0, None, 9),
            (10, Percentage, 10.0, Some(3), 13),
            (10, Percentage, -10.0, Some(3), 7),
            // Nothing to take a percentage of: the step goes the way of the number.
            (0, Percentage, 50.0, Some(2), 2),
            (0, Percentage, -50.0, Some(2), -2),
        ];
        for (current, kind, number, step, expected) in table {
            assert_eq!(
                desired(current, kind, number, step),
                expected,
                "{current} {kind:?} {number} {step:?}"
            );
        }
    }

    #[test]
    fn best_effort_stays_within_bounds() {
        assert_eq!(truncate(20, None, None, NOW), 10);
        assert_eq!(truncate(0, None, None, NOW), 1);
        assert_eq!(truncate(20, None, Some(15), NOW), 15);
        assert_eq!(truncate(0, Some(3), None, NOW), 3);
        assert_eq!(truncate(5000, None, Some(-1), NOW), 1000);
    }

    #[test]
    fn the_first_broken_rule_is_named() {
        let table: [(Option<i32>, Option<i32>, Option<i32>, &str); 10] = [
            (
                Some(1001),
                None,
                None,
                "The target capacity (1001) is greater than the maximum number of nodes allowed per cluster (1000).",
            ),
            (
                Some(2),
                Some(5),
                None,
                "The target capacity (2) is less than the specified min_size (5).",
            ),
            (
                Some(0),
                None,
                None,
                "The target capacity (0) is less than the cluster's min_size (1).",
            ),
            (
                Some(6),
                None,
                Some(5),
                "The target capacity (6) is greater than the specified max_size (5).",
            ),
            (
                Some(11),
                None,
                None,
                "The target capacity (11) is greater than the cluster's max_size (10).",
            ),
            (
                None,
                Some(6),
                Some(5),
                "The specified min_size (6) is greater than the specified max_size (5).",
            ),
            (
                None,
                Some(11),
                None,
                "The specified min_size (11) is greater than the current max_size (10) of the cluster.",
            ),
            (
                None,
                Some(5),
                None,
                "The specified min_size (5) is greater than the current desired_capacity (4) of the cluster.",
            ),
            (
                None,
                None,
                Some(0),
                "The specified max_size (0) is less than the current min_size (1) of the cluster.",
            ),
            (
                None,
                None,
                Some(3),
                "The specified max_size (3) is less than the current desired_capacity (4) of the cluster.",
            ),
        ];
        for (desired, min, max, message) in table {
            assert_eq!(check(desired, min, max, true, NOW).unwrap_err().to_string(), message);
        }
        assert_eq!(check(Some(10), Some(1), Some(10), true, NOW), Ok(()));
        assert_eq!(check(Some(11), None, None, false, NOW), Ok(()));
    }
}

//! CLUSTER_SCALE_OUT: `count` members more, as many as a policy says, or one.

use senlin_core::cluster::ClusterStatus;
use senlin_db::spawn::SizeChange;
use senlin_policies::size::{self, Bounds};

use super::{FINISH, conclude, grow, load, mark};
use crate::{
    context::{Ctx, Failure, Outcome},
    decisions,
};

pub(crate) async fn run(ctx: &Ctx) -> Result<Outcome, Failure> {
    if !ctx.action.phase.is_empty() {
        return conclude(ctx, "Cluster scaling succeeded.").await;
    }
    let cluster = load(ctx).await?;
    let decision = decisions::ask(ctx, &cluster, count(ctx)?, Vec::new(), false).await?;
    let count = decision.count.unwrap_or(1);
    let current = i32::try_from(cluster.nodes.len()).unwrap_or(i32::MAX);
    let desired = current.saturating_add(count);
    size::check(Some(desired), None, None, true, Bounds::of(&cluster)).map_err(|e| Failure::Refused(e.to_string()))?;
    mark(ctx, ClusterStatus::Resizing, "Cluster scale out in progress").await?;
    let size = SizeChange {
        desired: Some(desired),
        ..SizeChange::default()
    };
    grow(ctx, &cluster, size, count, FINISH).await
}

/// The input `count`, as a positive whole number, if there is one.
pub(super) fn count(ctx: &Ctx) -> Result<Option<i32>, Failure> {
    let value = match ctx.action.inputs.get("count") {
        None | Some(serde_json::Value::Null) => return Ok(None),
        Some(serde_json::Value::String(text)) => text.parse::<i32>().ok(),
        Some(other) => other.as_i64().and_then(|n| i32::try_from(n).ok()),
    };
    value
        .filter(|n| *n > 0)
        .map(Some)
        .ok_or_else(|| Failure::Refused("Invalid count for scaling: it must be a positive integer.".to_owned()))
}

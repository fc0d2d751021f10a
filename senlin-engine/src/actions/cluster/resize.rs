//! CLUSTER_RESIZE: new bounds, a new size, or both.

use senlin_core::cluster::ClusterStatus;
use senlin_db::spawn::SizeChange;
use senlin_policies::size::{self, Adjustment, Bounds};

use super::{
    FINISH, conclude, grow, load, mark,
    remove::{GRACE, after_grace, remove},
};
use crate::{
    context::{Ctx, Failure, Outcome},
    decisions,
};

pub(crate) async fn run(ctx: &Ctx) -> Result<Outcome, Failure> {
    match ctx.action.phase.as_str() {
        "" => {}
        GRACE => return after_grace(ctx, &load(ctx).await?).await,
        _ => return conclude(ctx, "Cluster resize succeeded.").await,
    }
    let cluster = load(ctx).await?;
    let min: Option<i32> = ctx.input("min_size")?;
    let max: Option<i32> = ctx.input("max_size")?;
    let strict = ctx.input::<bool>("strict")?.unwrap_or(true);
    let current = i32::try_from(cluster.nodes.len()).unwrap_or(i32::MAX);
    let refused = |e: size::SizeError| Failure::Refused(e.to_string());
    let wanted = match (ctx.input::<String>("adjustment_type")?, ctx.input::<f64>("number")?) {
        (Some(kind), Some(number)) => {
            let kind = Adjustment::parse(&kind)
                .ok_or_else(|| Failure::Refused(format!("Unknown adjustment_type '{kind}'.")))?;
            let step: Option<i32> = ctx.input("min_step")?;
            Some(size::desired(current, kind, number, step))
        }
        _ => None,
    };
    let bounds = Bounds::of(&cluster);
    let wanted = if strict {
        wanted
    } else {
        wanted.map(|d| size::truncate(d, min, max, bounds))
    };
    size::check(wanted, min, max, strict, bounds).map_err(refused)?;
    // New bounds may move the size even when none was asked for.
    let desired = wanted.unwrap_or_else(|| size::truncate(cluster.desired_capacity, min, max, bounds));
    let change = (desired - current).saturating_abs();
    let decision = decisions::ask(ctx, &cluster, Some(change), Vec::new(), desired < current).await?;
    mark(ctx, ClusterStatus::Resizing, "Cluster resize in progress").await?;
    let size = SizeChange {
        desired: Some(desired),
        min,
        max,
    };
    if desired > current {
        grow(ctx, &cluster, size, desired - current, FINISH).await
    } else {
        remove(ctx, &cluster, size, current - desired, decision).await
    }
}

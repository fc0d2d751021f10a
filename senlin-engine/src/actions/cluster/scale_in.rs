//! CLUSTER_SCALE_IN: `count` members fewer, as many as a policy says, or one.

use senlin_core::cluster::ClusterStatus;

use super::{
    carry_out, conclude, load, mark,
    remove::{GRACE, after_grace},
};
use crate::{
    context::{Ctx, Failure, Outcome},
    decisions,
};

pub(crate) async fn run(ctx: &Ctx) -> Result<Outcome, Failure> {
    match ctx.action.phase.as_str() {
        "" => {}
        GRACE => return after_grace(ctx, &load(ctx).await?).await,
        _ => return conclude(ctx, "Cluster scaling succeeded.").await,
    }
    let cluster = load(ctx).await?;
    let intent = decisions::of_action(ctx, &cluster).await?;
    mark(ctx, ClusterStatus::Resizing, "Cluster scale in in progress").await?;
    carry_out(ctx, &cluster, intent).await
}

//! CLUSTER_SCALE_OUT: `count` members more, as many as a policy says, or one.

use senlin_core::cluster::ClusterStatus;

use super::{carry_out, conclude, load, mark};
use crate::{
    context::{Ctx, Failure, Outcome},
    decisions,
};

pub(crate) async fn run(ctx: &Ctx) -> Result<Outcome, Failure> {
    if !ctx.action.phase.is_empty() {
        return conclude(ctx, "Cluster scaling succeeded.").await;
    }
    let cluster = load(ctx).await?;
    let intent = decisions::of_action(ctx, &cluster).await?;
    mark(ctx, ClusterStatus::Resizing, "Cluster scale out in progress").await?;
    carry_out(ctx, &cluster, intent).await
}

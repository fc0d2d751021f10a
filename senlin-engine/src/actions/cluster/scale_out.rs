//! CLUSTER_SCALE_OUT: `count` members more, as many as a policy says, or one.

use senlin_core::cluster::ClusterStatus;

use super::{carry_out, conclude, load, phase::Once, set_status};
use crate::{
    actions::context::{Ctx, Outcome},
    decisions,
    failure::Failure,
};

pub(crate) async fn run(ctx: &Ctx) -> Result<Outcome, Failure> {
    match Once::of(ctx)? {
        Once::Begin => begin(ctx).await,
        Once::Finish => conclude(ctx, "Cluster scaling succeeded.").await,
    }
}

async fn begin(ctx: &Ctx) -> Result<Outcome, Failure> {
    let cluster = load(ctx).await?;
    let intent = decisions::of_action(ctx, &cluster).await?;
    set_status(ctx, ClusterStatus::Resizing, "Cluster scale out in progress").await?;
    carry_out(ctx, &cluster, intent).await
}

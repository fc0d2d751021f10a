//! CLUSTER_SCALE_IN: `count` members fewer, as many as a policy says, or one.

use senlin_core::cluster::ClusterStatus;

use super::{carry_out, conclude, load, phase::Sizing, remove::after_grace, set_status};
use crate::{
    actions::context::{Ctx, Outcome},
    decisions,
    failure::Failure,
};

pub(crate) async fn run(ctx: &Ctx) -> Result<Outcome, Failure> {
    match Sizing::of(ctx)? {
        Sizing::Begin => begin(ctx).await,
        Sizing::Grace => after_grace(ctx, &load(ctx).await?).await,
        Sizing::Finish => conclude(ctx, "Cluster scaling succeeded.").await,
    }
}

async fn begin(ctx: &Ctx) -> Result<Outcome, Failure> {
    let cluster = load(ctx).await?;
    let intent = decisions::of_action(ctx, &cluster).await?;
    set_status(ctx, ClusterStatus::Resizing, "Cluster scale in in progress").await?;
    carry_out(ctx, &cluster, intent).await
}

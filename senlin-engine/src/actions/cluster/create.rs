//! CLUSTER_CREATE: every member at once.

use senlin_core::cluster::ClusterStatus;
use senlin_db::child_actions::SizeChange;
use senlin_policies::engine::Decision;

use super::{carry_out, conclude, load, phase::Once, set_status};
use crate::{
    actions::context::{Ctx, Outcome},
    decisions::Intent,
    failure::Failure,
};

pub(crate) async fn run(ctx: &Ctx) -> Result<Outcome, Failure> {
    match Once::of(ctx)? {
        Once::Begin => begin(ctx).await,
        Once::Finish => conclude(ctx, "Cluster creation succeeded.").await,
    }
}

async fn begin(ctx: &Ctx) -> Result<Outcome, Failure> {
    let cluster = load(ctx).await?;
    set_status(ctx, ClusterStatus::Creating, "Creation in progress").await?;
    // No policy can be attached to what is not there yet.
    let intent = Intent {
        decision: Decision::default(),
        size: SizeChange::default(),
        more: cluster.desired_capacity,
        fewer: 0,
    };
    carry_out(ctx, &cluster, intent).await
}

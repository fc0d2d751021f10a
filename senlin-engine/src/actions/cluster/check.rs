//! CLUSTER_CHECK: looks at every member.

use senlin_core::{Map, action::ActionKind, cluster::ClusterStatus};
use senlin_db::child_actions::SizeChange;

use super::{child, conclude, launch, load, phase::Once, set_status};
use crate::{
    actions::context::{Ctx, Outcome},
    failure::Failure,
};

pub(crate) async fn run(ctx: &Ctx) -> Result<Outcome, Failure> {
    match Once::of(ctx)? {
        Once::Begin => begin(ctx).await,
        Once::Finish => conclude(ctx, "Cluster checking completed.").await,
    }
}

async fn begin(ctx: &Ctx) -> Result<Outcome, Failure> {
    let cluster = load(ctx).await?;
    set_status(ctx, ClusterStatus::Checking, "Check in progress").await?;
    let checks: Vec<_> = cluster
        .nodes
        .iter()
        .map(|id| child(ctx, ActionKind::NodeCheck, *id, Map::new()))
        .collect();
    launch(ctx, SizeChange::default(), Once::Finish.word(), &checks).await
}

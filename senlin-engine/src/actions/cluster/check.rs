//! CLUSTER_CHECK: looks at every member.

use senlin_core::{Map, action::ActionKind, cluster::ClusterStatus};
use senlin_db::spawn::SizeChange;

use super::{FINISH, child, conclude, launch, load, mark};
use crate::context::{Ctx, Failure, Outcome};

pub(crate) async fn run(ctx: &Ctx) -> Result<Outcome, Failure> {
    if !ctx.action.phase.is_empty() {
        return conclude(ctx, "Cluster checking completed.").await;
    }
    let cluster = load(ctx).await?;
    mark(ctx, ClusterStatus::Checking, "Check in progress").await?;
    let checks: Vec<_> = cluster
        .nodes
        .iter()
        .map(|id| child(ctx, ActionKind::NodeCheck, *id, Map::new()))
        .collect();
    launch(ctx, SizeChange::default(), FINISH, &checks).await
}

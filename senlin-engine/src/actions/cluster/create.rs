//! CLUSTER_CREATE: every member at once.

use senlin_core::cluster::ClusterStatus;
use senlin_db::spawn::SizeChange;

use super::{FINISH, conclude, grow, load, mark};
use crate::context::{Ctx, Failure, Outcome};

pub(crate) async fn run(ctx: &Ctx) -> Result<Outcome, Failure> {
    match ctx.action.phase.as_str() {
        "" => {
            let cluster = load(ctx).await?;
            mark(ctx, ClusterStatus::Creating, "Creation in progress").await?;
            grow(ctx, &cluster, SizeChange::default(), cluster.desired_capacity, FINISH).await
        }
        _ => conclude(ctx, "Cluster creation succeeded.").await,
    }
}

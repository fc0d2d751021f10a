//! CLUSTER_SCALE_IN: `count` members fewer, as many as a policy says, or one.

use senlin_core::cluster::ClusterStatus;
use senlin_db::spawn::SizeChange;
use senlin_policies::size::{self, Bounds};

use super::{
    conclude, load, mark,
    remove::{GRACE, after_grace, remove},
    scale_out::count,
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
    let current = i32::try_from(cluster.nodes.len()).unwrap_or(i32::MAX);
    let asked = count(ctx)?.map(|n| n.min(current));
    let decision = decisions::ask(ctx, &cluster, asked, Vec::new(), true).await?;
    let count = decision.count.unwrap_or(1).min(current);
    let desired = current - count;
    size::check(Some(desired), None, None, true, Bounds::of(&cluster)).map_err(|e| Failure::Refused(e.to_string()))?;
    mark(ctx, ClusterStatus::Resizing, "Cluster scale in in progress").await?;
    let size = SizeChange {
        desired: Some(desired),
        ..SizeChange::default()
    };
    remove(ctx, &cluster, size, count, decision).await
}

//! CLUSTER_SCALE_IN: `count` members fewer (1 if not said).

use senlin_core::cluster::ClusterStatus;
use senlin_db::{members, spawn::SizeChange};
use senlin_policies::{
    size::{self, Bounds},
    victims,
};

use super::{FINISH, candidates, conclude, launch, load, mark, removals, scale_out::count};
use crate::context::{Ctx, Failure, Outcome};

pub(crate) async fn run(ctx: &Ctx) -> Result<Outcome, Failure> {
    if !ctx.action.phase.is_empty() {
        return conclude(ctx, "Cluster scaling succeeded.").await;
    }
    let cluster = load(ctx).await?;
    let current = i32::try_from(cluster.nodes.len()).unwrap_or(i32::MAX);
    let count = count(ctx)?.min(current);
    let desired = current - count;
    size::check(Some(desired), None, None, true, Bounds::of(&cluster)).map_err(|e| Failure::Refused(e.to_string()))?;
    mark(ctx, ClusterStatus::Resizing, "Cluster scale in in progress").await?;
    let size = SizeChange {
        desired: Some(desired),
        ..SizeChange::default()
    };
    shrink(ctx, size, count, FINISH).await
}

/// Takes `count` members out and waits for that in `phase`.
pub(super) async fn shrink(ctx: &Ctx, size: SizeChange, count: i32, phase: &'static str) -> Result<Outcome, Failure> {
    let mut conn = ctx.conn().await?;
    let members = members::list(&mut conn, ctx.cluster_id()?).await?;
    drop(conn);
    let seed = ctx.action.id.0.as_u64_pair().0;
    let count = usize::try_from(count).unwrap_or(0);
    let victims = victims::choose(&candidates(&members), count, seed);
    launch(ctx, size, phase, &removals(ctx, &victims, true)).await
}

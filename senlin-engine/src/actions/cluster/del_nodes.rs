//! CLUSTER_DEL_NODES: these members out, as orphans unless they are to be destroyed.

use super::{
    carry_out, conclude, load,
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
        _ => return conclude(ctx, "Completed deleting nodes.").await,
    }
    let cluster = load(ctx).await?;
    let intent = decisions::of_action(ctx, &cluster).await?;
    carry_out(ctx, &cluster, intent).await
}

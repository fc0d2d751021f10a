//! CLUSTER_DEL_NODES: these members out, as orphans unless they are to be destroyed.

use super::{carry_out, conclude, load, phase::Sizing, remove::after_grace};
use crate::{
    actions::context::{Ctx, Outcome},
    decisions,
    failure::Failure,
};

pub(crate) async fn run(ctx: &Ctx) -> Result<Outcome, Failure> {
    match Sizing::of(ctx)? {
        Sizing::Begin => begin(ctx).await,
        Sizing::Grace => after_grace(ctx, &load(ctx).await?).await,
        Sizing::Finish => conclude(ctx, "Completed deleting nodes.").await,
    }
}

async fn begin(ctx: &Ctx) -> Result<Outcome, Failure> {
    let cluster = load(ctx).await?;
    let intent = decisions::of_action(ctx, &cluster).await?;
    carry_out(ctx, &cluster, intent).await
}

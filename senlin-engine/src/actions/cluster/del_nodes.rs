//! CLUSTER_DEL_NODES: these members out, as orphans unless they are to be destroyed.

use senlin_core::ids::NodeId;
use senlin_db::spawn::SizeChange;
use senlin_policies::size::{self, Bounds};

use super::{
    FINISH, conclude, launch, load,
    remove::{GRACE, after_grace, remove},
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
    let wanted: Vec<NodeId> = ctx.input("candidates")?.unwrap_or_default();
    // One that has gone meanwhile needs no removal.
    let nodes: Vec<NodeId> = wanted.into_iter().filter(|id| cluster.nodes.contains(id)).collect();
    if nodes.is_empty() {
        return launch(ctx, SizeChange::default(), FINISH, &[]).await;
    }
    let count = i32::try_from(nodes.len()).unwrap_or(i32::MAX);
    let mut decision = decisions::ask(ctx, &cluster, Some(count), nodes, true).await?;
    // A deletion policy goes before what the request says.
    let asked = ctx.input::<bool>("destroy_after_deletion")?.unwrap_or(false);
    decision.destroy = Some(decision.destroy.unwrap_or(asked));
    let current = i32::try_from(cluster.nodes.len()).unwrap_or(i32::MAX);
    let left = current - count;
    size::check(Some(left), None, None, true, Bounds::of(&cluster)).map_err(|e| Failure::Refused(e.to_string()))?;
    let size = SizeChange {
        desired: Some(left).filter(|_| decision.reduce),
        ..SizeChange::default()
    };
    remove(ctx, &cluster, size, count, decision).await
}

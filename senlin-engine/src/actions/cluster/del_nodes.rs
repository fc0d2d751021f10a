//! CLUSTER_DEL_NODES: these members out, as orphans unless they are to be destroyed.

use senlin_core::ids::NodeId;
use senlin_db::spawn::SizeChange;
use senlin_policies::size::{self, Bounds};

use super::{FINISH, conclude, launch, load, removals};
use crate::context::{Ctx, Failure, Outcome};

pub(crate) async fn run(ctx: &Ctx) -> Result<Outcome, Failure> {
    if !ctx.action.phase.is_empty() {
        return conclude(ctx, "Completed deleting nodes.").await;
    }
    let cluster = load(ctx).await?;
    let wanted: Vec<NodeId> = ctx.input("candidates")?.unwrap_or_default();
    // One that has gone meanwhile needs no removal.
    let nodes: Vec<NodeId> = wanted.into_iter().filter(|id| cluster.nodes.contains(id)).collect();
    let destroy = ctx.input::<bool>("destroy_after_deletion")?.unwrap_or(false);
    let current = i32::try_from(cluster.nodes.len()).unwrap_or(i32::MAX);
    let desired = current - i32::try_from(nodes.len()).unwrap_or(0);
    size::check(Some(desired), None, None, true, Bounds::of(&cluster)).map_err(|e| Failure::Refused(e.to_string()))?;
    let size = SizeChange {
        desired: Some(desired),
        ..SizeChange::default()
    };
    launch(ctx, size, FINISH, &removals(ctx, &nodes, destroy)).await
}

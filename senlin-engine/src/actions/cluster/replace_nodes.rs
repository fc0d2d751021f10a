//! CLUSTER_REPLACE_NODES: the new join first; an old one leaves only when its
//! replacement is in.

use senlin_core::{
    Map,
    action::{ActionKind, ActionStatus, inputs::ReplaceNodes},
    ids::NodeId,
};
use senlin_db::child_actions::SizeChange;

use super::{FINISH, child, children, conclude_with, launch, phase::phases, remove::removals};
use crate::{
    actions::context::{Ctx, Outcome},
    failure::Failure,
};

phases! {
    /// Where the replacement is.
    Phase {
        /// Nothing is done yet.
        Begin = "",
        /// The new ones have joined, or could not.
        Joined = "joined",
        /// The old ones have left.
        Finish = FINISH,
    }
}

pub(crate) async fn run(ctx: &Ctx) -> Result<Outcome, Failure> {
    let ReplaceNodes { candidates: pairs } = ctx.inputs()?;
    match Phase::of(ctx)? {
        Phase::Begin => {
            let joins: Vec<_> = pairs
                .values()
                .map(|id| child(ctx, ActionKind::NodeJoin, *id, Map::new()))
                .collect();
            launch(ctx, SizeChange::default(), Phase::Joined.word(), &joins).await
        }
        Phase::Joined => {
            let joined: Vec<NodeId> = children(ctx, Phase::Joined.word())
                .await?
                .into_iter()
                .filter(|c| c.status == ActionStatus::Succeeded)
                .map(|c| NodeId(c.target))
                .collect();
            let replaced: Vec<NodeId> = pairs
                .iter()
                .filter(|(_, new)| joined.contains(new))
                .map(|(old, _)| *old)
                .collect();
            launch(ctx, SizeChange::default(), FINISH, &removals(ctx, &replaced, false)).await
        }
        Phase::Finish => {
            let mut ends = children(ctx, Phase::Joined.word()).await?;
            ends.extend(children(ctx, FINISH).await?);
            conclude_with(ctx, "Completed replacing nodes.", &ends).await
        }
    }
}

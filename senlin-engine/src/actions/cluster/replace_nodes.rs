//! CLUSTER_REPLACE_NODES: the new join first; an old one leaves only when its
//! replacement is in.

use std::collections::BTreeMap;

use senlin_core::{
    Map,
    action::{ActionKind, ActionStatus},
    ids::NodeId,
};
use senlin_db::spawn::SizeChange;

use super::{FINISH, child, children, conclude_with, launch, remove::removals};
use crate::context::{Ctx, Failure, Outcome};

const JOINED: &str = "joined";

pub(crate) async fn run(ctx: &Ctx) -> Result<Outcome, Failure> {
    let pairs: BTreeMap<NodeId, NodeId> = ctx.input("candidates")?.unwrap_or_default();
    match ctx.action.phase.as_str() {
        "" => {
            let joins: Vec<_> = pairs
                .values()
                .map(|id| child(ctx, ActionKind::NodeJoin, *id, Map::new()))
                .collect();
            launch(ctx, SizeChange::default(), JOINED, &joins).await
        }
        JOINED => {
            let joined: Vec<NodeId> = children(ctx, JOINED)
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
        _ => {
            let mut ends = children(ctx, JOINED).await?;
            ends.extend(children(ctx, FINISH).await?);
            conclude_with(ctx, "Completed replacing nodes.", &ends).await
        }
    }
}

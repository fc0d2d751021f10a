//! CLUSTER_ADD_NODES: orphans become members.

use senlin_core::{
    Map,
    action::{ActionKind, inputs::AddNodes},
};
use senlin_db::child_actions::SizeChange;
use senlin_policies::size::{self, Bounds};

use super::{child, conclude, launch, load, phase::Once};
use crate::{
    actions::context::{Ctx, Outcome},
    failure::Failure,
};

pub(crate) async fn run(ctx: &Ctx) -> Result<Outcome, Failure> {
    match Once::of(ctx)? {
        Once::Begin => begin(ctx).await,
        Once::Finish => conclude(ctx, "Completed adding nodes.").await,
    }
}

async fn begin(ctx: &Ctx) -> Result<Outcome, Failure> {
    let cluster = load(ctx).await?;
    let AddNodes { nodes } = ctx.inputs()?;
    let current = i32::try_from(cluster.nodes.len()).unwrap_or(i32::MAX);
    let desired = current.saturating_add(i32::try_from(nodes.len()).unwrap_or(i32::MAX));
    size::check(Some(desired), None, None, true, Bounds::of(&cluster)).map_err(|e| Failure::Refused(e.to_string()))?;
    let joins: Vec<_> = nodes
        .iter()
        .map(|id| child(ctx, ActionKind::NodeJoin, *id, Map::new()))
        .collect();
    launch(
        ctx,
        SizeChange {
            desired: Some(desired),
            ..SizeChange::default()
        },
        Once::Finish.word(),
        &joins,
    )
    .await
}

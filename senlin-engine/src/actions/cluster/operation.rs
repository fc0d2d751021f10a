//! CLUSTER_OPERATION: one of the profile's own verbs on the members it names.

use senlin_core::{
    action::{
        ActionKind,
        inputs::{self, Operation},
    },
    cluster::ClusterStatus,
};
use senlin_db::child_actions::SizeChange;

use super::{child, conclude, launch, load, phase::Once, set_status};
use crate::{
    actions::context::{Ctx, Outcome},
    failure::Failure,
};

pub(crate) async fn run(ctx: &Ctx) -> Result<Outcome, Failure> {
    match Once::of(ctx)? {
        Once::Begin => begin(ctx).await,
        Once::Finish => conclude(ctx, "Cluster operation succeeded.").await,
    }
}

async fn begin(ctx: &Ctx) -> Result<Outcome, Failure> {
    let cluster = load(ctx).await?;
    let asked: Operation = ctx.inputs()?;
    let nodes = asked.nodes.unwrap_or_else(|| cluster.nodes.clone());
    set_status(
        ctx,
        ClusterStatus::Operating,
        &format!("Operation '{}' in progress", asked.operation),
    )
    .await?;
    let inputs = inputs::write(&Operation {
        operation: asked.operation,
        params: asked.params,
        nodes: None,
    });
    let children: Vec<_> = nodes
        .iter()
        .filter(|id| cluster.nodes.contains(id))
        .map(|id| child(ctx, ActionKind::NodeOperation, *id, inputs.clone()))
        .collect();
    launch(ctx, SizeChange::default(), Once::Finish.word(), &children).await
}

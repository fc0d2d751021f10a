//! CLUSTER_OPERATION: one of the profile's own verbs on the members it names.

use senlin_core::{Map, action::ActionKind, cluster::ClusterStatus, ids::NodeId};
use senlin_db::child_actions::SizeChange;
use serde_json::Value;

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
    let operation: String = ctx
        .input("operation")?
        .ok_or_else(|| Failure::Refused("Input 'operation' is missing.".to_owned()))?;
    let params: Map = ctx.input("params")?.unwrap_or_default();
    let nodes: Vec<NodeId> = match ctx.input("nodes")? {
        Some(nodes) => nodes,
        None => cluster.nodes.clone(),
    };
    set_status(
        ctx,
        ClusterStatus::Operating,
        &format!("Operation '{operation}' in progress"),
    )
    .await?;
    let mut inputs = Map::new();
    inputs.insert("operation".to_owned(), operation.into());
    inputs.insert("params".to_owned(), Value::Object(params));
    let children: Vec<_> = nodes
        .iter()
        .filter(|id| cluster.nodes.contains(id))
        .map(|id| child(ctx, ActionKind::NodeOperation, *id, inputs.clone()))
        .collect();
    launch(ctx, SizeChange::default(), Once::Finish.word(), &children).await
}

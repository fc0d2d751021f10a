//! What each kind of action does: one verb, one file.

use senlin_core::action::ActionKind;

use context::{Ctx, Outcome};

use crate::failure::Failure;

pub mod cluster;
pub mod context;
pub mod faults;
pub mod node;
pub(crate) mod retries;

/// Runs the action's current phase.
pub(crate) async fn run(ctx: &Ctx) -> Result<Outcome, Failure> {
    // A rebalance has something to undo first.
    let ends_itself = !ctx.action.kind.is_cluster() || ctx.action.kind == ActionKind::ClusterRebalance;
    if let Some(phase) = cluster::phase::ended_in(ctx).filter(|_| !ends_itself) {
        return cluster::phase::end_early(ctx, phase).await;
    }
    match ctx.action.kind {
        ActionKind::ClusterCreate => cluster::create::run(ctx).await,
        ActionKind::ClusterDelete => cluster::delete::run(ctx).await,
        ActionKind::ClusterUpdate => cluster::update::run(ctx).await,
        ActionKind::ClusterAddNodes => cluster::add_nodes::run(ctx).await,
        ActionKind::ClusterDelNodes => cluster::del_nodes::run(ctx).await,
        ActionKind::ClusterResize => cluster::resize::run(ctx).await,
        ActionKind::ClusterCheck => cluster::check::run(ctx).await,
        ActionKind::ClusterRecover => cluster::recover::run(ctx).await,
        ActionKind::ClusterReplaceNodes => cluster::replace_nodes::run(ctx).await,
        ActionKind::ClusterScaleOut => cluster::scale_out::run(ctx).await,
        ActionKind::ClusterScaleIn => cluster::scale_in::run(ctx).await,
        ActionKind::ClusterRebalance => cluster::rebalance::run(ctx).await,
        ActionKind::ClusterOperation => cluster::operation::run(ctx).await,
        ActionKind::ClusterAttachPolicy => cluster::attach_policy::run(ctx).await,
        ActionKind::ClusterDetachPolicy => cluster::detach_policy::run(ctx).await,
        ActionKind::ClusterUpdatePolicy => cluster::update_policy::run(ctx).await,
        ActionKind::NodeCreate => node::create::run(ctx).await,
        ActionKind::NodeDelete => node::delete::run(ctx).await,
        ActionKind::NodeUpdate => node::update::run(ctx).await,
        ActionKind::NodeJoin => node::join::run(ctx).await,
        ActionKind::NodeLeave => node::leave::run(ctx).await,
        ActionKind::NodeCheck => node::check::run(ctx).await,
        ActionKind::NodeRecover => node::recover::run(ctx).await,
        ActionKind::NodeOperation => node::operation::run(ctx).await,
    }
}

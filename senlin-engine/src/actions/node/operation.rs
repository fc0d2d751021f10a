//! NODE_OPERATION: one of the profile's own verbs (start, stop, pause …).

use senlin_core::{action::inputs::Operation, node::NodeStatus, profile_type::Health};
use senlin_db::fence::NodeChange;

use super::{change_of, done, driver, load, settle::settled};
use crate::{
    actions::context::{Ctx, Outcome},
    failure::Failure,
};

pub(crate) async fn run(ctx: &Ctx) -> Result<Outcome, Failure> {
    let (node, loaded) = load(ctx).await?;
    let Operation { operation, params, .. } = ctx.inputs()?;
    let reason = format!("Operation '{operation}' in progress");
    ctx.mark("mark as operating", NodeStatus::Operating, &reason).await?;
    let (node, loaded) = settled(ctx, node, loaded).await?;
    let driver = driver(ctx, &node, &loaded).await?;
    let seen = loaded
        .kind
        .operate(&ctx.job(&node, &loaded, driver, ctx), &operation, &params)
        .await?;
    let change = NodeChange {
        at_rest: Some(matches!(seen.health, Health::Suspended(_))),
        ..change_of(&seen)
    };
    done(ctx, &format!("Operation '{operation}' succeeded."), change).await
}

//! NODE_OPERATION: one of the profile's own verbs (start, stop, pause …).

use senlin_core::{Map, node::NodeStatus};
use senlin_db::fence::{self, NodeChange};

use super::{done, driver, load, status_of};
use crate::context::{Ctx, Failure, Outcome};

pub(crate) async fn run(ctx: &Ctx) -> Result<Outcome, Failure> {
    let (node, loaded) = load(ctx).await?;
    let operation: String = ctx
        .input("operation")?
        .ok_or_else(|| Failure::Refused("Input 'operation' is missing.".to_owned()))?;
    let params: Map = ctx.input("params")?.unwrap_or_default();
    let mut conn = ctx.conn().await?;
    let reason = format!("Operation '{operation}' in progress");
    ctx.record(
        "mark as operating",
        fence::node_status(&mut conn, ctx.fence, NodeStatus::Operating, &reason),
    )
    .await?;
    drop(conn);
    let driver = driver(ctx, &node, &loaded).await?;
    let health = loaded
        .kind
        .operate(&ctx.job(&node, &loaded, driver, ctx), &operation, &params)
        .await?;
    let (status, why) = status_of(&health);
    let change = NodeChange {
        status: Some(status),
        reason: why,
        ..NodeChange::default()
    };
    done(ctx, &format!("Operation '{operation}' succeeded."), change).await
}

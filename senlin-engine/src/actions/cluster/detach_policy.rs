//! CLUSTER_DETACH_POLICY: a policy has no say any more.

use senlin_core::action::inputs::Policy;
use senlin_db::bindings;

use super::attach_policy::success;
use crate::{
    actions::context::{Ctx, Outcome},
    failure::Failure,
};

pub(crate) async fn run(ctx: &Ctx) -> Result<Outcome, Failure> {
    let Policy { policy_id, .. } = ctx.inputs()?;
    let mut conn = ctx.conn();
    let end = success("Policy detached.".to_owned());
    let write = bindings::detach(&mut conn, ctx.fence, ctx.cluster_id()?, policy_id, &end);
    Ok(Outcome::ended(ctx.end("detach", write).await?))
}

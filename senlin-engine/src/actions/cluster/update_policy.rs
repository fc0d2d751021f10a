//! CLUSTER_UPDATE_POLICY: an attached policy is enabled or disabled.

use senlin_core::action::inputs::Policy;
use senlin_db::bindings;

use super::attach_policy::success;
use crate::{
    actions::context::{Ctx, Outcome},
    failure::Failure,
};

pub(crate) async fn run(ctx: &Ctx) -> Result<Outcome, Failure> {
    let Policy { policy_id: id, enabled } = ctx.inputs()?;
    let mut conn = ctx.conn();
    let end = success("Policy updated.".to_owned());
    let write = bindings::enable(&mut conn, ctx.fence, ctx.cluster_id()?, id, enabled, &end);
    let parents = ctx
        .end("update", write)
        .await?
        .ok_or_else(|| Failure::Refused(format!("The policy '{id}' is not attached to the cluster.")))?;
    Ok(Outcome::ended(parents))
}

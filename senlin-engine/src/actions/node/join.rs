//! NODE_JOIN: an orphan becomes a member.

use senlin_core::{Map, action::ActionStatus};
use senlin_db::{fence::End, members};

use super::id;
use crate::{
    actions::context::{Ctx, Outcome},
    failure::Failure,
};

pub(crate) async fn run(ctx: &Ctx) -> Result<Outcome, Failure> {
    let cluster = ctx.cluster_id()?;
    let end = End {
        status: ActionStatus::Succeeded,
        reason: "The node joined the cluster.".to_owned(),
        outputs: Map::new(),
    };
    let mut conn = ctx.conn();
    let parents = ctx
        .end("join", members::join(&mut conn, ctx.fence, id(ctx), cluster, &end))
        .await?;
    Ok(Outcome::ended(parents))
}

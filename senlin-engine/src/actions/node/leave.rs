//! NODE_LEAVE: a member becomes an orphan, and goes on running.

use senlin_core::{Map, action::ActionStatus};
use senlin_db::{fence::End, members};

use super::id;
use crate::{
    actions::context::{Ctx, Outcome},
    failure::Failure,
};

pub(crate) async fn run(ctx: &Ctx) -> Result<Outcome, Failure> {
    let end = End {
        status: ActionStatus::Succeeded,
        reason: "The node left the cluster.".to_owned(),
        outputs: Map::new(),
    };
    let mut conn = ctx.conn();
    let parents = ctx
        .end("leave", members::leave(&mut conn, ctx.fence, id(ctx), &end))
        .await?;
    Ok(Outcome::ended(parents))
}

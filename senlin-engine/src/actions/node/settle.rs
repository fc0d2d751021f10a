//! How an attempted update of a node comes to its end: one container is left,
//! and the node's record says which.

use std::sync::Arc;

use senlin_core::{
    node::{Attempt, Node},
    profile_type::{Demand, Settled},
    steps::Steps,
};
use senlin_db::{
    attempts::{self, Kept},
    placement::Place,
};

use super::{driver, load};
use crate::{actions::context::Ctx, failure::Failure, hosts::profile_cache::LoadedProfile};

/// The node and its profile, once what an earlier action attempted on it and
/// did not get to record is settled.
pub(crate) async fn settled(
    ctx: &Ctx,
    node: Node,
    loaded: Arc<LoadedProfile>,
) -> Result<(Node, Arc<LoadedProfile>), Failure> {
    let Some(attempt) = node.attempt.filter(|a| a.action != ctx.action.id) else {
        return Ok((node, loaded));
    };
    let (_, kept) = settle(ctx, &node, &loaded, attempt, ctx).await?;
    let mut conn = ctx.conn();
    let write = attempts::conclude(&mut conn, ctx.fence, node.id, &kept);
    ctx.record("settle the attempt", write).await?;
    load(ctx).await
}

/// Leaves one of the old and the new container; returns which, and what the
/// record is to say. `node` must carry the attempt.
pub(crate) async fn settle(
    ctx: &Ctx,
    node: &Node,
    loaded: &LoadedProfile,
    attempt: Attempt,
    steps: &dyn Steps,
) -> Result<(Settled, Kept), Failure> {
    let mut conn = ctx.conn();
    let new = ctx.engine.profile_cache.load(&mut conn, attempt.profile_id).await?;
    let driver = driver(ctx, node, loaded).await?;
    let settled = loaded
        .kind
        .settle(&ctx.job(node, loaded, driver, steps), &new.properties)
        .await?;
    let left = if settled.updated { &new } else { loaded };
    let mut kept = kept(node, left)?;
    kept.container = settled.seen.found.clone();
    Ok((settled, kept))
}

/// What is kept of the node's host for this profile.
pub(crate) fn kept(node: &Node, loaded: &LoadedProfile) -> Result<Kept, Failure> {
    match (loaded.demand()?, node.host_id) {
        (Demand::Host(needs), Some(host)) => Ok(Kept {
            profile: loaded.id,
            container: None,
            place: Place::on(host, &needs),
        }),
        _ => Err(Failure::Refused(format!(
            "Node '{}' has no place on a host.",
            node.name
        ))),
    }
}

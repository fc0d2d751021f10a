//! What was made or started counts only once it has run for a while. Meanwhile
//! the action waits in the queue: it keeps its locks, and takes no slot.

use senlin_core::{Map, node::Node, profile_type::Started};
use senlin_db::settling::{self, SETTLING, Wait};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::driver;
use crate::{
    actions::context::{Ctx, Outcome},
    failure::Failure,
    hosts::profile_cache::LoadedProfile,
};

/// What is given its time to run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Settling {
    /// What was made or started.
    pub(crate) physical_id: String,
    /// The node's reason once it counts.
    pub(crate) reason: String,
    /// When it was started, in seconds since the action began.
    at: f64,
}

/// Where it has come to.
pub(crate) enum Settled {
    /// It counts.
    Counts(Settling),
    /// The action was handed back, and looks again.
    Later(Outcome),
}

/// What this action has started and given time, if it has.
pub(crate) fn under_way(ctx: &Ctx) -> Result<Option<Settling>, Failure> {
    if ctx.action.phase != SETTLING {
        return Ok(None);
    }
    let kept = ctx.action.data.get("settling").cloned().unwrap_or_default();
    serde_json::from_value(kept)
        .map(Some)
        .map_err(|e| Failure::Refused(format!("What was started is not known: {e}")))
}

/// It has just been started.
pub(crate) async fn begin(
    ctx: &Ctx,
    loaded: &LoadedProfile,
    physical_id: String,
    reason: &str,
) -> Result<Settled, Failure> {
    let settling = Settling {
        physical_id,
        reason: reason.to_owned(),
        at: ctx.elapsed(),
    };
    let delay = loaded
        .kind
        .settles(&loaded.properties, &ctx.engine.settings.rules)
        .map_err(senlin_core::profile_type::ProfileError::from)?;
    if delay > 0.0 {
        later(ctx, settling, delay).await
    } else {
        Ok(Settled::Counts(settling))
    }
}

/// It has had some time: whether it counts by now.
pub(crate) async fn look(
    ctx: &Ctx,
    node: &Node,
    loaded: &LoadedProfile,
    settling: Settling,
) -> Result<Settled, Failure> {
    let driver = driver(ctx, node, loaded).await?;
    let job = ctx.job(node, loaded, driver, ctx);
    // What was waited for has passed, however the clocks round it.
    let since = ctx.elapsed() - settling.at + 0.05;
    let seen = ctx.act("look whether it runs", async {
        loaded.kind.started(&job, &settling.physical_id, since).await
    });
    match seen.await? {
        Started::Counts => Ok(Settled::Counts(settling)),
        Started::NotYet(delay) => later(ctx, settling, delay).await,
    }
}

async fn later(ctx: &Ctx, settling: Settling, delay: f64) -> Result<Settled, Failure> {
    let data = Map::from_iter([("settling".to_owned(), json!(settling))]);
    let wait = Wait {
        phase: Some(SETTLING),
        delay,
        reason: "It was started, and counts when it has run for a while.",
        data: &data,
        physical_id: Some(&settling.physical_id),
    };
    let mut conn = ctx.conn();
    ctx.record("let it run", settling::wait(&mut conn, ctx.fence, &wait))
        .await?;
    ctx.engine.look_in(delay);
    Ok(Settled::Later(Outcome::ended(Vec::new())))
}

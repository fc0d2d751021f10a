//! NODE_DELETE: the physical side, then the row.

use senlin_core::{
    Map,
    action::{ActionKind, ActionStatus, inputs::NodeDelete},
    ids::ClusterId,
    node::{Node, NodeStatus},
    steps::Interrupt,
};
use senlin_db::{
    Conn, clusters,
    fence::{self, End},
    hooks, members,
};
use serde_json::{Value, json};

use super::{driver, id, load};
use crate::{
    actions::context::{Ctx, Outcome},
    decisions,
    failure::{self, Failure},
    hosts::profile_cache::LoadedProfile,
};

/// The phase in which the grace has passed.
const GRACE: &str = "grace";
/// The phase in which it was asked, and answered or did not.
const ASKED: &str = "asked";

/// Tries at a silent host before its container is left for its return.
const TRIES: i32 = 2;

pub(crate) async fn run(ctx: &Ctx) -> Result<Outcome, Failure> {
    let (node, loaded) = load(ctx).await?;
    if !node.dependent_nodes.is_empty() {
        return Err(Failure::Refused(format!(
            "Host '{}' still has containers, such as {}; delete or move them first.",
            node.name,
            node.dependent_nodes
                .iter()
                .take(3)
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", ")
        )));
    }
    if ctx.is_members_own()
        && ctx.action.phase != ASKED
        && let Some(waits) = by_policy(ctx, &node).await?
    {
        return Ok(waits);
    }
    let removed = match over(ctx) {
        Some(last) => Err(last),
        None => try_remove(ctx, &node, &loaded).await,
    };
    let (leftover, reason) = match removed {
        Ok(()) => (false, "The node was deleted.".to_owned()),
        // The node goes all the same; its container goes when the host lets it.
        Err(failure) if gives_up(ctx, &failure) => (
            true,
            format!("The node was deleted. Its container is removed when the host does as asked: {failure}"),
        ),
        Err(failure) => return Err(failure),
    };
    let end = End {
        status: ActionStatus::Succeeded,
        reason,
        outputs: Map::new(),
    };
    let mut conn = ctx.conn();
    let cluster = if ctx.is_members_own() {
        Some(ctx.cluster_id()?)
    } else {
        None
    };
    let write = members::delete(&mut conn, ctx.fence, id(ctx), leftover, cluster, &end);
    let parents = match ctx.end("record the end", write).await {
        Err(Failure::Db(error)) if error.is_in_use() => {
            return Err(Failure::Refused(format!(
                "Node '{}' is still in use: containers or profiles refer to it.",
                node.name
            )));
        }
        other => other?,
    };
    ctx.engine.connections.forget(id(ctx));
    Ok(Outcome::ended(parents))
}

/// A member that a user deletes goes as the cluster's deletion policy says:
/// after a grace, and asked first. Some outcome: it waits.
async fn by_policy(ctx: &Ctx, node: &Node) -> Result<Option<Outcome>, Failure> {
    let mut conn = ctx.conn();
    let Some(cluster) = clusters::get(&mut conn, ctx.cluster_id()?).await? else {
        return Ok(None);
    };
    let decision = decisions::of_node(ctx, &cluster, node.id, ActionKind::NodeDelete).await?;
    let mut conn = ctx.conn();
    if ctx.action.phase.is_empty() {
        shrink(ctx, &mut conn, cluster.id, decision.reduce).await?;
        if decision.grace > 0 {
            #[expect(clippy::cast_precision_loss, reason = "seconds of a grace period fit a double")]
            let delay = decision.grace as f64;
            let reason = format!("The node goes in {} seconds.", decision.grace);
            let write = fence::postpone(&mut conn, ctx.fence, GRACE, delay, &reason);
            ctx.record("let the grace pass", write).await?;
            return Ok(Some(Outcome::ended(Vec::new())));
        }
    }
    let hook = decision.hook.filter(|_| node.status == NodeStatus::Active);
    let Some(hook) = hook.and_then(|h| json!(h).as_object().cloned()) else {
        return Ok(None);
    };
    ctx.record("ask it first", hooks::wait(&mut conn, ctx.fence, ASKED, &hook))
        .await?;
    Ok(Some(Outcome::ended(Vec::new())))
}

/// It is not asked for any more, unless the policy keeps the size.
async fn shrink(ctx: &Ctx, conn: &mut Conn, cluster: ClusterId, reduce: bool) -> Result<(), Failure> {
    let NodeDelete { force } = ctx.inputs()?;
    let write = members::count_out(conn, ctx.fence, cluster, reduce, force);
    match ctx.record("count it out", write).await? {
        None => Ok(()),
        Some((left, min)) => Err(Failure::Refused(format!(
            "The target capacity ({left}) is less than the cluster's min_size ({min})."
        ))),
    }
}

async fn try_remove(ctx: &Ctx, node: &Node, loaded: &LoadedProfile) -> Result<(), Failure> {
    ctx.mark("mark as deleting", NodeStatus::Deleting, "Deletion in progress")
        .await?;
    remove(ctx, node, loaded).await
}

/// The last failure of a deletion that was tried until its time was up.
fn over(ctx: &Ctx) -> Option<Failure> {
    let timed_out = matches!(ctx.interrupted(), Err(Interrupt::TimedOut));
    let last = ctx.action.data.get("last_failure").and_then(Value::as_str)?;
    timed_out.then(|| Failure::NotYet(last.to_owned()))
}

/// Whether a container is left for later: its host is silent, or did not do as
/// asked until the time was up.
fn gives_up(ctx: &Ctx, failure: &Failure) -> bool {
    let silent = failure::host_unknown(failure) && ctx.action.retries >= TRIES;
    let cut_off = matches!(failure.interrupt(), Some(Interrupt::TimedOut)) && ctx.action.retries > 0;
    let over = matches!(ctx.interrupted(), Err(Interrupt::TimedOut));
    silent || (over && (cut_off || failure.is_transient()))
}

async fn remove(ctx: &Ctx, node: &Node, loaded: &LoadedProfile) -> Result<(), Failure> {
    if loaded.kind.is_host() {
        // Nothing of ours is on it, and nothing else on it is ours to touch.
        return Ok(());
    }
    if node.host_id.is_none() {
        return Ok(());
    }
    let driver = driver(ctx, node, loaded).await?;
    Ok(loaded.kind.delete(&ctx.job(node, loaded, driver, ctx)).await?)
}

//! NODE_DELETE: the physical side, then the row.

use senlin_core::{
    Map,
    action::ActionStatus,
    node::{Node, NodeStatus},
};
use senlin_db::{
    Conn, clusters,
    fence::{self, End},
    members,
};

use super::{driver, id, load};
use crate::{
    context::{Ctx, Failure, Outcome},
    specs::Loaded,
    worker,
};

/// Tries at a silent host before its container is left for its return.
const TRIES: i32 = 2;

pub(crate) async fn run(ctx: &Ctx) -> Result<Outcome, Failure> {
    let (node, loaded) = load(ctx).await?;
    let mut conn = ctx.conn().await?;
    if !node.dependent_nodes.is_empty() {
        return Err(Failure::Refused(format!(
            "Host '{}' still has {} containers; delete or move them first.",
            node.name,
            node.dependent_nodes.len()
        )));
    }
    if ctx.is_members_own() && ctx.action.phase.is_empty() {
        shrink(ctx, &mut conn).await?;
    }
    let write = fence::node_status(&mut conn, ctx.fence, NodeStatus::Deleting, "Deletion in progress");
    ctx.record("mark as deleting", write).await?;
    drop(conn);
    let (leftover, reason) = match remove(ctx, &node, &loaded).await {
        Ok(()) => (false, "The node was deleted.".to_owned()),
        // The node goes all the same; its container goes when the host is back.
        Err(failure) if worker::host_unknown(&failure) && ctx.action.retries >= TRIES => (
            true,
            format!("The node was deleted. Its container is removed when the host answers: {failure}"),
        ),
        Err(failure) => return Err(failure),
    };
    let end = End {
        status: ActionStatus::Succeeded,
        reason,
        outputs: Map::new(),
    };
    let mut conn = ctx.conn().await?;
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
    ctx.engine.fleet.forget(id(ctx));
    Ok(Outcome::ended(parents))
}

/// A member that a user deletes is not asked for any more.
async fn shrink(ctx: &Ctx, conn: &mut Conn) -> Result<(), Failure> {
    let id = ctx.cluster_id()?;
    let Some(cluster) = clusters::get(conn, id).await? else {
        return Ok(());
    };
    let left = i32::try_from(cluster.nodes.len()).unwrap_or(i32::MAX) - 1;
    let force = ctx.input::<bool>("force")?.unwrap_or(false);
    if left < cluster.min_size && !force {
        return Err(Failure::Refused(format!(
            "The target capacity ({left}) is less than the cluster's min_size ({}).",
            cluster.min_size
        )));
    }
    if left < cluster.desired_capacity {
        ctx.record("count it out", members::set_desired(conn, ctx.fence, id, left.max(0)))
            .await?;
    }
    Ok(())
}

async fn remove(ctx: &Ctx, node: &Node, loaded: &Loaded) -> Result<(), Failure> {
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

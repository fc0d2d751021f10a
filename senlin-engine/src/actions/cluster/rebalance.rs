//! CLUSTER_REBALANCE: members move from hot hosts to cool ones. Each gets a
//! successor elsewhere first, and goes only when that one runs. One that stops
//! half way takes the successors back whose members have not begun to go.

use senlin_core::{
    Map,
    action::{ActionKind, ActionStatus, inputs::Rebalance},
    cluster::ClusterStatus,
    ids::NodeId,
    node::NodeStatus,
};
use senlin_db::{
    child_actions::{self, SizeChange},
    children::{self as ends, ChildEnd},
    fence::{self, End},
    members,
};
use serde_json::{Value, json};

use super::{
    FINISH, child, children, conclude_with, explain, grow, launch, load,
    phase::{self, phases},
    remove::removals,
    set_status,
};
use crate::{
    actions::{
        context::{Ctx, Outcome},
        retries,
    },
    decisions::{self, moves},
    failure::{self, Failure},
};

phases! {
    /// Where the rebalance is.
    Phase {
        /// Nothing is done yet.
        Begin = "",
        /// Successors are made.
        Placed = "placed",
        /// Successors have been looked at.
        Checked = "checked",
        /// Those that moved are gone.
        Finish = FINISH,
        /// What is too many goes again. As the action has
        /// been told to end, neither a cancel nor its deadline wakes it here.
        Undone = UNDONE,
    }
}

/// The word of the phase in which what is too many goes again.
const UNDONE: &str = "ending:undone";
pub(crate) async fn run(ctx: &Ctx) -> Result<Outcome, Failure> {
    // Its children were told to end, and have ended.
    if let Some(cut) = phase::ended_in(ctx).filter(|_| ctx.action.phase != UNDONE) {
        let why = match ctx.interrupted() {
            Err(interrupt) => interrupt.into(),
            Ok(()) => Failure::Refused(
                phase::last_failure(ctx)
                    .unwrap_or("The rebalance was stopped.")
                    .to_owned(),
            ),
        };
        tracing::debug!(phase = cut, "a rebalance was cut short");
        return undo(ctx, why).await;
    }
    let went = match Phase::of(ctx)? {
        Phase::Begin => return begin(ctx).await,
        Phase::Undone => return end_undone(ctx).await,
        Phase::Placed => check(ctx).await,
        Phase::Checked => replace(ctx).await,
        Phase::Finish => finish(ctx).await,
    };
    match went {
        Err(failure) => undo(ctx, failure).await,
        on => on,
    }
}

/// Successors were made: each is looked at.
async fn check(ctx: &Ctx) -> Result<Outcome, Failure> {
    let checks: Vec<_> = made(ctx, Phase::Placed.word(), ActionStatus::Succeeded)
        .await?
        .into_iter()
        .map(|id| child(ctx, ActionKind::NodeCheck, id, Map::new()))
        .collect();
    launch(ctx, SizeChange::default(), Phase::Checked.word(), &checks).await
}

/// Members go for successors that run. A successor that does not run goes
/// again; who it was for stays.
async fn replace(ctx: &Ctx) -> Result<Outcome, Failure> {
    let moving: Vec<NodeId> = moving(ctx)?;
    let good = made(ctx, Phase::Checked.word(), ActionStatus::Succeeded).await?;
    let born: Vec<NodeId> = children(ctx, Phase::Placed.word())
        .await?
        .iter()
        .map(|c| NodeId(c.target))
        .collect();
    let bad = born.into_iter().filter(|id| !good.contains(id));
    let going: Vec<NodeId> = moving.into_iter().take(good.len()).chain(bad).collect();
    launch(ctx, SizeChange::default(), FINISH, &removals(ctx, &going, true)).await
}

async fn finish(ctx: &Ctx) -> Result<Outcome, Failure> {
    let mut ends = children(ctx, Phase::Placed.word()).await?;
    ends.extend(children(ctx, Phase::Checked.word()).await?);
    let removals = children(ctx, FINISH).await?;
    let moving = moving(ctx)?;
    // Who stays has no use for its successor.
    let stayed = |c: &ChildEnd| c.status != ActionStatus::Succeeded && moving.contains(&NodeId(c.target));
    let stayed: Vec<&ChildEnd> = removals.iter().filter(|c| stayed(c)).collect();
    if !stayed.is_empty() {
        ctx.interrupted()?;
        return Err(Failure::Refused(explain(&stayed, removals.len())));
    }
    ends.extend(removals);
    conclude_with(ctx, "Cluster rebalance succeeded.", &ends).await
}

/// It stops half way: successors go again, but those whose members have gone.
/// A member whose removal was begun goes.
async fn undo(ctx: &Ctx, failure: Failure) -> Result<Outcome, Failure> {
    if failure.is_lease_lost() || retries::again(ctx, &failure).is_some() {
        return Err(failure);
    }
    let mut conn = ctx.conn();
    let placed = ends::ends(&mut conn, ctx.action.id, Phase::Placed.word()).await?;
    let checked = ends::ends(&mut conn, ctx.action.id, Phase::Checked.word()).await?;
    let gone = ends::ends(&mut conn, ctx.action.id, FINISH).await?;
    if placed
        .iter()
        .chain(&checked)
        .chain(&gone)
        .any(|c| !c.status.is_terminal())
    {
        // What they come to is judged when they have ended.
        return retries::end_children(ctx, &failure).await;
    }
    let members = members::list(&mut conn, ctx.cluster_id()?).await?;
    let is_there = |id: &NodeId| members.iter().any(|m| m.id == *id);
    let is_well = |status| matches!(status, NodeStatus::Active | NodeStatus::Warning);
    let stays = |id: &NodeId| members.iter().any(|m| m.id == *id && is_well(m.status));
    let good = checked.iter().filter(|c| c.status == ActionStatus::Succeeded);
    let (mut needed, mut half) = (Vec::new(), Vec::new());
    for (moved, successor) in moving(ctx)?.into_iter().zip(good) {
        if !gone.is_empty() && !stays(&moved) {
            needed.push(NodeId(successor.target));
            half.push(moved);
        }
    }
    let successors = placed.iter().map(|c| NodeId(c.target));
    let going: Vec<NodeId> = successors
        .filter(|id| !needed.contains(id))
        .chain(half)
        .filter(is_there)
        .collect();
    if going.is_empty() {
        return Err(failure);
    }
    let data = Map::from_iter([("stopped".to_owned(), failure::words(&failure).into())]);
    let none = Map::new();
    ctx.end(
        "record why it stops",
        fence::merge_data(&mut conn, ctx.fence, &data, &none),
    )
    .await?;
    let removals = removals(ctx, &going, true);
    let write = child_actions::launch(
        &mut conn,
        ctx.fence,
        ctx.cluster_id()?,
        SizeChange::default(),
        UNDONE,
        &removals,
    );
    ctx.end("launch the removals", write).await?;
    Ok(Outcome::waiting())
}

async fn end_undone(ctx: &Ctx) -> Result<Outcome, Failure> {
    let mut conn = ctx.conn();
    let ends = ends::ends(&mut conn, ctx.action.id, UNDONE).await?;
    let (status, why) = ctx.ending().unwrap_or_else(|| {
        let why = ctx.action.data.get("stopped").and_then(Value::as_str);
        (
            ActionStatus::Failed,
            why.unwrap_or("The rebalance was stopped.").to_owned(),
        )
    });
    let back = ends.iter().filter(|c| c.status == ActionStatus::Succeeded).count();
    let end = End {
        status,
        reason: format!("{why} {back} of {} surplus nodes were removed.", ends.len()),
        outputs: Map::new(),
    };
    let kind = ctx.action.kind.as_str();
    let write = fence::finish_cluster(&mut conn, ctx.fence, &end, ctx.cluster_id()?, kind, &[]);
    Ok(Outcome::ended(ctx.end("record the end", write).await?))
}

async fn made(ctx: &Ctx, phase: &str, status: ActionStatus) -> Result<Vec<NodeId>, Failure> {
    let ends = children(ctx, phase).await?;
    Ok(ends
        .iter()
        .filter(|c| c.status == status)
        .map(|c| NodeId(c.target))
        .collect())
}

fn moving(ctx: &Ctx) -> Result<Vec<NodeId>, Failure> {
    let kept = ctx.action.data.get("moving").cloned().unwrap_or(Value::Null);
    serde_json::from_value(kept).map_err(|e| Failure::Refused(format!("Who moves is not known: {e}")))
}

async fn begin(ctx: &Ctx) -> Result<Outcome, Failure> {
    let cluster = load(ctx).await?;
    let mut intent = decisions::of_action(ctx, &cluster).await?;
    let Rebalance { max_moves } = ctx.inputs()?;
    let found = moves::wanted(&ctx.engine, &cluster, &intent.decision.rules, max_moves).await?;
    let reasons: Vec<&str> = found.iter().map(|m| m.reason.as_str()).collect();
    let reason = if reasons.is_empty() {
        "No host is so much hotter than the others that moving members would help.".to_owned()
    } else {
        reasons.join(" ")
    };
    let ids: Vec<NodeId> = found.iter().map(|m| m.id).collect();
    let data = Map::from_iter([("moving".to_owned(), json!(ids)), ("reason".to_owned(), reason.into())]);
    let mut conn = ctx.conn();
    let none = Map::new();
    ctx.record(
        "record who moves",
        fence::merge_data(&mut conn, ctx.fence, &data, &none),
    )
    .await?;
    if found.is_empty() {
        if moves::room(&cluster) == 0 {
            return Err(Failure::Refused(format!(
                "The cluster has as many members as its max_size ({}) allows: there is no room for successors.",
                cluster.max_size
            )));
        }
        return conclude_with(ctx, "No member needs to move.", &[]).await;
    }
    set_status(ctx, ClusterStatus::Resizing, "Rebalance in progress").await?;
    intent.decision.rules.avoid = found.iter().map(|m| m.from).collect();
    intent.more = i32::try_from(found.len()).unwrap_or(i32::MAX);
    grow(ctx, &cluster, &intent, Phase::Placed.word()).await
}

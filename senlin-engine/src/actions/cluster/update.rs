//! CLUSTER_UPDATE: its own fields, and another profile for it and its members,
//! all at once or batch by batch.

use senlin_core::{
    Map,
    action::{ActionKind, ActionStatus, NewAction},
    cluster::{Cluster, ClusterStatus},
    ids::{NodeId, ProfileId},
};
use senlin_db::{
    fence,
    members::{self, Change},
    spawn::SizeChange,
};
use senlin_policies::engine::Batches;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{FINISH, child, children, conclude_with, launch, load, mark};
use crate::{
    context::{Ctx, Failure, Outcome},
    decisions,
};

/// What a rolling update remembers between its batches.
#[derive(Debug, Serialize, Deserialize)]
struct Rolling {
    /// The profile that the cluster had.
    old: ProfileId,
    batches: Batches,
}

/// Where a rolling update is: `batch:2` waits for batch 2 to be updated,
/// `gate:2` has looked at it for the pause, `judge:2` waits for its checks.
fn at(phase: &str) -> Option<(&str, usize)> {
    let (stage, number) = phase.split_once(':')?;
    Some((stage, number.parse().ok()?))
}

/// The phase in which members have their old profile back.
const UNDONE: &str = "undone";

pub(crate) async fn run(ctx: &Ctx) -> Result<Outcome, Failure> {
    let new: Option<ProfileId> = ctx.input("new_profile_id")?;
    let phase = ctx.action.phase.as_str();
    match (phase, new) {
        ("", _) => begin(ctx, new).await,
        (UNDONE, _) => end_undone(ctx).await,
        (_, Some(new)) if at(phase).is_some() => roll(ctx, new).await,
        _ => {
            let ends = children(ctx, FINISH).await?;
            if ends.iter().all(|c| c.status == ActionStatus::Succeeded) {
                keep_profile(ctx, new).await?;
            }
            conclude_with(ctx, "Cluster update completed.", &ends).await
        }
    }
}

/// The cluster has the new profile from now on.
async fn keep_profile(ctx: &Ctx, new: Option<ProfileId>) -> Result<(), Failure> {
    if new.is_none() {
        return Ok(());
    }
    let change = Change {
        profile_id: new,
        ..Change::default()
    };
    let mut conn = ctx.conn().await?;
    let write = members::update_cluster(&mut conn, ctx.fence, ctx.cluster_id()?, &change);
    ctx.record("record the profile", write).await
}

async fn begin(ctx: &Ctx, new: Option<ProfileId>) -> Result<Outcome, Failure> {
    let cluster = load(ctx).await?;
    let members_too = !ctx.input::<bool>("profile_only")?.unwrap_or(false);
    let batches = match new {
        Some(_) if members_too => decisions::of_whole(ctx, &cluster).await?.batches,
        _ => None,
    };
    mark(ctx, ClusterStatus::Updating, "Update in progress").await?;
    let change = Change {
        name: ctx.input("name")?,
        metadata: ctx.input("metadata")?,
        timeout: ctx.input("timeout")?,
        config: ctx.input("config")?,
        ..Change::default()
    };
    let mut conn = ctx.conn().await?;
    let write = members::update_cluster(&mut conn, ctx.fence, cluster.id, &change);
    ctx.record("record the fields", write).await?;
    if let (Some(batches), Some(new)) = (batches, new) {
        return first_batch(ctx, &cluster, batches, new).await;
    }
    drop(conn);
    let updates = match new {
        Some(new) if members_too => updates(ctx, &cluster.nodes, new),
        _ => Vec::new(),
    };
    launch(ctx, SizeChange::default(), FINISH, &updates).await
}

/// Children that give members a profile.
fn updates(ctx: &Ctx, nodes: &[NodeId], profile: ProfileId) -> Vec<NewAction> {
    let inputs = Map::from_iter([("new_profile_id".to_owned(), profile.to_string().into())]);
    let update = |id: &NodeId| child(ctx, ActionKind::NodeUpdate, *id, inputs.clone());
    nodes.iter().map(update).collect()
}

async fn first_batch(ctx: &Ctx, cluster: &Cluster, batches: Batches, new: ProfileId) -> Result<Outcome, Failure> {
    let first = batches.plan.first().cloned().unwrap_or_default();
    let rolling = Rolling {
        old: cluster.profile_id,
        batches,
    };
    let data = Map::from_iter([("rolling".to_owned(), json!(rolling))]);
    let mut conn = ctx.conn().await?;
    let none = Map::new();
    ctx.record(
        "record the batches",
        fence::remember(&mut conn, ctx.fence, &data, &none),
    )
    .await?;
    drop(conn);
    launch(ctx, SizeChange::default(), "batch:0", &updates(ctx, &first, new)).await
}

/// One step of a rolling update.
async fn roll(ctx: &Ctx, new: ProfileId) -> Result<Outcome, Failure> {
    let kept = ctx.action.data.get("rolling").cloned().unwrap_or(Value::Null);
    let rolling: Rolling =
        serde_json::from_value(kept).map_err(|e| Failure::Refused(format!("The batches are not known: {e}")))?;
    let plan = &rolling.batches.plan;
    let (stage, number) = at(&ctx.action.phase).unwrap_or(("batch", 0));
    let batch = plan.get(number).cloned().unwrap_or_default();
    let cluster = load(ctx).await?;
    let still =
        |ids: &[NodeId]| -> Vec<NodeId> { ids.iter().copied().filter(|id| cluster.nodes.contains(id)).collect() };
    match stage {
        "batch" => {
            if let Some(why) = bad(ctx, &format!("batch:{number}")).await? {
                return stop(ctx, &rolling, number, &why).await;
            }
            pause(ctx, &rolling, number).await
        }
        "gate" => {
            let checks: Vec<_> = still(&batch)
                .iter()
                .map(|id| child(ctx, ActionKind::NodeCheck, *id, Map::new()))
                .collect();
            let phase = format!("judge:{number}");
            launch(ctx, SizeChange::default(), &phase, &checks).await
        }
        _ => {
            if let Some(why) = bad(ctx, &format!("judge:{number}")).await? {
                return stop(ctx, &rolling, number, &why).await;
            }
            let next = number + 1;
            match plan.get(next) {
                Some(batch) => {
                    let (phase, children) = (format!("batch:{next}"), updates(ctx, &still(batch), new));
                    launch(ctx, SizeChange::default(), &phase, &children).await
                }
                None => {
                    keep_profile(ctx, Some(new)).await?;
                    conclude_with(ctx, "Cluster update completed.", &[]).await
                }
            }
        }
    }
}

/// A batch is updated: it is looked at when the pause has passed. No worker waits.
async fn pause(ctx: &Ctx, rolling: &Rolling, number: usize) -> Result<Outcome, Failure> {
    let seconds = rolling.batches.pause_time;
    let reason = format!(
        "Batch {} of {} is updated; it is checked in {seconds} s.",
        number + 1,
        rolling.batches.plan.len()
    );
    let mut conn = ctx.conn().await?;
    #[expect(clippy::cast_precision_loss, reason = "seconds of a pause fit a double")]
    let delay = seconds as f64;
    let phase = format!("gate:{number}");
    let write = fence::postpone(&mut conn, ctx.fence, &phase, delay, &reason);
    ctx.record("let the pause pass", write).await?;
    Ok(Outcome::ended(Vec::new()))
}

/// Why the children of a phase did not all end well, if they did not.
async fn bad(ctx: &Ctx, phase: &str) -> Result<Option<String>, Failure> {
    let ends = children(ctx, phase).await?;
    let failed = ends.iter().find(|c| c.status != ActionStatus::Succeeded);
    Ok(failed.map(|c| format!("{}: {}", c.name, c.reason.trim_end_matches('.'))))
}

/// A batch is bad: nothing more is updated, and what was goes back if the policy says so.
async fn stop(ctx: &Ctx, rolling: &Rolling, number: usize, why: &str) -> Result<Outcome, Failure> {
    let total = rolling.batches.plan.len();
    let what = format!("The update stopped in batch {} of {total}: {why}.", number + 1);
    let data = Map::from_iter([("stopped".to_owned(), what.clone().into())]);
    let mut conn = ctx.conn().await?;
    let none = Map::new();
    ctx.record(
        "record why it stops",
        fence::remember(&mut conn, ctx.fence, &data, &none),
    )
    .await?;
    if !rolling.batches.rollback {
        return Err(Failure::Refused(format!("{what} The other members were not touched.")));
    }
    let members = members::list(&mut conn, ctx.cluster_id()?).await?;
    drop(conn);
    let touched: Vec<NodeId> = rolling
        .batches
        .plan
        .iter()
        .take(number + 1)
        .flatten()
        .copied()
        .collect();
    // One whose update failed may have kept its old profile: then there is nothing to take back.
    let back: Vec<NodeId> = members
        .iter()
        .filter(|m| {
            touched.contains(&m.id)
                && (m.profile_id != rolling.old || m.status != senlin_core::node::NodeStatus::Active)
        })
        .map(|m| m.id)
        .collect();
    if back.is_empty() {
        return Err(Failure::Refused(format!("{what} Every member has its old profile.")));
    }
    launch(ctx, SizeChange::default(), UNDONE, &updates(ctx, &back, rolling.old)).await
}

async fn end_undone(ctx: &Ctx) -> Result<Outcome, Failure> {
    let what = ctx
        .action
        .data
        .get("stopped")
        .and_then(Value::as_str)
        .unwrap_or("The update stopped.");
    let ends = children(ctx, UNDONE).await?;
    let back = ends.iter().filter(|c| c.status == ActionStatus::Succeeded).count();
    let told = match bad(ctx, UNDONE).await? {
        None => {
            format!("{what} Rolled back: {back} members have their old profile again; the others were not touched.")
        }
        Some(why) => format!(
            "{what} Rolling back failed for {} of {}: {why}.",
            ends.len() - back,
            ends.len()
        ),
    };
    Err(Failure::Refused(told))
}

//! CLUSTER_UPDATE: its own fields, and another profile for it and its members,
//! batch by batch.

use senlin_core::{
    Map,
    action::{
        ActionKind, ActionStatus, NewAction,
        inputs::{self, ClusterUpdate, NodeUpdate},
    },
    cluster::ClusterStatus,
    ids::{NodeId, ProfileId},
};
use senlin_db::{
    child_actions::SizeChange,
    fence,
    members::{self, Change},
};
use senlin_policies::{engine::Batches, types::batch::careful};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    FINISH, child, children, conclude_with, launch, load,
    phase::{unknown, word},
    set_status,
};
use crate::{
    actions::context::{Ctx, Outcome},
    decisions,
    failure::Failure,
};

/// What a rolling update remembers between its batches.
#[derive(Debug, Serialize, Deserialize)]
struct Rolling {
    /// The profile that the cluster had.
    old: ProfileId,
    /// Each batch is looked at after a pause: a policy says so. Without one, an
    /// update that ended well is taken at its word.
    #[serde(default = "yes")]
    checked: bool,
    batches: Batches,
}

fn yes() -> bool {
    true
}

/// Where an update is. A rolling one goes from batch to batch, each with its
/// number in the phase's word, such as `gate:2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing is done yet.
    Begin,
    /// The batch of that number is at this stage.
    Roll(Stage, usize),
    /// Members have their old profile back.
    Undone,
    /// No member was to be updated.
    Finish,
}

/// Where a batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It is updated.
    Batch,
    /// The pause after it has passed.
    Gate,
    /// It has been looked at.
    Judge,
}

/// The word of [`Phase::Undone`].
const UNDONE: &str = "undone";

impl Phase {
    fn of(ctx: &Ctx) -> Result<Self, Failure> {
        Self::read(word(ctx)).ok_or_else(|| unknown(ctx))
    }

    fn read(word: &str) -> Option<Self> {
        match word {
            "" => return Some(Self::Begin),
            UNDONE => return Some(Self::Undone),
            FINISH => return Some(Self::Finish),
            _ => {}
        }
        let (stage, number) = word.split_once(':')?;
        let stage = match stage {
            "batch" => Stage::Batch,
            "gate" => Stage::Gate,
            "judge" => Stage::Judge,
            _ => return None,
        };
        Some(Self::Roll(stage, number.parse().ok()?))
    }

    fn word(self) -> String {
        match self {
            Self::Begin => String::new(),
            Self::Roll(Stage::Batch, n) => format!("batch:{n}"),
            Self::Roll(Stage::Gate, n) => format!("gate:{n}"),
            Self::Roll(Stage::Judge, n) => format!("judge:{n}"),
            Self::Undone => UNDONE.to_owned(),
            Self::Finish => FINISH.to_owned(),
        }
    }
}

pub(crate) async fn run(ctx: &Ctx) -> Result<Outcome, Failure> {
    match Phase::of(ctx)? {
        Phase::Begin => begin(ctx).await,
        Phase::Roll(stage, number) => roll(ctx, stage, number).await,
        Phase::Undone => end_undone(ctx).await,
        Phase::Finish => {
            let ends = children(ctx, FINISH).await?;
            if ends.iter().all(|c| c.status == ActionStatus::Succeeded) {
                keep_profile(ctx, new_profile(ctx)?).await?;
            }
            conclude_with(ctx, "Cluster update completed.", &ends).await
        }
    }
}

fn new_profile(ctx: &Ctx) -> Result<Option<ProfileId>, Failure> {
    Ok(ctx.inputs::<ClusterUpdate>()?.new_profile_id)
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
    let mut conn = ctx.conn();
    let write = members::update_cluster(&mut conn, ctx.fence, ctx.cluster_id()?, &change);
    ctx.record("record the profile", write).await
}

async fn begin(ctx: &Ctx) -> Result<Outcome, Failure> {
    let asked: ClusterUpdate = ctx.inputs()?;
    let new = asked.new_profile_id;
    let cluster = load(ctx).await?;
    let members_too = !asked.profile_only.unwrap_or(false);
    let rolling = match new {
        Some(_) if members_too && !cluster.nodes.is_empty() => {
            let decided = decisions::of_whole(ctx, &cluster).await?.batches;
            Some(Rolling {
                old: cluster.profile_id,
                checked: decided.is_some(),
                batches: decided.unwrap_or_else(|| careful(&cluster.nodes)),
            })
        }
        _ => None,
    };
    set_status(ctx, ClusterStatus::Updating, "Update in progress").await?;
    let change = Change {
        name: asked.name,
        metadata: asked.metadata,
        timeout: asked.timeout,
        config: asked.config,
        ..Change::default()
    };
    let mut conn = ctx.conn();
    let write = members::update_cluster(&mut conn, ctx.fence, cluster.id, &change);
    ctx.record("record the fields", write).await?;
    match (rolling, new) {
        (Some(rolling), Some(new)) => first_batch(ctx, &rolling, new).await,
        _ => launch(ctx, SizeChange::default(), FINISH, &[]).await,
    }
}

/// Children that give members a profile.
fn updates(ctx: &Ctx, nodes: &[NodeId], profile: ProfileId) -> Vec<NewAction> {
    let inputs = inputs::write(&NodeUpdate {
        new_profile_id: Some(profile),
        ..NodeUpdate::default()
    });
    let update = |id: &NodeId| child(ctx, ActionKind::NodeUpdate, *id, inputs.clone());
    nodes.iter().map(update).collect()
}

async fn first_batch(ctx: &Ctx, rolling: &Rolling, new: ProfileId) -> Result<Outcome, Failure> {
    let first = rolling.batches.plan.first().cloned().unwrap_or_default();
    let data = Map::from_iter([("rolling".to_owned(), json!(rolling))]);
    let mut conn = ctx.conn();
    let none = Map::new();
    ctx.record(
        "record the batches",
        fence::merge_data(&mut conn, ctx.fence, &data, &none),
    )
    .await?;
    let phase = Phase::Roll(Stage::Batch, 0).word();
    launch(ctx, SizeChange::default(), &phase, &updates(ctx, &first, new)).await
}

/// One step of a rolling update.
async fn roll(ctx: &Ctx, stage: Stage, number: usize) -> Result<Outcome, Failure> {
    let kept = ctx.action.data.get("rolling").cloned().unwrap_or(Value::Null);
    let rolling: Rolling =
        serde_json::from_value(kept).map_err(|e| Failure::Refused(format!("The batches are not known: {e}")))?;
    match stage {
        Stage::Batch | Stage::Judge => {
            if let Some(why) = bad(ctx, &Phase::Roll(stage, number).word()).await? {
                return stop(ctx, &rolling, number, &why).await;
            }
            if stage == Stage::Batch && rolling.checked {
                pause(ctx, &rolling, number).await
            } else {
                next_batch(ctx, &rolling, number + 1).await
            }
        }
        Stage::Gate => {
            let batch = rolling.batches.plan.get(number).cloned().unwrap_or_default();
            let checks: Vec<_> = still(ctx, &batch)
                .await?
                .iter()
                .map(|id| child(ctx, ActionKind::NodeCheck, *id, Map::new()))
                .collect();
            let phase = Phase::Roll(Stage::Judge, number).word();
            launch(ctx, SizeChange::default(), &phase, &checks).await
        }
    }
}

/// Those that are members yet.
async fn still(ctx: &Ctx, ids: &[NodeId]) -> Result<Vec<NodeId>, Failure> {
    let cluster = load(ctx).await?;
    Ok(ids.iter().copied().filter(|id| cluster.nodes.contains(id)).collect())
}

async fn next_batch(ctx: &Ctx, rolling: &Rolling, next: usize) -> Result<Outcome, Failure> {
    let new = new_profile(ctx)?;
    match (rolling.batches.plan.get(next), new) {
        (Some(batch), Some(new)) => {
            let children = updates(ctx, &still(ctx, batch).await?, new);
            launch(
                ctx,
                SizeChange::default(),
                &Phase::Roll(Stage::Batch, next).word(),
                &children,
            )
            .await
        }
        _ => {
            keep_profile(ctx, new).await?;
            conclude_with(ctx, "Cluster update completed.", &[]).await
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
    let mut conn = ctx.conn();
    #[expect(clippy::cast_precision_loss, reason = "seconds of a pause fit a double")]
    let delay = seconds as f64;
    let phase = Phase::Roll(Stage::Gate, number).word();
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

/// Members that batches up to this one gave the new profile.
async fn changed(ctx: &Ctx, number: usize) -> Result<usize, Failure> {
    let mut done = 0;
    for batch in 0..=number {
        let ends = children(ctx, &Phase::Roll(Stage::Batch, batch).word()).await?;
        done += ends.iter().filter(|c| c.status == ActionStatus::Succeeded).count();
    }
    Ok(done)
}

/// A batch is bad: nothing more is updated, and what was goes back if the policy says so.
async fn stop(ctx: &Ctx, rolling: &Rolling, number: usize, why: &str) -> Result<Outcome, Failure> {
    let total = rolling.batches.plan.len();
    let changed = changed(ctx, number).await?;
    let members: usize = rolling.batches.plan.iter().map(Vec::len).sum();
    let what = format!(
        "The update stopped in batch {} of {total}: {why}. Of {members} members {changed} were changed.",
        number + 1
    );
    let data = Map::from_iter([("stopped".to_owned(), what.clone().into())]);
    let mut conn = ctx.conn();
    let none = Map::new();
    ctx.record(
        "record why it stops",
        fence::merge_data(&mut conn, ctx.fence, &data, &none),
    )
    .await?;
    if !rolling.batches.rollback {
        return Err(Failure::Refused(format!("{what} The other members were not touched.")));
    }
    let members = members::list(&mut conn, ctx.cluster_id()?).await?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a7_phases_are_read_as_they_are_written_and_others_are_not() {
        for phase in [
            Phase::Begin,
            Phase::Roll(Stage::Batch, 0),
            Phase::Roll(Stage::Gate, 3),
            Phase::Roll(Stage::Judge, 12),
            Phase::Undone,
            Phase::Finish,
        ] {
            assert_eq!(Phase::read(&phase.word()), Some(phase));
        }
        for odd in ["ending:batch:0", "batch", "batch:x", "checked", "settling"] {
            assert_eq!(Phase::read(odd), None, "{odd}");
        }
    }
}

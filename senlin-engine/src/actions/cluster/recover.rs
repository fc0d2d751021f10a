//! CLUSTER_RECOVER: looks if asked to, recovers what is not ACTIVE, and makes
//! up the size if asked to.

use senlin_core::{
    Map,
    action::{
        ActionKind,
        inputs::{self, Recover},
    },
    cluster::{Cluster, ClusterStatus},
    node::NodeStatus,
};
use senlin_db::{child_actions::SizeChange, fence, members};
use serde_json::{Value, json};

use super::{FINISH, carry_out, child, children, conclude_with, launch, load, phase::phases, set_status};
use crate::{
    actions::context::{Ctx, Outcome},
    decisions,
    failure::Failure,
};

phases! {
    /// Where the recovery is.
    Phase {
        /// Nothing is done yet.
        Begin = "",
        /// The members have been looked at, if that was asked for.
        Checked = "checked",
        /// What was amiss is recovered.
        Recovered = "recovered",
        /// The size is made up.
        Finish = FINISH,
    }
}

pub(crate) async fn run(ctx: &Ctx) -> Result<Outcome, Failure> {
    match Phase::of(ctx)? {
        Phase::Begin => {
            let cluster = load(ctx).await?;
            by_policy(ctx, &cluster).await?;
            set_status(ctx, ClusterStatus::Recovering, "Recovery in progress").await?;
            let nodes = if ctx.inputs::<Recover>()?.check.unwrap_or(false) {
                cluster.nodes
            } else {
                Vec::new()
            };
            let checks: Vec<_> = nodes
                .iter()
                .map(|id| child(ctx, ActionKind::NodeCheck, *id, Map::new()))
                .collect();
            launch(ctx, SizeChange::default(), Phase::Checked.word(), &checks).await
        }
        Phase::Checked => {
            let mut conn = ctx.conn();
            let members = members::list(&mut conn, ctx.cluster_id()?).await?;
            let asked: Recover = ctx.inputs()?;
            let by_policy = match asked.operation {
                None => recover_by(ctx)?,
                Some(_) => Vec::new(),
            };
            let inputs = inputs::write(&Recover {
                operation: asked.operation,
                operation_params: asked.operation_params,
                operations: by_policy,
                ..Recover::default()
            });
            let recoveries: Vec<_> = members
                .iter()
                .filter(|m| m.status != NodeStatus::Active)
                .map(|m| child(ctx, ActionKind::NodeRecover, m.id, inputs.clone()))
                .collect();
            launch(ctx, SizeChange::default(), Phase::Recovered.word(), &recoveries).await
        }
        Phase::Recovered => {
            let cluster = load(ctx).await?;
            let current = i32::try_from(cluster.nodes.len()).unwrap_or(i32::MAX);
            let missing = cluster.desired_capacity.saturating_sub(current);
            if !ctx.inputs::<Recover>()?.check_capacity.unwrap_or(false) || missing <= 0 {
                return launch(ctx, SizeChange::default(), FINISH, &[]).await;
            }
            carry_out(
                ctx,
                &cluster,
                decisions::decide_replacements(ctx, &cluster, missing).await?,
            )
            .await
        }
        // What a check found is no failure of the recovery that mended it.
        Phase::Finish => {
            let mut ends = children(ctx, Phase::Recovered.word()).await?;
            ends.extend(children(ctx, FINISH).await?);
            conclude_with(ctx, "Cluster recovery succeeded.", &ends).await
        }
    }
}

/// What the health policy said of recovery.
fn recover_by(ctx: &Ctx) -> Result<Vec<String>, Failure> {
    let kept = ctx.action.data.get("recover_by").cloned().unwrap_or_else(|| json!([]));
    serde_json::from_value(kept).map_err(|e| Failure::Refused(format!("How to recover is not known: {e}")))
}

/// What the health policy says of recovery is kept for the phase that recovers.
async fn by_policy(ctx: &Ctx, cluster: &Cluster) -> Result<(), Failure> {
    let decision = decisions::of_whole(ctx, cluster).await?;
    let actions = decision.health.as_ref().and_then(|h| h.get("recover_action"));
    let names: Vec<&str> = actions
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|a| a.get("name").and_then(Value::as_str))
        .collect();
    if names.is_empty() {
        return Ok(());
    }
    let data = Map::from_iter([("recover_by".to_owned(), json!(names))]);
    let mut conn = ctx.conn();
    let none = Map::new();
    let write = fence::merge_data(&mut conn, ctx.fence, &data, &none);
    ctx.record("record how to recover", write).await
}

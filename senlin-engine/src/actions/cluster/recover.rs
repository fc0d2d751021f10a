//! CLUSTER_RECOVER: looks if asked to, recovers what is not ACTIVE, and makes
//! up the size if asked to.

use senlin_core::{
    Map,
    action::ActionKind,
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
            let nodes = if ctx.input::<bool>("check")?.unwrap_or(false) {
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
            let mut inputs = ctx.action.inputs.clone();
            inputs.retain(|key, _| matches!(key.as_str(), "operation" | "operation_params"));
            if !inputs.contains_key("operation")
                && let Some(operations) = ctx.action.data.get("recover_by").cloned()
            {
                inputs.insert("operations".to_owned(), operations);
            }
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
            if !ctx.input::<bool>("check_capacity")?.unwrap_or(false) || missing <= 0 {
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

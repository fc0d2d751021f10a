//! CLUSTER_RECOVER: looks if asked to, recovers what is not ACTIVE, and makes
//! up the size if asked to.

use senlin_core::{Map, action::ActionKind, cluster::ClusterStatus, node::NodeStatus};
use senlin_db::{members, spawn::SizeChange};

use senlin_policies::engine::Decision;

use super::{FINISH, child, children, conclude_with, grow, launch, load, mark, remove::remove};
use crate::context::{Ctx, Failure, Outcome};

const CHECKED: &str = "checked";
const RECOVERED: &str = "recovered";

pub(crate) async fn run(ctx: &Ctx) -> Result<Outcome, Failure> {
    match ctx.action.phase.as_str() {
        "" => {
            let cluster = load(ctx).await?;
            mark(ctx, ClusterStatus::Recovering, "Recovery in progress").await?;
            let nodes = if ctx.input::<bool>("check")?.unwrap_or(false) {
                cluster.nodes
            } else {
                Vec::new()
            };
            let checks: Vec<_> = nodes
                .iter()
                .map(|id| child(ctx, ActionKind::NodeCheck, *id, Map::new()))
                .collect();
            launch(ctx, SizeChange::default(), CHECKED, &checks).await
        }
        CHECKED => {
            let mut conn = ctx.conn().await?;
            let members = members::list(&mut conn, ctx.cluster_id()?).await?;
            drop(conn);
            let mut inputs = ctx.action.inputs.clone();
            inputs.retain(|key, _| matches!(key.as_str(), "operation" | "operation_params"));
            let recoveries: Vec<_> = members
                .iter()
                .filter(|m| m.status != NodeStatus::Active)
                .map(|m| child(ctx, ActionKind::NodeRecover, m.id, inputs.clone()))
                .collect();
            launch(ctx, SizeChange::default(), RECOVERED, &recoveries).await
        }
        RECOVERED => {
            let cluster = load(ctx).await?;
            let current = i32::try_from(cluster.nodes.len()).unwrap_or(i32::MAX);
            let missing = cluster.desired_capacity.saturating_sub(current);
            if !ctx.input::<bool>("check_capacity")?.unwrap_or(false) || missing == 0 {
                return launch(ctx, SizeChange::default(), FINISH, &[]).await;
            }
            if missing > 0 {
                grow(ctx, &cluster, SizeChange::default(), missing, FINISH).await
            } else {
                let count = missing.saturating_neg();
                remove(ctx, &cluster, SizeChange::default(), count, Decision::default()).await
            }
        }
        // What a check found is no failure of the recovery that mended it.
        _ => {
            let mut ends = children(ctx, RECOVERED).await?;
            ends.extend(children(ctx, FINISH).await?);
            conclude_with(ctx, "Cluster recovery succeeded.", &ends).await
        }
    }
}

//! Members go: chosen, after their grace, destroyed or let go.

use senlin_core::{Map, cluster::Cluster, ids::NodeId};
use senlin_db::{fence, members, spawn::SizeChange};
use senlin_policies::{
    engine::Decision,
    victims::{self, Criteria},
};
use serde_json::json;

use super::{FINISH, candidates, launch, removals};
use crate::context::{Ctx, Failure, Outcome};

/// The phase in which the grace has passed.
pub(super) const GRACE: &str = "grace";

/// Takes out whom the decision names, or chooses `count` of the members.
pub(super) async fn remove(
    ctx: &Ctx,
    cluster: &Cluster,
    size: SizeChange,
    count: i32,
    decision: Decision,
) -> Result<Outcome, Failure> {
    let victims = if decision.victims.is_empty() {
        let mut conn = ctx.conn().await?;
        let members = members::list(&mut conn, cluster.id).await?;
        let seed = ctx.action.id.0.as_u64_pair().0;
        let count = usize::try_from(count).unwrap_or(0);
        victims::choose(&candidates(&members), count, Criteria::Random, seed)
    } else {
        decision.victims
    };
    let destroy = decision.destroy.unwrap_or(true);
    if decision.grace <= 0 || victims.is_empty() {
        return launch(ctx, size, FINISH, &removals(ctx, &victims, destroy)).await;
    }
    let going = json!({"victims": victims, "destroy": destroy, "desired": size.desired, "min": size.min,
        "max": size.max});
    let data = Map::from_iter([("going".to_owned(), going)]);
    let mut conn = ctx.conn().await?;
    ctx.record(
        "record who goes",
        fence::remember(&mut conn, ctx.fence, &data, &Map::new()),
    )
    .await?;
    let reason = format!("{} members go in {} seconds.", victims.len(), decision.grace);
    #[expect(clippy::cast_precision_loss, reason = "seconds of a grace period fit a double")]
    let delay = decision.grace as f64;
    ctx.record(
        "let the grace pass",
        fence::postpone(&mut conn, ctx.fence, GRACE, delay, &reason),
    )
    .await?;
    Ok(Outcome::ended(Vec::new()))
}

/// The grace has passed: those that are still members go.
pub(super) async fn after_grace(ctx: &Ctx, cluster: &Cluster) -> Result<Outcome, Failure> {
    let going = ctx.action.data.get("going").cloned().unwrap_or_default();
    let number = |key: &str| {
        going
            .get(key)
            .and_then(serde_json::Value::as_i64)
            .and_then(|n| i32::try_from(n).ok())
    };
    let victims: Vec<NodeId> = going
        .get("victims")
        .cloned()
        .and_then(|list| serde_json::from_value(list).ok())
        .unwrap_or_default();
    let victims: Vec<NodeId> = victims.into_iter().filter(|id| cluster.nodes.contains(id)).collect();
    let size = SizeChange {
        desired: number("desired"),
        min: number("min"),
        max: number("max"),
    };
    let destroy = going
        .get("destroy")
        .and_then(serde_json::Value::as_bool)
        .unwrap_or(true);
    launch(ctx, size, FINISH, &removals(ctx, &victims, destroy)).await
}

//! Members go: chosen, after their grace, asked first if a hook says so,
//! destroyed or let go.

use senlin_core::{
    Map,
    action::{ActionKind, ActionStatus, Cause, NewAction},
    cluster::Cluster,
    ids::NodeId,
    node::NodeStatus,
};
use senlin_db::{child_actions::SizeChange, fence, members};
use senlin_policies::engine::{Decision, Hook};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{FINISH, child, launch, phase::Sizing};
use crate::{
    actions::context::{Ctx, Outcome},
    failure::Failure,
};

/// Who goes and how, kept while the grace passes.
#[derive(Debug, Serialize, Deserialize)]
struct Going {
    victims: Vec<NodeId>,
    destroy: bool,
    hook: Option<Hook>,
    desired: Option<i32>,
    min: Option<i32>,
    max: Option<i32>,
}

/// Takes out whom the decision names.
pub(super) async fn remove(ctx: &Ctx, size: SizeChange, decision: Decision) -> Result<Outcome, Failure> {
    let going = Going {
        victims: decision.victims,
        destroy: decision.destroy.unwrap_or(true),
        hook: decision.hook,
        desired: size.desired,
        min: size.min,
        max: size.max,
    };
    if decision.grace <= 0 || going.victims.is_empty() {
        return go(ctx, &going).await;
    }
    let data = Map::from_iter([("going".to_owned(), json!(going))]);
    let mut conn = ctx.conn();
    ctx.record(
        "record who goes",
        fence::merge_data(&mut conn, ctx.fence, &data, &Map::new()),
    )
    .await?;
    let reason = format!("{} members go in {} seconds.", going.victims.len(), decision.grace);
    #[expect(clippy::cast_precision_loss, reason = "seconds of a grace period fit a double")]
    let delay = decision.grace as f64;
    ctx.record(
        "let the grace pass",
        fence::postpone(&mut conn, ctx.fence, Sizing::Grace.word(), delay, &reason),
    )
    .await?;
    Ok(Outcome::ended(Vec::new()))
}

/// The grace has passed: those that are still members go.
pub(super) async fn after_grace(ctx: &Ctx, cluster: &Cluster) -> Result<Outcome, Failure> {
    let kept = ctx.action.data.get("going").cloned().unwrap_or(Value::Null);
    let mut going: Going =
        serde_json::from_value(kept).map_err(|e| Failure::Refused(format!("Who was to go is not known: {e}")))?;
    going.victims.retain(|id| cluster.nodes.contains(id));
    go(ctx, &going).await
}

async fn go(ctx: &Ctx, going: &Going) -> Result<Outcome, Failure> {
    let size = SizeChange {
        desired: going.desired,
        min: going.min,
        max: going.max,
    };
    let mut children = removals(ctx, &going.victims, going.destroy);
    if let Some(hook) = going.hook.as_ref().filter(|_| going.destroy && !children.is_empty()) {
        let mut conn = ctx.conn();
        let members = members::list(&mut conn, ctx.cluster_id()?).await?;
        for child in &mut children {
            // One that does not work has nothing to say.
            let works = |m: &members::Member| m.id.0 == child.target && m.status == NodeStatus::Active;
            if members.iter().any(works) {
                ask(child, hook);
            }
        }
    }
    launch(ctx, size, FINISH, &children).await
}

fn ask(child: &mut NewAction, hook: &Hook) {
    child.status = ActionStatus::WaitingLifecycleCompletion;
    child.cause = Cause::Hooked;
    child.hook = json!(hook).as_object().cloned();
}

/// Children that take members out: deleted, or let go as orphans.
pub(crate) fn removals(ctx: &Ctx, victims: &[NodeId], destroy: bool) -> Vec<NewAction> {
    let kind = if destroy {
        ActionKind::NodeDelete
    } else {
        ActionKind::NodeLeave
    };
    victims.iter().map(|id| child(ctx, kind, *id, Map::new())).collect()
}

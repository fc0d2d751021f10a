//! Actions on a cluster. Each plans, records its children, gives its slot
//! back, and goes on in its next phase when the last of them has ended.

use senlin_core::{
    Map,
    action::{Action, ActionKind, ActionStatus, Cause, LockScope, NewAction, inputs::Common},
    cluster::{Cluster, ClusterStatus},
    ids::*,
    naming,
    profile_type::Demand,
};
use senlin_db::{
    child_actions::{self, NewMember, NewNode, SizeChange},
    children::{self as ends, ChildEnd},
    clusters,
    fence::{self, End},
    placement::Place,
};
use senlin_policies::placement::Planner;
use serde_json::json;

use crate::{
    actions::context::{Ctx, Outcome},
    decisions::{self, Intent},
    failure::Failure,
};

pub mod add_nodes;
pub mod attach_policy;
pub mod check;
pub mod create;
pub mod del_nodes;
pub mod delete;
pub mod detach_policy;
pub mod operation;
pub mod phase;
pub mod rebalance;
pub mod recover;
pub mod replace_nodes;
pub mod resize;
pub mod scale_in;
pub mod scale_out;
pub mod update;
pub mod update_policy;

mod remove;

pub(crate) use phase::FINISH;

/// The action's cluster.
pub(crate) async fn load(ctx: &Ctx) -> Result<Cluster, Failure> {
    let mut conn = ctx.conn();
    clusters::get(&mut conn, ctx.cluster_id()?)
        .await?
        .ok_or_else(|| Failure::Refused("The cluster could not be found.".to_owned()))
}

/// Puts the cluster into a transitional status.
pub(crate) async fn set_status(ctx: &Ctx, status: ClusterStatus, reason: &str) -> Result<(), Failure> {
    let mut conn = ctx.conn();
    ctx.record(
        "mark the cluster",
        fence::cluster_status(&mut conn, ctx.fence, status, reason),
    )
    .await
}

/// A child for one node.
pub(crate) fn child(ctx: &Ctx, kind: ActionKind, node: NodeId, inputs: Map) -> NewAction {
    let Action {
        user,
        project,
        request_id,
        cluster_id,
        timeout,
        ..
    } = &ctx.action;
    NewAction {
        id: ActionId::random(),
        name: Ctx::child_name(kind, node),
        kind,
        target: node.0,
        cluster_id: *cluster_id,
        parent_id: Some(ctx.action.id),
        cause: Cause::Derived,
        lock_scope: LockScope::Node,
        host_id: None,
        status: ActionStatus::Ready,
        inputs,
        timeout: *timeout,
        user: user.clone(),
        project: project.clone(),
        request_id: request_id.clone(),
        hook: None,
    }
}

/// Launches one child per node and waits for them in `phase`.
pub(crate) async fn launch(
    ctx: &Ctx,
    size: SizeChange,
    phase: &str,
    children: &[NewAction],
) -> Result<Outcome, Failure> {
    let mut conn = ctx.conn();
    let write = child_actions::launch(&mut conn, ctx.fence, ctx.cluster_id()?, size, phase, children);
    ctx.record("launch the children", write).await?;
    if children.is_empty() {
        Ok(Outcome::Next(phase.to_owned()))
    } else {
        Ok(Outcome::waiting())
    }
}

/// Does what was decided of a cluster's size.
pub(crate) async fn carry_out(ctx: &Ctx, cluster: &Cluster, intent: Intent) -> Result<Outcome, Failure> {
    if intent.more > 0 {
        grow(ctx, cluster, &intent, FINISH).await
    } else {
        remove::remove(ctx, intent.size, intent.decision).await
    }
}

/// Placements that an action tells of.
const MAX_REPORTED_PLACEMENTS: usize = 100;

/// Makes more members and waits for them in `phase`.
pub(crate) async fn grow(
    ctx: &Ctx,
    cluster: &Cluster,
    intent: &Intent,
    phase: &'static str,
) -> Result<Outcome, Failure> {
    let count = intent.more;
    let mut conn = ctx.conn();
    let loaded = ctx.engine.profile_cache.load(&mut conn, cluster.profile_id).await?;
    let needs = match loaded.demand()? {
        Demand::Host(needs) => Some(needs),
        Demand::Endpoint(_) => None,
    };
    let requirements = needs.clone().unwrap_or_else(|| decisions::no_host(cluster));
    let rules = decisions::rules(&intent.decision, &loaded);
    let format = cluster
        .config
        .get("node.name.format")
        .and_then(serde_json::Value::as_str)
        .unwrap_or("")
        .to_owned();
    let wanted = ctx.inputs::<Common>()?.plan_token;
    let plan = |hosts, first: i32| {
        let mut planner = Planner::new(hosts, rules.clone(), decisions::seed(cluster));
        let (mut new_members, mut told) = (Vec::new(), Vec::new());
        for index in first..first.saturating_add(count) {
            let node = new_node(ctx, cluster, &format, index);
            let place = needs.as_ref().and_then(|needs| {
                // One that fits nowhere says why when its own turn comes.
                planner.place(needs).ok().map(|host| Place::on(host, needs))
            });
            if let Some(place) = place.as_ref().filter(|_| told.len() < MAX_REPORTED_PLACEMENTS) {
                told.push(json!({"node": node.id, "name": node.name, "host": crate::decisions::plan::on(&planner, place.host)}));
            }
            new_members.push(NewMember {
                action: child(ctx, ActionKind::NodeCreate, node.id, Map::new()),
                node,
                place,
            });
        }
        let hosts: Vec<_> = new_members.iter().map(|b| b.place.as_ref().map(|p| p.host)).collect();
        if wanted
            .as_ref()
            .is_some_and(|t| *t != crate::decisions::plan::token(cluster, ctx.action.kind, intent, &hosts))
        {
            return Err(Failure::Refused(crate::decisions::plan::STALE.to_owned()));
        }
        let told = Map::from_iter([("placement".to_owned(), json!({"count": count, "placements": told}))]);
        Ok((new_members, told))
    };
    let write = child_actions::grow(
        &mut conn,
        ctx.fence,
        cluster.id,
        intent.size,
        count,
        &requirements,
        phase,
        plan,
    );
    ctx.record("record the new members", write).await??;
    Ok(Outcome::waiting())
}

fn new_node(ctx: &Ctx, cluster: &Cluster, format: &str, index: i32) -> NewNode {
    let id = NodeId::random();
    NewNode {
        name: naming::node_name(format, index, id.0.as_u64_pair().0),
        id,
        cluster_id: Some(cluster.id),
        profile_id: cluster.profile_id,
        user: ctx.action.user.clone(),
        project: cluster.project.clone(),
        domain: cluster.domain.clone(),
        index,
        role: Some(String::new()),
        metadata: Map::new(),
    }
}

/// How the children of the phase that led here ended.
pub(crate) async fn children(ctx: &Ctx, phase: &str) -> Result<Vec<ChildEnd>, Failure> {
    let mut conn = ctx.conn();
    let ends = ends::ends(&mut conn, ctx.action.id, phase).await?;
    if ends.iter().any(|c| !c.status.is_terminal()) {
        // Woken by a cancel or its deadline: they end before it does.
        ctx.interrupted()?;
    }
    Ok(ends)
}

/// Ends the action by what became of its children.
pub(crate) async fn conclude(ctx: &Ctx, done: &str) -> Result<Outcome, Failure> {
    let ends = children(ctx, FINISH).await?;
    conclude_with(ctx, done, &ends).await
}

/// Ends the action by these children.
pub(crate) async fn conclude_with(ctx: &Ctx, done: &str, ends: &[ChildEnd]) -> Result<Outcome, Failure> {
    let failed: Vec<_> = ends.iter().filter(|c| c.status != ActionStatus::Succeeded).collect();
    let (status, reason) = match ctx.ending() {
        Some(ending) if !failed.is_empty() => ending,
        _ if failed.is_empty() => (ActionStatus::Succeeded, done.to_owned()),
        _ => (ActionStatus::Failed, explain(&failed, ends.len())),
    };
    let end = End {
        status,
        reason,
        outputs: failed_nodes(&failed).unwrap_or_default(),
    };
    let mut conn = ctx.conn();
    let kind = ctx.action.kind;
    let marked = decisions::marked(ctx, &mut conn).await?;
    let write = fence::finish_cluster(&mut conn, ctx.fence, &end, ctx.cluster_id()?, kind.as_str(), &marked);
    Ok(Outcome::ended(ctx.end("record the end", write).await?))
}

/// The nodes whose children failed, each with its reason, as an output.
fn failed_nodes(failed: &[&ChildEnd]) -> Option<Map> {
    let list: Map = failed
        .iter()
        .map(|c| (c.target.to_string(), c.reason.clone().into()))
        .collect();
    (!failed.is_empty()).then(|| Map::from_iter([("failed_nodes".to_owned(), list.into())]))
}

/// "2 of 5 nodes failed: web-1: no memory; web-2: no memory".
fn explain(failed: &[&ChildEnd], total: usize) -> String {
    let mut text = format!("{} of {total} nodes failed", failed.len());
    let mut separator = ": ";
    for child in failed.iter().take(3) {
        text.push_str(separator);
        text.push_str(&child.name);
        text.push_str(": ");
        text.push_str(child.reason.trim_end_matches('.'));
        separator = "; ";
    }
    if failed.len() > 3 {
        text.push_str(&format!("; and {} more", failed.len() - 3));
    }
    text.push('.');
    text
}

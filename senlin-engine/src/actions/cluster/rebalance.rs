//! CLUSTER_REBALANCE: members move from hot hosts to cool ones. Each gets a
//! successor elsewhere first, and goes only when that one runs.

use senlin_core::{
    Map,
    action::{ActionKind, ActionStatus},
    cluster::{Cluster, ClusterStatus},
    ids::NodeId,
    placement::Rules,
    profile_type::Demand,
};
use senlin_db::{bindings, fence, loads, members, placement, spawn::SizeChange};
use senlin_policies::{
    host_placement::{self, Rebalance},
    rebalance::{Move, Mover, moves},
};
use serde_json::{Value, json};

use super::{FINISH, child, children, conclude_with, grow, launch, load, mark, phase::phases, remove::removals};
use crate::{
    Engine,
    context::{Ctx, Failure, Outcome},
    decisions,
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
    }
}

/// Members that move at most when nobody says how many.
const MOST: i64 = 10;

pub(crate) async fn run(ctx: &Ctx) -> Result<Outcome, Failure> {
    match Phase::of(ctx)? {
        Phase::Begin => begin(ctx).await,
        Phase::Placed => {
            let checks: Vec<_> = made(ctx, Phase::Placed.word(), ActionStatus::Succeeded)
                .await?
                .into_iter()
                .map(|id| child(ctx, ActionKind::NodeCheck, id, Map::new()))
                .collect();
            launch(ctx, SizeChange::default(), Phase::Checked.word(), &checks).await
        }
        Phase::Checked => {
            let moving: Vec<NodeId> = moving(ctx)?;
            let good = made(ctx, Phase::Checked.word(), ActionStatus::Succeeded).await?;
            // A successor that does not run goes again; who it was for stays.
            let born: Vec<NodeId> = children(ctx, Phase::Placed.word())
                .await?
                .iter()
                .map(|c| NodeId(c.target))
                .collect();
            let bad = born.into_iter().filter(|id| !good.contains(id));
            let going: Vec<NodeId> = moving.into_iter().take(good.len()).chain(bad).collect();
            launch(ctx, SizeChange::default(), FINISH, &removals(ctx, &going, true)).await
        }
        Phase::Finish => {
            let mut ends = children(ctx, Phase::Placed.word()).await?;
            ends.extend(children(ctx, Phase::Checked.word()).await?);
            ends.extend(children(ctx, FINISH).await?);
            conclude_with(ctx, "Cluster rebalance succeeded.", &ends).await
        }
    }
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
    let most: Option<i64> = ctx.input("max_moves")?;
    let found = wanted(&ctx.engine, &cluster, &intent.decision.rules, most).await?;
    let reasons: Vec<&str> = found.iter().map(|m| m.because.as_str()).collect();
    let reason = if reasons.is_empty() {
        "No host is so much hotter than the others that moving members would help.".to_owned()
    } else {
        reasons.join(" ")
    };
    let ids: Vec<NodeId> = found.iter().map(|m| m.id).collect();
    let data = Map::from_iter([("moving".to_owned(), json!(ids)), ("reason".to_owned(), reason.into())]);
    let mut conn = ctx.conn().await?;
    let none = Map::new();
    ctx.record("record who moves", fence::remember(&mut conn, ctx.fence, &data, &none))
        .await?;
    drop(conn);
    if found.is_empty() {
        return conclude_with(ctx, "No member needs to move.", &[]).await;
    }
    mark(ctx, ClusterStatus::Resizing, "Rebalance in progress").await?;
    intent.decision.rules.avoid = found.iter().map(|m| m.from).collect();
    intent.more = i32::try_from(found.len()).unwrap_or(i32::MAX);
    grow(ctx, &cluster, &intent, Phase::Placed.word()).await
}

/// Who should move now, by the cluster's host placement policy or the defaults.
pub(crate) async fn wanted(
    engine: &Engine,
    cluster: &Cluster,
    rules: &Rules,
    most: Option<i64>,
) -> Result<Vec<Move>, Failure> {
    let mut conn = engine.db.get().await?;
    let loaded = engine.specs.load(&mut conn, cluster.profile_id).await?;
    let Demand::Host(needs) = loaded.demand()? else {
        return Err(Failure::Refused("Hosts cannot be moved.".to_owned()));
    };
    let policy = match bindings::of_type(&mut conn, cluster.id, "senlin.policy.host_placement").await? {
        Some(active) => host_placement::rebalance(&active.properties).map_err(|e| Failure::Refused(e.0))?,
        None => Rebalance {
            max_moves: MOST,
            ..Rebalance::default()
        },
    };
    let hosts = placement::look(&mut conn, &needs, Some(cluster.id)).await?;
    let used = loads::members(&mut conn, cluster.id, placement::MEASURE_AGE).await?;
    let movers: Vec<Mover> = members::list(&mut conn, cluster.id)
        .await?
        .into_iter()
        .filter_map(|m| {
            Some(Mover {
                id: m.id,
                host: m.host_id?,
                cpu: used.get(&m.id).copied(),
                protected: m.protected,
            })
        })
        .collect();
    let most = usize::try_from(most.unwrap_or(policy.max_moves).max(0)).unwrap_or(0);
    #[expect(clippy::cast_precision_loss, reason = "points of a percentage")]
    let gap = policy.gap as f64;
    Ok(moves(&hosts, &movers, &needs, rules, gap, most))
}

//! What an action will do, decided before it does anything: the request, the
//! cluster's policies, and the rules of size. The same decision is made for a
//! plan that is only asked for.

use senlin_core::{
    Map,
    action::{
        ActionKind,
        inputs::{Common, DelNodes, Resize, Scale},
    },
    cluster::Cluster,
    ids::*,
    node::NodeStatus,
    placement::{HostSnapshot, Requirements, Rules},
    profile_type::Demand,
};
use senlin_db::{
    Conn, bindings,
    child_actions::SizeChange,
    fence,
    members::{self, Member},
    placement,
};
use senlin_policies::{
    engine::{AttachedPolicy, ClusterSnapshot, Decision, Request, after, decide},
    size::{self, Adjustment, Bounds},
    victims::Candidate,
};

use crate::{
    Engine,
    actions::context::{Ctx, read_inputs},
    failure::Failure,
    hosts::profile_cache::LoadedProfile,
};

pub(crate) mod moves;
pub mod plan;

/// What an action on a cluster's size will do.
#[derive(Debug, Clone)]
pub(crate) struct Intent {
    /// What was decided, and why.
    pub(crate) decision: Decision,
    /// What becomes of the cluster's sizes.
    pub(crate) size: SizeChange,
    /// Members that come.
    pub(crate) more: i32,
    /// Members that go; the decision names them.
    pub(crate) fewer: i32,
}

/// What policies decide on: those that are attached, and the cluster as they see it.
pub(crate) struct PolicyContext {
    pub(crate) bound: Vec<AttachedPolicy>,
    pub(crate) view: ClusterSnapshot,
}

/// The chance of a decision: the same for the same cluster, so that a plan
/// and the action that follows it decide alike.
pub(crate) fn seed(cluster: &Cluster) -> u64 {
    let half = |id: uuid::Uuid| id.as_u64_pair().0 ^ id.as_u64_pair().1.rotate_left(17);
    let index = u64::try_from(cluster.next_index).unwrap_or(0);
    let members = cluster
        .nodes
        .iter()
        .fold(0, |sum: u64, id| sum.wrapping_add(half(id.0)));
    half(cluster.id.0) ^ members ^ index.rotate_left(32)
}

/// The enabled policies of a cluster, ready to be asked.
pub(crate) async fn policies(
    engine: &Engine,
    conn: &mut Conn,
    cluster: ClusterId,
) -> Result<Option<(senlin_core::Time, Vec<AttachedPolicy>)>, Failure> {
    let Some((now, active)) = bindings::active(conn, cluster).await? else {
        return Ok(None);
    };
    let mut bound = Vec::new();
    for one in active {
        let full = &one.binding.policy_type;
        let kind = engine.policies.find(full).cloned().ok_or_else(|| {
            Failure::Refused(format!(
                "Policy '{}' is of type {full}, which this engine does not know.",
                one.binding.policy_name
            ))
        })?;
        let properties = kind
            .schema()
            .check(&one.properties)
            .map_err(|e| Failure::Refused(e.0))?;
        bound.push(AttachedPolicy {
            name: one.binding.policy_name,
            kind,
            properties,
            last_op: one.binding.last_op,
            binding: one.binding.id,
        });
    }
    Ok(Some((now, bound)))
}

/// The policies and what they see; a cluster without any sees its members only
/// when some are to go.
pub(crate) async fn context(
    engine: &Engine,
    conn: &mut Conn,
    cluster: &Cluster,
    shrinks: bool,
) -> Result<PolicyContext, Failure> {
    let (now, bound) = match policies(engine, conn, cluster.id).await? {
        Some((now, bound)) => (now, bound),
        None => (chrono::DateTime::UNIX_EPOCH, Vec::new()),
    };
    let seen = if bound.is_empty() && !shrinks {
        Vec::new()
    } else {
        candidates(&members::list(conn, cluster.id).await?)
    };
    let hosts = if bound.iter().any(|b| b.kind.meta().needs_hosts) {
        hosts(engine, conn, cluster).await?
    } else {
        Vec::new()
    };
    Ok(PolicyContext {
        view: ClusterSnapshot {
            size: size_of(cluster),
            bounds: Bounds::of(cluster),
            members: seen,
            hosts,
            now,
        },
        bound,
    })
}

/// The hosts that a cluster's members may go to.
pub(crate) async fn hosts(engine: &Engine, conn: &mut Conn, cluster: &Cluster) -> Result<Vec<HostSnapshot>, Failure> {
    let loaded = engine.profile_cache.load(conn, cluster.profile_id).await?;
    match loaded.demand()? {
        Demand::Host(needs) => Ok(placement::look(conn, &needs, Some(cluster.id)).await?),
        Demand::Endpoint(_) => Ok(Vec::new()),
    }
}

pub(crate) fn size_of(cluster: &Cluster) -> i32 {
    i32::try_from(cluster.nodes.len()).unwrap_or(i32::MAX)
}

fn refused(error: size::SizeError) -> Failure {
    Failure::Refused(error.to_string())
}

/// A request that names neither members nor how many.
pub(crate) fn unsized_request(kind: ActionKind, cluster: &Cluster) -> Request {
    Request {
        kind,
        shrinks: false,
        count: None,
        candidates: Vec::new(),
        seed: seed(cluster),
    }
}

/// What is asked for, before any policy: the request, and the size that a
/// resize ends at.
fn request(kind: ActionKind, inputs: &Map, cluster: &Cluster) -> Result<(Request, SizeChange), Failure> {
    let current = size_of(cluster);
    let bounds = Bounds::of(cluster);
    let mut asked = unsized_request(kind, cluster);
    let mut change = SizeChange::default();
    match kind {
        ActionKind::ClusterScaleOut | ActionKind::ClusterScaleIn => {
            asked.shrinks = kind == ActionKind::ClusterScaleIn;
            // Policies see what is asked, not what the cluster has.
            asked.count = read_inputs::<Scale>(inputs)?.count;
        }
        ActionKind::ClusterDelNodes => {
            let DelNodes { candidates, .. } = read_inputs(inputs)?;
            // One that has gone meanwhile needs no removal.
            asked.candidates = candidates.into_iter().filter(|id| cluster.nodes.contains(id)).collect();
            asked.count = i32::try_from(asked.candidates.len()).ok();
            asked.shrinks = true;
        }
        ActionKind::ClusterResize => {
            let resize: Resize = read_inputs(inputs)?;
            change.min = resize.min_size;
            change.max = resize.max_size;
            let strict = resize.strict.unwrap_or(true);
            let mut wanted = match (resize.adjustment_type, resize.number) {
                (Some(name), Some(number)) => {
                    let adjustment = Adjustment::parse(&name)
                        .ok_or_else(|| Failure::Refused(format!("Unknown adjustment_type '{name}'.")))?;
                    Some(size::desired(current, adjustment, number, resize.min_step))
                }
                _ => None,
            };
            if !strict {
                wanted = wanted.map(|d| size::truncate(d, change.min, change.max, bounds));
            }
            size::check(wanted, change.min, change.max, strict, bounds).map_err(refused)?;
            // New bounds may move the size even when none was asked for.
            let desired =
                wanted.unwrap_or_else(|| size::truncate(cluster.desired_capacity, change.min, change.max, bounds));
            change.desired = Some(desired);
            asked.count = Some((desired - current).saturating_abs());
            asked.shrinks = desired < current;
        }
        _ => {}
    }
    Ok((asked, change))
}

/// Decides; writes nothing.
pub(crate) async fn intend(
    engine: &Engine,
    conn: &mut Conn,
    cluster: &Cluster,
    kind: ActionKind,
    inputs: &Map,
) -> Result<(Intent, bool), (Failure, bool)> {
    let (asked, change) = request(kind, inputs, cluster).map_err(|f| (f, false))?;
    let context = context(engine, conn, cluster, asked.shrinks)
        .await
        .map_err(|f| (f, false))?;
    let told = !context.bound.is_empty();
    let intent = apply_sizes(cluster, &context, &asked, change, inputs).map_err(|f| (f, told))?;
    Ok((intent, told))
}

fn apply_sizes(
    cluster: &Cluster,
    context: &PolicyContext,
    asked: &Request,
    mut change: SizeChange,
    inputs: &Map,
) -> Result<Intent, Failure> {
    let mut decision =
        decide(&context.bound, &context.view, asked).map_err(|refusal| Failure::Refused(refusal.to_string()))?;
    let current = size_of(cluster);
    let (mut more, mut fewer) = (0, 0);
    match asked.kind {
        ActionKind::ClusterScaleOut => {
            more = decision.count.unwrap_or(1);
            change.desired = Some(current.saturating_add(more));
        }
        ActionKind::ClusterScaleIn => {
            fewer = decision.count.unwrap_or(1).min(current);
            decision.count = Some(fewer);
            change.desired = Some(current - fewer);
        }
        ActionKind::ClusterDelNodes => {
            fewer = i32::try_from(decision.victims.len()).unwrap_or(i32::MAX);
            // A deletion policy goes before what the request says.
            let asked: DelNodes = read_inputs(inputs)?;
            decision.destroy = Some(decision.destroy.unwrap_or(asked.destroy_after_deletion));
            change.desired = Some(current - fewer);
        }
        ActionKind::ClusterResize if asked.shrinks => fewer = decision.count.unwrap_or(0),
        ActionKind::ClusterResize => more = decision.count.unwrap_or(0),
        _ => {}
    }
    if asked.kind != ActionKind::ClusterResize && (more > 0 || fewer > 0) {
        size::check(change.desired, None, None, true, Bounds::of(cluster)).map_err(refused)?;
    }
    if asked.kind == ActionKind::ClusterDelNodes {
        change.desired = change.desired.filter(|_| decision.reduce && fewer > 0);
    }
    Ok(Intent {
        decision,
        size: change,
        more,
        fewer,
    })
}

/// Decides for the action, and stores the decision and its reasons in it.
pub(crate) async fn of_action(ctx: &Ctx, cluster: &Cluster) -> Result<Intent, Failure> {
    let mut conn = ctx.conn();
    let decided = intend(&ctx.engine, &mut conn, cluster, ctx.action.kind, &ctx.action.inputs).await;
    let (data, outcome) = match decided {
        Ok((intent, told)) => {
            let shrinks = intent.fewer > 0 || ctx.action.kind == ActionKind::ClusterScaleIn;
            (told.then(|| intent.decision.to_data(shrinks)), Ok(intent))
        }
        Err((Failure::Refused(reason), true)) => (Some(refusal_data(&reason)), Err(Failure::Refused(reason))),
        Err((failure, _)) => (None, Err(failure)),
    };
    if let Some(data) = data {
        let none = Map::new();
        let write = fence::merge_data(&mut conn, ctx.fence, &data, &none);
        ctx.record("record the decision", write).await?;
    }
    if let Ok(intent) = &outcome {
        ctx.engine.metrics.decided(ctx.action.kind, "yes");
        demand_plan(&ctx.action.inputs, cluster, ctx.action.kind, intent)?;
    } else {
        ctx.engine.metrics.decided(ctx.action.kind, "no");
    }
    outcome
}

fn refusal_data(reason: &str) -> Map {
    Map::from_iter([
        ("status".to_owned(), "ERROR".into()),
        ("reason".to_owned(), reason.into()),
    ])
}

/// Where the action demands a plan that does not place anybody, it must be as planned.
fn demand_plan(inputs: &Map, cluster: &Cluster, kind: ActionKind, intent: &Intent) -> Result<(), Failure> {
    match read_inputs::<Common>(inputs)?.plan_token {
        Some(token) if intent.more == 0 && token != crate::decisions::plan::token(cluster, kind, intent, &[]) => {
            Err(Failure::Refused(crate::decisions::plan::STALE.to_owned()))
        }
        _ => Ok(()),
    }
}

/// What the policies say of one node's action: where it may go, or how it goes.
pub(crate) async fn of_node(ctx: &Ctx, cluster: &Cluster, node: NodeId, kind: ActionKind) -> Result<Decision, Failure> {
    let mut conn = ctx.conn();
    let shrinks = kind == ActionKind::NodeDelete;
    let request = Request {
        kind,
        shrinks,
        count: Some(1),
        candidates: if shrinks { vec![node] } else { Vec::new() },
        seed: ctx.action.id.0.as_u64_pair().0 ^ u64::try_from(ctx.action.attempt).unwrap_or(0),
    };
    let mut context = context(&ctx.engine, &mut conn, cluster, false).await?;
    if context.bound.is_empty() {
        return Ok(Decision::of(&request));
    }
    if !shrinks {
        // It is not there yet, or not any more.
        context.view.members.retain(|m| m.id != node);
    }
    let decided = decide(&context.bound, &context.view, &request);
    let data = match &decided {
        Ok(decision) => decision.to_data(shrinks),
        Err(refusal) => refusal_data(&refusal.to_string()),
    };
    let none = Map::new();
    let write = fence::merge_data(&mut conn, ctx.fence, &data, &none);
    ctx.record("record the decision", write).await?;
    decided.map_err(|refusal| Failure::Refused(refusal.to_string()))
}

/// What the policies say of an action that changes no size, such as an update.
pub(crate) async fn of_whole(ctx: &Ctx, cluster: &Cluster) -> Result<Decision, Failure> {
    Ok(of_action(ctx, cluster).await?.decision)
}

/// How `missing` members more (or fewer, when negative) come to be, without
/// the size that is asked for changing.
pub(crate) async fn decide_replacements(ctx: &Ctx, cluster: &Cluster, missing: i32) -> Result<Intent, Failure> {
    let mut conn = ctx.conn();
    let shrinks = missing < 0;
    let context = context(&ctx.engine, &mut conn, cluster, shrinks).await?;
    let asked = Request {
        kind: ctx.action.kind,
        shrinks,
        count: Some(missing.saturating_abs()),
        candidates: Vec::new(),
        seed: seed(cluster),
    };
    let decision =
        decide(&context.bound, &context.view, &asked).map_err(|refusal| Failure::Refused(refusal.to_string()))?;
    Ok(Intent {
        decision,
        size: SizeChange::default(),
        more: missing.max(0),
        fewer: missing.saturating_neg().max(0),
    })
}

/// AFTER: the bindings whose cooldowns begin with the end of the action.
pub(crate) async fn marked(ctx: &Ctx, conn: &mut Conn) -> Result<Vec<BindingId>, Failure> {
    let kind = ctx.action.kind;
    if !matches!(
        kind,
        ActionKind::ClusterScaleIn | ActionKind::ClusterScaleOut | ActionKind::ClusterResize
    ) {
        return Ok(Vec::new());
    }
    let found = policies(&ctx.engine, conn, ctx.cluster_id()?).await?;
    Ok(found.map(|(_, bound)| after(&bound, kind)).unwrap_or_default())
}

/// Requirements that let in no host at all: hosts need none.
pub(crate) fn no_host(cluster: &Cluster) -> Requirements {
    Requirements {
        host_node: Some(NodeId(cluster.id.0)),
        ..Requirements::default()
    }
}

/// The rules that new members are placed by: the policies', or the profile's own strategy.
pub(crate) fn rules(decision: &Decision, loaded: &LoadedProfile) -> Rules {
    let mut rules = decision.rules.clone();
    rules.strategy = rules.strategy.or(Some(loaded.strategy()));
    rules
}

/// Members as candidates for removal. A host with containers comes last.
pub(crate) fn candidates(members: &[Member]) -> Vec<Candidate> {
    members
        .iter()
        .map(|m| Candidate {
            id: m.id,
            bad: matches!(m.status, NodeStatus::Error | NodeStatus::Warning) || m.tainted,
            created_at: m.created_at,
            profile_created_at: Some(m.profile_created_at),
            occupied: m.containers > 0,
            protected: m.protected,
            zone: m.zone.clone(),
            region: m.region.clone(),
        })
        .collect()
}

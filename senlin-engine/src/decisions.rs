//! Asking the policies of a cluster before an action does anything.

use senlin_core::{Map, cluster::Cluster, ids::*};
use senlin_db::{
    bindings, fence,
    members::{self, Member},
};
use senlin_policies::{
    engine::{Bound, Decision, Request, View, decide},
    size::Bounds,
};

use crate::{
    actions::cluster::candidates,
    context::{Ctx, Failure},
};

/// What the cluster's policies say to `count` members more or fewer, or to
/// `chosen` going. The decision and its reasons are stored in the action.
pub(crate) async fn ask(
    ctx: &Ctx,
    cluster: &Cluster,
    count: Option<i32>,
    chosen: Vec<NodeId>,
    shrinks: bool,
) -> Result<Decision, Failure> {
    let mut conn = ctx.conn().await?;
    let request = Request {
        kind: ctx.action.kind,
        count,
        candidates: chosen,
        seed: ctx.action.id.0.as_u64_pair().0,
    };
    let Some((now, active)) = bindings::active(&mut conn, cluster.id).await? else {
        return Ok(Decision::of(&request));
    };
    let all: Vec<Member> = members::list(&mut conn, cluster.id).await?;
    let mut bound = Vec::new();
    for one in active {
        let full = &one.binding.policy_type;
        let kind = ctx.engine.policies.find(full).cloned().ok_or_else(|| {
            Failure::Refused(format!(
                "Policy '{}' is of type {full}, which this engine does not know.",
                one.binding.policy_name
            ))
        })?;
        let properties = kind
            .schema()
            .check(&one.properties)
            .map_err(|e| Failure::Refused(e.0))?;
        bound.push(Bound {
            name: one.binding.policy_name,
            kind,
            properties,
            last_op: one.binding.last_op,
        });
    }
    let view = View {
        size: i32::try_from(all.len()).unwrap_or(i32::MAX),
        bounds: Bounds::of(cluster),
        members: candidates(&all),
        now,
    };
    let decided = decide(&bound, &view, &request);
    let data = match &decided {
        Ok(decision) => decision.to_data(shrinks),
        Err(refusal) => Map::from_iter([
            ("status".to_owned(), "ERROR".into()),
            ("reason".to_owned(), refusal.to_string().into()),
        ]),
    };
    let none = Map::new();
    let write = fence::remember(&mut conn, ctx.fence, &data, &none);
    ctx.record("record the decision", write).await?;
    decided.map_err(|refusal| Failure::Refused(refusal.to_string()))
}

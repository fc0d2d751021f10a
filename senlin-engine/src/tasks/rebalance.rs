//! Clusters whose policy lets them rebalance unasked: when a host is hot, an
//! ordinary CLUSTER_REBALANCE is recorded.

use std::sync::Arc;

use senlin_core::{
    Map,
    action::{ActionKind, inputs},
};
use senlin_db::{
    bindings::{self, Due},
    clusters, policy_actions,
};
use senlin_policies::{engine::decide, types::host_placement};

use super::policy_watch::PolicyWatch;
use crate::{
    Engine,
    decisions::{self, moves},
    failure::Failure,
};

/// Seconds until a policy that does not rebalance is looked at again.
const IDLE: f64 = 300.0;

/// Looks for clusters to rebalance.
pub struct Rebalance;

impl PolicyWatch for Rebalance {
    const NAME: &'static str = "rebalance";
    const TYPE: &'static str = "senlin.policy.host_placement";

    async fn look(engine: &Arc<Engine>, due: &Due) -> Result<(), Failure> {
        look(engine, due).await
    }
}

async fn look(engine: &Engine, due: &Due) -> Result<(), Failure> {
    let policy = host_placement::rebalance(&due.properties).map_err(|e| Failure::Refused(e.0))?;
    let mut conn = engine.db.session();
    if !policy.enabled {
        bindings::reschedule(&mut conn, due.id, due.now, IDLE, &due.state).await?;
        return Ok(());
    }
    if let Some(cluster) = clusters::get(&mut conn, due.cluster_id).await? {
        let asked = decisions::unsized_request(ActionKind::ClusterRebalance, &cluster);
        let context = decisions::context(engine, &mut conn, &cluster, false).await?;
        let decision =
            decide(&context.bound, &context.view, &asked).map_err(|refusal| Failure::Refused(refusal.to_string()))?;
        let moves = moves::wanted(engine, &cluster, &decision.rules, None).await?;
        conn = engine.db.session();
        if let Some(first) = moves.first() {
            let inputs = inputs::with_reason(Map::new(), format!("'{}': {}", due.policy_name, first.reason));
            if let Some(action) =
                policy_actions::cluster(&mut conn, cluster.id, ActionKind::ClusterRebalance, &inputs).await?
            {
                engine.work.notify_one();
                engine.bus.wake(&[action], "");
            }
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "seconds of an interval fit a double")]
    let interval = policy.interval as f64;
    bindings::reschedule(&mut conn, due.id, due.now, interval, &due.state).await?;
    Ok(())
}

//! Clusters whose policy lets them rebalance unasked: when a host is hot, an
//! ordinary CLUSTER_REBALANCE is recorded.

use std::{sync::Arc, time::Duration};

use senlin_core::{Map, action::ActionKind};
use senlin_db::{
    bindings::{self, Due},
    clusters, policy_actions,
};
use senlin_policies::{engine::decide, host_placement};
use tokio_util::sync::CancellationToken;

use crate::{
    Engine,
    actions::{cluster::rebalance, context::Failure},
    decisions,
    queue::worker,
};

const TYPE: &str = "senlin.policy.host_placement";
/// Seconds after which another engine takes on a look that was begun.
const HOLD: f64 = 20.0;
/// Clusters that one engine looks at at once.
const MAX_CONCURRENT_LOOKS: i64 = 32;
/// Seconds until a policy that does not rebalance is looked at again.
const IDLE: f64 = 300.0;

pub(crate) async fn run(engine: Arc<Engine>, shutdown: CancellationToken) {
    let mut timer = tokio::time::interval(Duration::from_secs(1));
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = timer.tick() => {}
        }
        let due = async { bindings::due(&mut engine.db.session(), TYPE, HOLD, MAX_CONCURRENT_LOOKS).await };
        match due.await {
            Ok(due) => {
                for one in due {
                    engine.tasks.spawn(look(engine.clone(), one));
                }
            }
            Err(error) => tracing::warn!(error = %worker::chain(&error), "no rebalance is looked for"),
        }
    }
}

async fn look(engine: Arc<Engine>, due: Due) {
    if let Err(failure) = try_look(&engine, &due).await {
        tracing::warn!(cluster = %due.cluster_id, error = %worker::chain(&failure), "a rebalance was not looked for");
    }
}

async fn try_look(engine: &Engine, due: &Due) -> Result<(), Failure> {
    let policy = host_placement::rebalance(&due.properties).map_err(|e| Failure::Refused(e.0))?;
    let mut conn = engine.db.session();
    if !policy.enabled {
        bindings::reschedule(&mut conn, due.id, due.now, IDLE, &due.state).await?;
        return Ok(());
    }
    if let Some(cluster) = clusters::get(&mut conn, due.cluster_id).await? {
        let asked = decisions::unsized_request(ActionKind::ClusterRebalance, &cluster);
        let context = decisions::context(engine, &mut conn, &cluster, false).await?;
        drop(conn);
        let decision =
            decide(&context.bound, &context.view, &asked).map_err(|refusal| Failure::Refused(refusal.to_string()))?;
        let moves = rebalance::wanted(engine, &cluster, &decision.rules, None).await?;
        conn = engine.db.session();
        if let Some(first) = moves.first() {
            let inputs = Map::from_iter([(
                "because".to_owned(),
                format!("'{}': {}", due.policy_name, first.reason).into(),
            )]);
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

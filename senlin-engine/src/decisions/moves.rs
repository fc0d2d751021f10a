//! Which members of a cluster should be on another host.

use senlin_core::{cluster::Cluster, placement::Rules, profile_type::Demand};
use senlin_db::{bindings, loads, members, placement};
use senlin_policies::{
    rebalance::{Move, Mover, moves},
    types::host_placement::{self, Rebalance},
};

use crate::{Engine, failure::Failure};

/// Members that move at most when nobody says how many.
const MAX_MOVES: i64 = 10;

/// Successors that the cluster may have beside its members.
pub(crate) fn room(cluster: &Cluster) -> usize {
    usize::try_from(cluster.max_size).map_or(usize::MAX, |max| max.saturating_sub(cluster.nodes.len()))
}

/// Who should move now, by the cluster's host placement policy or the defaults.
pub(crate) async fn wanted(
    engine: &Engine,
    cluster: &Cluster,
    rules: &Rules,
    most: Option<i64>,
) -> Result<Vec<Move>, Failure> {
    let mut conn = engine.db.session();
    let loaded = engine.profile_cache.load(&mut conn, cluster.profile_id).await?;
    let Demand::Host(needs) = loaded.demand()? else {
        return Err(Failure::Refused("Hosts cannot be moved.".to_owned()));
    };
    let policy = match bindings::of_type(&mut conn, cluster.id, "senlin.policy.host_placement").await? {
        Some(active) => host_placement::rebalance(&active.properties).map_err(|e| Failure::Refused(e.0))?,
        None => Rebalance {
            max_moves: MAX_MOVES,
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
    let most = most.min(room(cluster));
    #[expect(clippy::cast_precision_loss, reason = "points of a percentage")]
    let gap = policy.gap as f64;
    Ok(moves(&hosts, &movers, &needs, rules, gap, most))
}

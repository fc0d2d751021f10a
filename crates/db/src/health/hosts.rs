//! Hosts as the health manager sees them: who listens to which, and what
//! becomes of the members on one that goes silent, or answers again.

use std::collections::BTreeSet;

use diesel::{
    dsl::{exists, not},
    prelude::*,
};
use senlin_core::{
    ids::*,
    node::{Condition, NodeStatus},
};
use uuid::Uuid;

use super::settle;
use crate::{
    Conn, Result,
    run::Run,
    schema::{node_locks, nodes},
    statements::watch_hosts::watch_hosts,
};

/// Watches over hosts: renews what `owner` watches and takes on more, so that
/// every host has a watcher and each engine about its share; an engine that has
/// said nothing for `lease` seconds has none. Returns what `owner` watches now.
pub async fn watch(conn: &mut Conn, owner: ServiceId, lease: f64) -> Result<Vec<NodeId>> {
    watch_hosts(conn, owner, lease).await
}

/// A host was silent and answers again. Of the members said to be unknown,
/// those whose container was seen running are ACTIVE, whatever the list missed
/// is left to a check.
pub async fn known_again(conn: &mut Conn, host: NodeId, running: &[String]) -> Result<Vec<ClusterId>> {
    let held = exists(node_locks::table.filter(node_locks::node_id.eq(nodes::id)));
    let seen = nodes::table
        .filter(nodes::host_id.eq(host.0))
        .filter(nodes::status.eq(NodeStatus::Warning.as_str()))
        .filter(nodes::condition.eq(Condition::Unknown.as_str()))
        .filter(nodes::physical_id.eq_any(running))
        .filter(not(held));
    let of = diesel::update(seen)
        .set((
            nodes::status.eq(NodeStatus::Active.as_str()),
            nodes::status_reason.eq("The host answers again, and the container runs."),
        ))
        .returning(nodes::cluster_id)
        .fetch_all(conn)
        .await?;
    settle_all(conn, of).await
}

/// A host is silent: its containers are unknown, which is not failed.
pub async fn unknown(conn: &mut Conn, host: NodeId) -> Result<()> {
    let held = exists(node_locks::table.filter(node_locks::node_id.eq(nodes::id)));
    let well = nodes::table
        .filter(nodes::host_id.eq(host.0))
        .filter(nodes::status.eq(NodeStatus::Active.as_str()))
        .filter(not(held));
    let of = diesel::update(well)
        .set((
            nodes::status.eq(NodeStatus::Warning.as_str()),
            nodes::status_reason.eq("Unknown: its host does not answer."),
            nodes::condition.eq(Condition::Unknown.as_str()),
        ))
        .returning(nodes::cluster_id)
        .fetch_all(conn)
        .await?;
    settle_all(conn, of).await?;
    Ok(())
}

/// The clusters of some members get the status that is true now, each once.
async fn settle_all(conn: &mut Conn, of: Vec<Option<Uuid>>) -> Result<Vec<ClusterId>> {
    let clusters: BTreeSet<ClusterId> = of.into_iter().flatten().map(ClusterId).collect();
    for cluster in &clusters {
        settle(conn, *cluster).await?;
    }
    Ok(clusters.into_iter().collect())
}

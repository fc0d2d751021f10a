//! The recoveries that the health manager begins, and those it holds back.

use diesel::{
    dsl::{IntervalDsl, count, now, sql},
    prelude::*,
    sql_types::{BigInt, Nullable, Timestamptz, Uuid as SqlUuid},
};
use senlin_core::{
    action::{ActionKind, Cause, LockScope, NewAction},
    ids::*,
};

use crate::{
    Conn, Result, child_actions,
    run::Run,
    schema::{clusters, nodes, recoveries},
    sql::{Sql, Term},
    statements::hold_back_recovery::hold_back_recovery,
    stored::MaybeId,
};

/// A recovery that the health manager wants.
#[derive(Debug, Clone)]
pub struct RecoveryRequest {
    /// The member.
    pub node: NodeId,
    /// Its cluster.
    pub cluster: ClusterId,
    /// The container that was found amiss: another one is another story.
    pub physical_id: Option<String>,
    /// What was found.
    pub reason: String,
    /// What the recovery is to try.
    pub inputs: senlin_core::Map,
    /// Most recoveries of the cluster in the window.
    pub budget: i64,
    /// The window, in seconds.
    pub window: i64,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// The action.
    Yes(ActionId),
    /// Something is being done already, or the container is another by now.
    Busy,
    /// It was recovered so often lately that it waits so many seconds more.
    BackOff(i64),
    /// The cluster's budget is used up.
    Spent,
}

/// Seconds until a node that was recovered `times` lately may be recovered
/// again: none at first, then 10, 20, 40 … 300.
fn pause(times: i64) -> i64 {
    match u32::try_from(times) {
        Ok(0 | 1) => 0,
        Ok(n) => 10_i64.saturating_mul(2_i64.saturating_pow(n.min(12) - 2)).min(300),
        Err(_) => 300,
    }
}

/// Begins a recovery, if none is open, within bounds. Counted and recorded in
/// one transaction that holds the node's row: two engines cannot both begin one.
pub async fn recover(conn: &mut Conn, request: &RecoveryRequest) -> Result<Begun> {
    conn.transaction(async |conn| {
        // The cluster's row stays free.
        let only_the_node = Term(Sql::new("nodes.id FOR UPDATE OF nodes"));
        let locked: Option<OwnerRow> = nodes::table
            .inner_join(clusters::table)
            .filter(nodes::id.eq(request.node.0).and(clusters::id.eq(request.cluster.0)))
            .filter(nodes::physical_id.is_not_distinct_from(request.physical_id.as_deref()))
            .order(only_the_node)
            .select(OwnerRow::as_select())
            .fetch_optional(conn)
            .await?;
        let (Some(owner), Some(false)) = (locked, super::node(conn, request.node).await?.map(|n| n.busy)) else {
            return Ok(Begun::Busy);
        };
        let (times, spent, since) = lately(conn, request).await?;
        let left = pause(times).saturating_sub(since.unwrap_or(i64::MAX));
        if left > 0 {
            return Ok(Begun::BackOff(left));
        }
        if spent >= request.budget {
            return Ok(Begun::Spent);
        }
        let action = NewAction {
            cluster_id: Some(request.cluster),
            lock_scope: LockScope::Member,
            host_id: owner.host_id,
            inputs: request.inputs.clone(),
            timeout: owner.timeout,
            ..NewAction::unasked(
                ActionKind::NodeRecover,
                request.node.0,
                Cause::Health,
                owner.user_id,
                owner.project,
            )
        };
        child_actions::insert_actions(conn, std::slice::from_ref(&action), "").await?;
        diesel::insert_into(recoveries::table)
            .values((
                recoveries::cluster_id.eq(request.cluster.0),
                recoveries::node_id.eq(request.node.0),
                recoveries::action_id.eq(action.id.0),
                recoveries::reason.eq(&request.reason),
            ))
            .run(conn)
            .await?;
        Ok(Begun::Yes(action.id))
    })
    .await
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = nodes, check_for_backend(diesel::pg::Pg))]
struct OwnerRow {
    #[diesel(deserialize_as = MaybeId)]
    host_id: Option<NodeId>,
    #[diesel(select_expression = clusters::timeout)]
    timeout: i32,
    #[diesel(select_expression = clusters::user_id)]
    user_id: String,
    #[diesel(select_expression = clusters::project)]
    project: String,
}

/// How often the node was recovered lately, how often members of its cluster
/// were in the window, and the seconds since it was last.
async fn lately(conn: &mut Conn, request: &RecoveryRequest) -> Result<(i64, i64, Option<i64>)> {
    const LATELY: f64 = 600.0;
    #[expect(clippy::cast_precision_loss, reason = "seconds of a window fit a double")]
    let window = request.window as f64;
    let since = |seconds: f64| recoveries::begun_at.gt(now.into_sql::<Timestamptz>() - seconds.seconds());
    let of_node = recoveries::node_id.eq(request.node.0).and(since(LATELY));
    let last = sql::<Nullable<BigInt>>("extract(epoch FROM now() - max(begun_at) FILTER (WHERE node_id = ")
        .bind::<SqlUuid, _>(request.node.0)
        .sql("))::bigint");
    let counts = recoveries::table
        .filter(recoveries::cluster_id.eq(request.cluster.0))
        .filter(since(window.max(LATELY)))
        .select((
            count(recoveries::id).aggregate_filter(of_node),
            count(recoveries::id).aggregate_filter(since(window)),
            last,
        ))
        .fetch_optional(conn)
        .await?;
    Ok(counts.unwrap_or_default())
}

/// A recovery that does not happen is told once per change of why. `unknown`:
/// nobody knows what became of the container.
pub async fn hold_back(conn: &mut Conn, node: NodeId, reason: &str, unknown: bool) -> Result<()> {
    hold_back_recovery(conn, node, reason, unknown).await
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_crash_loop_waits_longer_each_time() {
        let pauses: Vec<i64> = (0..9).map(super::pause).collect();
        assert_eq!(pauses, [0, 0, 10, 20, 40, 80, 160, 300, 300]);
    }
}

//! Actions that wait for something outside without a worker: a container that
//! has to run for a while, a host that has to come back.

use diesel::{
    dsl::{now, sql},
    prelude::*,
    sql_types::Text,
};
use senlin_core::{Map, action::ActionStatus, ids::NodeId};

use crate::{Conn, Result, fence::Fence, run::Run, schema::actions, statements::delay_action::delay_action};

/// The phase in which a new container is given its time to run.
pub const SETTLING: &str = "settling";

/// How an action waits.
#[derive(Debug, Clone)]
pub struct Wait<'a> {
    /// The phase it goes on in; none leaves it where it is.
    pub phase: Option<&'a str>,
    /// Seconds.
    pub delay: f64,
    /// What it waits for, for users.
    pub reason: &'a str,
    /// What it keeps meanwhile.
    pub data: &'a Map,
    /// What its node has from now on, although it does not count yet.
    pub physical_id: Option<&'a str>,
}

/// Hands an action back for a while: it keeps its locks, no worker waits, and
/// nothing is counted against it. The first wait for a reason is told.
///
/// # Errors
/// [`crate::DbError::LeaseLost`] when it is no longer ours.
pub async fn wait(conn: &mut Conn, fence: Fence, wait: &Wait<'_>) -> Result<()> {
    delay_action(conn, fence, wait).await
}

/// Something has happened to a node's container: an action that gives it time
/// to run looks now. True when there is one.
pub async fn look_now(conn: &mut Conn, node: NodeId) -> Result<bool> {
    let touched = diesel::update(actions::table)
        .filter(actions::target.eq(node.0))
        .filter(actions::status.eq(ActionStatus::Ready.as_str()))
        .filter(actions::phase.eq(SETTLING))
        .filter(actions::run_after.gt(now))
        .set(actions::run_after.eq(now))
        .run(conn)
        .await?;
    Ok(touched > 0)
}

diesel::alias! {
    const WAITING: Alias<Waiting> = actions as waiting;
}

/// A host answers again: what waits for it, or for any host, is tried now.
pub async fn host_is_back(conn: &mut Conn, host: NodeId) -> Result<bool> {
    let of_host = WAITING.field(actions::host_id).eq(host.0);
    let failed = WAITING.field(actions::retries).gt(0);
    let told = WAITING.field(actions::data).retrieve_as_text("waits_for").is_not_null();
    // In order, and past those that somebody else holds.
    let waiting = WAITING
        .filter(WAITING.field(actions::status).eq(sql::<Text>("'READY'")))
        .filter(WAITING.field(actions::run_after).gt(now))
        .filter(of_host.and(failed).or(told))
        .filter(WAITING.field(actions::phase).ne(SETTLING))
        .select(WAITING.field(actions::id))
        .order(WAITING.field(actions::id))
        .for_update()
        .skip_locked();
    let touched = diesel::update(actions::table.filter(actions::id.eq_any(waiting)))
        .set(actions::run_after.eq(now))
        .run(conn)
        .await?;
    Ok(touched > 0)
}

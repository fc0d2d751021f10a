//! Actions that wait for something outside without a worker: a container that
//! has to run for a while, a host that has to come back.

use senlin_core::{Map, ids::NodeId};

use crate::{
    Conn, Result,
    events::Record,
    fence::{self, FENCED, Fence, Fenced},
    queue::end,
    run::Run,
    sql::Sql,
};

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
    let touched = Sql::new("WITH before AS (SELECT a.id, a.data->>'waits_for' AS reason FROM actions a WHERE")
        .push(FENCED)
        .push(
            "FOR UPDATE),
        back AS (
            UPDATE actions a SET status = 'READY', owner = NULL, lease_expires_at = NULL,
                phase = coalesce(:phase, a.phase), status_reason = :reason, updated_at = now(),
                retries = CASE WHEN :phase IS NULL THEN a.retries ELSE 0 END,
                data = a.data - CASE WHEN :phase IS NULL THEN '{}' ELSE '{failing_since}' END::text[]
                    || :data || jsonb_build_object('waits_for', :reason),
                run_after = ",
        )
        .push(&end::due(":delay"))
        .push(
            "
            FROM before b WHERE a.id = b.id
            RETURNING a.*, b.reason AS before),
        node AS (UPDATE nodes n SET physical_id = :physical_id FROM back
            WHERE n.id = back.target AND :physical_id IS NOT NULL),
        told AS (",
        )
        .push(
            &Record {
                from: "back WHERE before IS DISTINCT FROM status_reason",
                status: "'wait'",
                ..Record::ACTION
            }
            .of_actions(),
        )
        .push(") SELECT id FROM back")
        .fence(fence)
        .set("phase", wait.phase)
        .set("reason", wait.reason)
        .set("data", wait.data)
        .set("delay", wait.delay)
        .set("physical_id", wait.physical_id)
        .run(conn)
        .await?;
    fence::ours(touched)
}

/// Something has happened to a node's container: an action that gives it time
/// to run looks now. True when there is one.
///
/// # Errors
/// When the database does not answer.
pub async fn look_now(conn: &mut Conn, node: NodeId) -> Result<bool> {
    let touched = Sql::new(
        "UPDATE actions SET run_after = now() WHERE target = ? AND status = 'READY' AND phase = ? AND run_after > now()",
    )
    .bind(node)
    .bind(SETTLING)
    .run(conn)
    .await?;
    Ok(touched > 0)
}

/// A host answers again: what waits for it, or for any host, is tried now.
///
/// # Errors
/// When the database does not answer.
pub async fn host_is_back(conn: &mut Conn, host: NodeId) -> Result<bool> {
    let touched = Sql::new(
        "WITH waiting AS (
            SELECT id FROM actions WHERE status = 'READY' AND run_after > now()
                AND ((host_id = ? AND retries > 0) OR data->>'waits_for' IS NOT NULL) AND phase <> ?
            ORDER BY id FOR UPDATE SKIP LOCKED)
        UPDATE actions a SET run_after = now() FROM waiting w WHERE a.id = w.id",
    )
    .bind(host)
    .bind(SETTLING)
    .run(conn)
    .await?;
    Ok(touched > 0)
}

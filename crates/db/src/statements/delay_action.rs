//! Hands an action back to the queue to be claimed again later, with what its
//! node has from now on, if it is still ours. The first wait for a reason is
//! told: the reason that the action waited for before is read under its lock.

use crate::{
    Conn, Result,
    events::Record,
    fence::{self, FENCED, Fence, Fenced},
    queue::end,
    run::Run,
    settling::Wait,
    sql::Sql,
};

const BEFORE: &str = "
WITH before AS (SELECT a.id, a.data->>'waits_for' AS reason FROM actions a WHERE";

const BACK: &str = "FOR UPDATE),
back AS (
    UPDATE actions a SET status = 'READY', owner = NULL, lease_expires_at = NULL,
        phase = coalesce(:phase, a.phase), status_reason = :reason, updated_at = now(),
        retries = CASE WHEN :phase IS NULL THEN a.retries ELSE 0 END,
        data = a.data - CASE WHEN :phase IS NULL THEN '{}' ELSE '{failing_since}' END::text[]
            || :data || jsonb_build_object('waits_for', :reason),
        run_after = ";

const NODE: &str = "
    FROM before b WHERE a.id = b.id
    RETURNING a.*, b.reason AS before),
node AS (UPDATE nodes n SET physical_id = :physical_id FROM back
    WHERE n.id = back.target AND :physical_id IS NOT NULL),
told AS (";

pub(crate) async fn delay_action(conn: &mut Conn, fence: Fence, wait: &Wait<'_>) -> Result<()> {
    let told = Record {
        from: "back WHERE before IS DISTINCT FROM status_reason",
        status: "'wait'",
        ..Record::ACTION
    };
    let touched = Sql::new(BEFORE)
        .push(FENCED)
        .push(BACK)
        .push(&end::due(":delay"))
        .push(NODE)
        .push(&told.of_actions())
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

//! Every action that nobody answered in time, or that is to end, goes on, and
//! events say so: all or none. One that somebody else holds is left to them.

use diesel::sql_types::Uuid as SqlUuid;
use uuid::Uuid;

use super::answer_hook::told;
use crate::{
    Conn, Result,
    run::Run,
    sql::{Sql, row},
};

row! { IdRow { id: Uuid = SqlUuid } }

/// The actions that go on.
pub(crate) async fn time_out_hooks(conn: &mut Conn) -> Result<Vec<IdRow>> {
    Sql::new(
        "WITH due AS (
            SELECT id FROM actions
            WHERE status = 'WAITING_LIFECYCLE_COMPLETION' AND (run_after <= now() OR control IS NOT NULL)
            ORDER BY id FOR UPDATE SKIP LOCKED),
        answered AS (
            UPDATE actions a SET status = 'READY', run_after = now(), updated_at = now(),
                status_reason = CASE WHEN control IS NULL
                    THEN 'No answer to the lifecycle hook within ' || coalesce(data->'hook'->>'timeout', '0') || ' s.'
                    ELSE 'Its end was asked for while the lifecycle hook was open.' END
            FROM due WHERE a.id = due.id RETURNING a.*)",
    )
    .push(&told())
    .fetch_all(conn)
    .await
}

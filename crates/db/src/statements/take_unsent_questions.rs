//! Each question that nobody has sent is taken by one engine alone, which
//! learns in the same step whom it is about.

use diesel::sql_types::{Jsonb, Nullable, Text, Uuid as SqlUuid};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    Conn, Result,
    run::Run,
    sql::{Sql, row},
};

row! { QuestionRow {
    id: Uuid = SqlUuid,
    node_id: Uuid = SqlUuid,
    node_name: String = Text,
    physical_id: Option<String> = Nullable<Text>,
    cluster_id: Option<Uuid> = Nullable<SqlUuid>,
    project: String = Text,
    hook: Value = Jsonb,
}}

/// Up to `most` questions; nobody else takes them for `again` seconds.
pub(crate) async fn take_unsent_questions(conn: &mut Conn, most: i64, again: f64) -> Result<Vec<QuestionRow>> {
    Sql::new(
        "WITH due AS (
            SELECT id FROM actions WHERE status = 'WAITING_LIFECYCLE_COMPLETION' AND data->'hook'->'sent_at' IS NULL
                AND coalesce((data->'hook'->>'try_at')::timestamptz, 'epoch') <= now()
            ORDER BY seq LIMIT :most FOR UPDATE SKIP LOCKED),
        taken AS (
            UPDATE actions a SET data = jsonb_set(a.data, '{hook,try_at}',
                to_jsonb(now() + make_interval(secs => :again))) FROM due WHERE a.id = due.id RETURNING a.*)
        SELECT t.id, t.target AS node_id, t.target_name AS node_name, n.physical_id, t.cluster_id, t.project,
            t.data->'hook' AS hook
        FROM taken t LEFT JOIN nodes n ON n.id = t.target",
    )
    .set("most", most)
    .set("again", again)
    .fetch_all(conn)
    .await
}

//! Each due binding is taken by one engine alone, which learns in the same step
//! what the policy says.

use diesel::sql_types::{Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use senlin_core::Time;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    Conn, Result,
    run::Run,
    sql::{Sql, row},
};

row! { DueRow {
    id: Uuid = SqlUuid,
    cluster_id: Uuid = SqlUuid,
    policy_name: String = Text,
    policy_type: String = Text,
    last_op: Option<Time> = Nullable<Timestamptz>,
    properties: Value = Jsonb,
    memory: Value = Jsonb,
    now: Time = Timestamptz,
}}

/// Up to `most` bindings of any version of a policy type; nobody else takes
/// them for `hold` seconds.
pub(crate) async fn take_due_bindings(conn: &mut Conn, type_name: &str, hold: f64, most: i64) -> Result<Vec<DueRow>> {
    Sql::new(
        "WITH due AS (
            SELECT b.id FROM cluster_policies b JOIN policies p ON p.id = b.policy_id
            WHERE b.enabled AND b.due_at <= now() AND p.type LIKE :type || '-%'
            ORDER BY b.due_at LIMIT :most FOR UPDATE OF b SKIP LOCKED)
        UPDATE cluster_policies b SET due_at = now() + make_interval(secs => :hold) FROM due, policies p
        WHERE b.id = due.id AND p.id = b.policy_id
        RETURNING b.id, b.cluster_id, p.name AS policy_name, p.type AS policy_type, b.last_op,
            p.spec->'properties' AS properties, b.memory, now() AS now",
    )
    .set("type", type_name)
    .set("most", most)
    .set("hold", hold)
    .fetch_all(conn)
    .await
}

//! Each delivery comes with how the action that it led to stands, whether that
//! has ended long ago or not.

use diesel::sql_types::{Nullable, Text, Timestamptz, Uuid as SqlUuid};
use senlin_core::{Time, ids::*};
use uuid::Uuid;

use crate::{
    Conn, Result,
    history::all_actions,
    run::Run,
    sql::{Sql, row},
};

row! { DeliveryRow {
    received_at: Time = Timestamptz,
    alert: String = Text,
    state: String = Text,
    outcome: String = Text,
    reason: String = Text,
    action_id: Option<Uuid> = Nullable<SqlUuid>,
    action_status: Option<String> = Nullable<Text>,
    action_reason: Option<String> = Nullable<Text>,
}}

/// The last `most` deliveries of a receiver, newest first.
pub(crate) async fn list_deliveries(conn: &mut Conn, receiver: ReceiverId, most: i64) -> Result<Vec<DeliveryRow>> {
    Sql::new(concat!(
        "SELECT d.received_at, d.alert, d.state, d.outcome, d.reason, d.action_id, a.status AS action_status,
            a.status_reason AS action_reason
        FROM deliveries d LEFT JOIN ",
        all_actions!(),
        " a ON a.id = d.action_id
        WHERE d.receiver_id = :receiver ORDER BY d.received_at DESC, d.id LIMIT :most",
    ))
    .set("receiver", receiver)
    .set("most", most)
    .fetch_all(conn)
    .await
}

//! Services: the processes that are running.

use diesel::sql_types::{Bool, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use senlin_core::{Time, ids::ServiceId, service::Service};
use uuid::Uuid;

use crate::{
    Conn, Result,
    run::Run,
    sql::{Sql, row},
};

row! { ServiceRow {
    id: Uuid = SqlUuid,
    host: String = Text,
    binary: String = Text,
    topic: String = Text,
    disabled: bool = Bool,
    disabled_reason: Option<String> = Nullable<Text>,
    up: bool = Bool,
    created_at: Time = Timestamptz,
    updated_at: Time = Timestamptz,
}}

/// Announces a process.
///
/// # Errors
/// When the database does not answer.
pub async fn register(conn: &mut Conn, id: ServiceId, host: &str, binary: &str, topic: &str) -> Result<()> {
    Sql::new(
        "INSERT INTO services (id, host, \"binary\", topic) VALUES (?, ?, ?, ?)
        ON CONFLICT (id) DO UPDATE SET updated_at = now()",
    )
    .bind(id)
    .bind(host)
    .bind(binary)
    .bind(topic)
    .run(conn)
    .await?;
    Ok(())
}

/// A process has ended in good order.
///
/// # Errors
/// When the database does not answer.
pub async fn unregister(conn: &mut Conn, id: ServiceId) -> Result<()> {
    Sql::new("DELETE FROM services WHERE id = ?").bind(id).run(conn).await?;
    Ok(())
}

/// Forgets processes that have been silent for `age` seconds.
///
/// # Errors
/// When the database does not answer.
pub async fn forget_silent(conn: &mut Conn, age: f64) -> Result<usize> {
    Sql::new("DELETE FROM services WHERE updated_at < now() - make_interval(secs => ?)")
        .bind(age)
        .run(conn)
        .await
}

/// Every process; `down_after` seconds of silence make one `down`.
///
/// # Errors
/// When the database does not answer.
pub async fn list(conn: &mut Conn, down_after: f64) -> Result<Vec<Service>> {
    let rows: Vec<ServiceRow> = Sql::new(
        "SELECT id, host, \"binary\", topic, disabled, disabled_reason, created_at, updated_at,
            updated_at >= now() - make_interval(secs => ?) AS up
        FROM services ORDER BY \"binary\", host, id",
    )
    .bind(down_after)
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| Service {
            id: r.id.into(),
            host: r.host,
            binary: r.binary,
            topic: r.topic,
            disabled: r.disabled,
            disabled_reason: r.disabled_reason,
            up: r.up,
            created_at: r.created_at,
            updated_at: r.updated_at,
        })
        .collect())
}

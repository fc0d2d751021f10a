//! Services: the processes that are running.

use diesel::{
    dsl::{IntervalDsl, now},
    prelude::*,
    sql_types::Timestamptz,
};
use senlin_core::{Time, ids::ServiceId, service::Service};
use uuid::Uuid;

use crate::{Conn, Result, run::Run, schema::services};

#[derive(Queryable, Selectable)]
#[diesel(table_name = services, check_for_backend(diesel::pg::Pg))]
struct ServiceRow {
    #[diesel(deserialize_as = Uuid)]
    id: ServiceId,
    host: String,
    binary: String,
    topic: String,
    disabled: bool,
    disabled_reason: Option<String>,
    created_at: Time,
    updated_at: Time,
}

/// Announces a process.
pub async fn register(conn: &mut Conn, id: ServiceId, host: &str, binary: &str, topic: &str) -> Result<()> {
    diesel::insert_into(services::table)
        .values((
            services::id.eq(id.0),
            services::host.eq(host),
            services::binary.eq(binary),
            services::topic.eq(topic),
        ))
        .on_conflict(services::id)
        .do_update()
        .set(services::updated_at.eq(now))
        .run(conn)
        .await?;
    Ok(())
}

/// A process has ended in good order.
pub async fn unregister(conn: &mut Conn, id: ServiceId) -> Result<()> {
    diesel::delete(services::table.find(id.0)).run(conn).await?;
    Ok(())
}

/// Forgets processes that have been silent for `age` seconds.
pub async fn forget_silent(conn: &mut Conn, age: f64) -> Result<usize> {
    let since = now.into_sql::<Timestamptz>() - age.seconds();
    let silent = services::table.filter(services::updated_at.lt(since));
    diesel::delete(silent).run(conn).await
}

/// Every process; `down_after` seconds of silence make one `down`.
pub async fn list(conn: &mut Conn, down_after: f64) -> Result<Vec<Service>> {
    let since = now.into_sql::<Timestamptz>() - down_after.seconds();
    let rows: Vec<(ServiceRow, bool)> = services::table
        .order((services::binary, services::host, services::id))
        .select((ServiceRow::as_select(), services::updated_at.ge(since)))
        .fetch_all(conn)
        .await?;
    Ok(rows
        .into_iter()
        .map(|(row, up)| Service {
            id: row.id,
            host: row.host,
            binary: row.binary,
            topic: row.topic,
            disabled: row.disabled,
            disabled_reason: row.disabled_reason,
            up,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
        .collect())
}

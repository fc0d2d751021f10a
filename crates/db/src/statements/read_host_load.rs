//! The clock is read by the statement that reads the last measure, and whether
//! there is one or not.

use diesel::sql_types::{Double, Jsonb, Nullable, Timestamptz};
use senlin_core::{Time, ids::*};
use serde_json::Value;

use crate::{
    Conn, Result,
    run::Run,
    sql::{Sql, row},
};

row! { LastRow {
    measured_at: Option<Time> = Nullable<Timestamptz>,
    cpu: Option<f64> = Nullable<Double>,
    memory: Option<f64> = Nullable<Double>,
    sample: Option<Value> = Nullable<Jsonb>,
    now: Time = Timestamptz,
}}

/// Now, and a host's last measure; there is always a row.
pub(crate) async fn read_host_load(conn: &mut Conn, host: NodeId) -> Result<Option<LastRow>> {
    Sql::new(
        "SELECT l.measured_at, l.cpu, l.memory, l.sample, t.now FROM (SELECT clock_timestamp() AS now) t
            LEFT JOIN host_loads l ON l.host_id = :host",
    )
    .set("host", host)
    .fetch_optional(conn)
    .await
}

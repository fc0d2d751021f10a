//! The partitions of a table as the catalog has them, which alone knows their
//! bounds: those that are old are so by the database's clock.

use diesel::sql_types::{Bool, Nullable, Text, Timestamptz};
use senlin_core::Time;

use crate::{
    Conn, Result,
    run::Run,
    sql::{Sql, row},
};

row! {
    /// A partition.
    PartitionRow {
        // As a statement names it.
        name: String = Text,
        // The one for the rest has no end.
        until: Option<Time> = Nullable<Timestamptz>,
        old: bool = Bool,
    }
}

/// By their ends. `old`: all in it is older than so many days.
pub(crate) async fn list_partitions(conn: &mut Conn, table: &str, days: i32) -> Result<Vec<PartitionRow>> {
    Sql::new(
        "SELECT name, until, coalesce(until <= now() - make_interval(days => :days), false) AS old FROM (
            SELECT format('%I', c.relname) AS name,
                substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \\(''([^'']+)''\\)')::timestamptz AS until
            FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
            WHERE i.inhparent = to_regclass(:table)) AS bounds
        ORDER BY until",
    )
    .set("days", days)
    .set("table", table)
    .fetch_all(conn)
    .await
}

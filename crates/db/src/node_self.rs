//! What a container's own process writes of its node.

use diesel::sql_types::{Nullable, Timestamptz};
use senlin_core::{Time, ids::NodeId};

use crate::{
    Conn, Result,
    events::Record,
    run::Run,
    sql::{Sql, row},
};

row! { UntilRow { until: Option<Time> = Nullable<Timestamptz> } }

/// Until when a node does not go when its cluster scales in.
///
/// # Errors
/// When the database does not answer.
pub async fn protected_until(conn: &mut Conn, node: NodeId) -> Result<Option<Time>> {
    let row: Option<UntilRow> =
        Sql::new("SELECT CASE WHEN protected_until > now() THEN protected_until END AS until FROM nodes WHERE id = ?")
            .bind(node)
            .fetch_optional(conn)
            .await?;
    Ok(row.and_then(|r| r.until))
}

/// Protects a node for so many seconds from now; 0 ends it.
///
/// # Errors
/// When the database does not answer.
pub async fn protect(conn: &mut Conn, node: NodeId, seconds: f64) -> Result<Option<Time>> {
    let row: Option<UntilRow> = Sql::new(
        "UPDATE nodes SET protected_until = CASE WHEN ? > 0 THEN now() + make_interval(secs => ?) END
        WHERE id = ? RETURNING protected_until AS until",
    )
    .bind(seconds)
    .bind(seconds)
    .bind(node)
    .fetch_optional(conn)
    .await?;
    Ok(row.and_then(|r| r.until))
}

/// An event that a node's process reports.
///
/// # Errors
/// When the database does not answer.
pub async fn report(conn: &mut Conn, node: NodeId, level: &str, message: &str) -> Result<()> {
    let reported = Record {
        from: "nodes WHERE id = ?",
        level: "?",
        action: "'NODE_REPORT'",
        status: "'reported'",
        reason: "?",
    };
    Sql::new(reported.of_nodes())
        .bind(level)
        .bind(message)
        .bind(node)
        .run(conn)
        .await?;
    Ok(())
}

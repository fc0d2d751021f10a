//! What a container's own process writes of its node.

use diesel::{
    dsl::{IntervalDsl, now},
    prelude::*,
    sql_types::{Nullable, Text, Timestamptz},
};
use senlin_core::{Time, ids::NodeId};

use crate::{
    Conn, Result,
    run::Run,
    schema::{events, nodes},
};

/// Until when a node does not go when its cluster scales in.
pub async fn protected_until(conn: &mut Conn, node: NodeId) -> Result<Option<Time>> {
    let protected = nodes::table.find(node.0).filter(nodes::protected_until.gt(now));
    let until: Option<Option<Time>> = protected.select(nodes::protected_until).fetch_optional(conn).await?;
    Ok(until.flatten())
}

/// Protects a node for so many seconds from now; 0 ends it.
pub async fn protect(conn: &mut Conn, node: NodeId, seconds: f64) -> Result<Option<Time>> {
    // Now and no interval is null.
    let span = (seconds > 0.0).then(|| seconds.seconds());
    let until: Option<Option<Time>> = diesel::update(nodes::table.find(node.0))
        .set(nodes::protected_until.eq(now.into_sql::<Nullable<Timestamptz>>() + span))
        .returning(nodes::protected_until)
        .fetch_optional(conn)
        .await?;
    Ok(until.flatten())
}

/// An event that a node's process reports.
pub async fn report(conn: &mut Conn, node: NodeId, level: &str, message: &str) -> Result<()> {
    nodes::table
        .find(node.0)
        .select((
            nodes::id,
            nodes::name,
            "NODE".into_sql::<Text>(),
            nodes::cluster_id,
            level.into_sql::<Text>(),
            nodes::user_id,
            nodes::project,
            "NODE_REPORT".into_sql::<Text>(),
            "reported".into_sql::<Text>(),
            message.into_sql::<Text>(),
        ))
        .insert_into(events::table)
        .into_columns((
            events::oid,
            events::oname,
            events::otype,
            events::cluster_id,
            events::level,
            events::user_id,
            events::project,
            events::action,
            events::status,
            events::status_reason,
        ))
        .run(conn)
        .await?;
    Ok(())
}

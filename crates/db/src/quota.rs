//! What a project may have, counted in the transaction that adds to it.
//!
//! Requests of one project take turns (an advisory lock), so that no two of
//! them see the same last free place.

use diesel::{
    prelude::*,
    sql_types::{Integer, Text},
    upsert::excluded,
};
use senlin_core::ids::*;

use crate::{
    Conn, Result,
    run::Run,
    schema::promised_sizes,
    statements::count_nodes_of_project::{Count, count_nodes_of_project},
};

/// The first number of the locks of projects' turns; the second is the project's.
const TURNS: i32 = 7307;

diesel::define_sql_function! {
    /// A number for a text.
    fn hashtext(text: Text) -> Integer
}

diesel::define_sql_function! {
    /// Waits for a lock that lasts until the transaction ends.
    fn pg_advisory_xact_lock(of: Integer, which: Integer)
}

/// What a request adds to the nodes of a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Growth {
    /// So many nodes.
    By(i32),
    /// Those that bring this cluster to so many.
    To(ClusterId, i32),
}

/// There is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full {
    /// Nodes that the project has, or has been promised.
    pub have: i64,
    /// Nodes that are asked for beyond those.
    pub more: i64,
}

/// Waits for this project's turn, which lasts until the transaction ends.
pub(crate) async fn turn(conn: &mut Conn, project: &str) -> Result<()> {
    let turn = diesel::select(pg_advisory_xact_lock(TURNS, hashtext(project)));
    turn.run(conn).await?;
    Ok(())
}

/// Says when a project would have more than `most` nodes. A cluster counts
/// with the greatest of its members, of what is desired, and of what an action
/// that has not ended will bring it to.
///
/// What it says holds for the transaction whose `turn` it is; outside of one
/// it is what a request would be told now.
pub async fn nodes(conn: &mut Conn, project: &str, growth: Growth, most: i64) -> Result<Option<Full>> {
    let cluster = match growth {
        Growth::By(more) if more <= 0 => return Ok(None),
        Growth::By(_) => None,
        Growth::To(cluster, _) => Some(cluster),
    };
    let Count { have, own } = count_nodes_of_project(conn, project, cluster).await?;
    let more = match growth {
        Growth::By(more) => i64::from(more),
        Growth::To(_, size) => i64::from(size) - own,
    };
    Ok((more > 0 && have.saturating_add(more) > most).then_some(Full { have, more }))
}

/// Notes the size that an action brings a cluster to.
pub(crate) async fn promise(conn: &mut Conn, cluster: ClusterId, action: ActionId, size: i32) -> Result<()> {
    diesel::insert_into(promised_sizes::table)
        .values((
            promised_sizes::cluster_id.eq(cluster.0),
            promised_sizes::action_id.eq(action.0),
            promised_sizes::size.eq(size.max(0)),
        ))
        .on_conflict(promised_sizes::cluster_id)
        .do_update()
        .set((
            promised_sizes::action_id.eq(excluded(promised_sizes::action_id)),
            promised_sizes::size.eq(excluded(promised_sizes::size)),
        ))
        .run(conn)
        .await?;
    Ok(())
}

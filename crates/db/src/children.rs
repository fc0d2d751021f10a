//! The children of a parent action.

use diesel::prelude::*;
use senlin_core::{action::ActionStatus, ids::*};
use uuid::Uuid;

use crate::{Conn, Result, run::Run, schema::actions, sql::Sql, statements::ask_end::ask_end, stored::Word};

/// How one child ended.
#[derive(Debug, Clone)]
pub struct ChildEnd {
    /// The node it was for.
    pub target: Uuid,
    /// That node's name then.
    pub name: String,
    /// How.
    pub status: ActionStatus,
    /// Why.
    pub reason: String,
}

/// How the children of a parent's phase ended, and those that have not.
pub async fn ends(conn: &mut Conn, parent: ActionId, phase: &str) -> Result<Vec<ChildEnd>> {
    let rows: Vec<(Uuid, String, Word<ActionStatus>, String)> = actions::table
        .filter(actions::parent_id.eq(parent.0))
        .filter(actions::data.retrieve_as_text("phase").eq(phase))
        .order(actions::seq)
        .select((
            actions::target,
            actions::target_name,
            actions::status,
            actions::status_reason,
        ))
        .fetch_all(conn)
        .await?;
    let ended = |(target, name, Word(status), reason)| ChildEnd {
        target,
        name,
        status,
        reason,
    };
    Ok(rows.into_iter().map(ended).collect())
}

/// Asks for the end of every unfinished descendant; one that never began ends
/// at once.
pub async fn cancel(conn: &mut Conn, parent: ActionId) -> Result<()> {
    ask_end(conn, Sql::new("parent_id = :parent").set("parent", parent)).await?;
    Ok(())
}

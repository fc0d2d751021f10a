//! The children of a parent action.

use diesel::sql_types::{Text, Uuid as SqlUuid};
use senlin_core::{action::ActionStatus, ids::*};
use uuid::Uuid;

use crate::{
    Conn, DbError, Result, actions,
    run::Run,
    sql::{Sql, row},
};

row! { ChildRow {
    status: String = Text,
    target: Uuid = SqlUuid,
    target_name: String = Text,
    status_reason: String = Text,
}}

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
///
/// # Errors
/// When the database does not answer.
pub async fn ends(conn: &mut Conn, parent: ActionId, phase: &str) -> Result<Vec<ChildEnd>> {
    let rows: Vec<ChildRow> = Sql::new(
        "SELECT status, target, target_name, status_reason FROM actions
        WHERE parent_id = ? AND data->>'phase' = ? ORDER BY seq",
    )
    .bind(parent)
    .bind(phase)
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|r| {
            Ok(ChildEnd {
                target: r.target,
                name: r.target_name,
                status: ActionStatus::parse(&r.status).ok_or(DbError::Corrupt {
                    column: "actions.status",
                    value: r.status,
                })?,
                reason: r.status_reason,
            })
        })
        .collect()
}

/// Asks for the end of every unfinished descendant; one that never began ends
/// at once.
///
/// # Errors
/// When the database does not answer.
pub async fn cancel(conn: &mut Conn, parent: ActionId) -> Result<()> {
    actions::ask(conn, "parent_id = ?", &[parent.0]).await?;
    Ok(())
}

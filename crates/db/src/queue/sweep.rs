//! The sweep: what a lost message, a lost engine or a lost moment left behind.

use diesel::{
    dsl::{exists, now, sql},
    prelude::*,
    sql_types::Bool,
};
use senlin_core::ids::*;

use super::promote;
use crate::{
    Conn, Result, hooks,
    run::Run,
    schema::actions,
    statements::{
        end_hopeless::end_hopeless,
        release_claims::{Stray, release_claims},
        wake_parents::wake_parents,
    },
};

/// What the sweep found and set right.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Swept {
    /// Leases that had run out: READY again.
    pub expired: Vec<ActionId>,
    /// Parents whose children are all done, or whose time is up: READY again.
    pub promoted: Vec<ActionId>,
    /// Actions that are READY and may run now.
    pub ready: bool,
}

/// Finds what a lost message, a lost engine or a lost moment left behind. What
/// another statement is at work on is left to it, or to the next sweep.
pub async fn sweep(conn: &mut Conn) -> Result<Swept> {
    let expired = release_claims(conn, Stray::Expired, "The engine that worked on it went silent.").await?;
    hooks::time_out(conn).await?;
    let parents = end_hopeless(conn).await?;
    let mut promoted = promote(conn, &parents).await?;
    promoted.extend(wake_parents(conn).await?);
    Ok(Swept {
        expired,
        promoted,
        ready: is_ready(conn).await?,
    })
}

/// Whether any action may run now.
async fn is_ready(conn: &mut Conn) -> Result<bool> {
    // The word stands in the text: there is an index of READY actions alone.
    let ready = actions::table
        .filter(sql::<Bool>("status = 'READY'"))
        .filter(actions::run_after.le(now));
    let found: Option<bool> = diesel::select(exists(ready)).fetch_optional(conn).await?;
    Ok(found.unwrap_or_default())
}

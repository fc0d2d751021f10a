//! History: actions that have ended lie apart from those that have not, and
//! what is old goes by the partition.
//!
//! An action is in `actions` until a while after its end, then in
//! `ended_actions`: in one of the two, never in both. Whoever wants either
//! reads from `all_actions!`. Ended actions, events, deliveries and recoveries
//! are in partitions of a week each.

use std::time::Duration;

use diesel::dsl::now;
use senlin_core::Time;

use crate::{
    Conn, DbError, Result,
    functions::{add_partition, pg_try_advisory_xact_lock, set_config, week_end},
    run::Run,
    sql::Sql,
    statements::{list_partitions::list_partitions, move_ended},
};

/// The columns of an action that outlive its end; both tables have them.
macro_rules! columns {
    () => {
        "id, name, action, target, cluster_id, parent_id, cause, status, status_reason, phase, control, inputs, \
         outputs, data, owner, attempt, retries, \"interval\", timeout, user_id, project, request_id, created_at, \
         updated_at, started_at, ended_at"
    };
}

/// Every action, ended long ago or not: to be used like a table.
macro_rules! all_actions {
    () => {
        concat!(
            "(SELECT ",
            crate::history::columns!(),
            " FROM actions UNION ALL SELECT ",
            crate::history::columns!(),
            " FROM ended_actions)"
        )
    };
}
pub(crate) use {all_actions, columns};

/// What a partition holds.
const WEEK: Duration = Duration::from_secs(7 * 86_400);

/// Weeks for which there is a partition beforehand. Should nobody make one in
/// time, rows go to the partition for the rest until somebody does.
const AHEAD: u32 = 2;

/// A table in partitions of a week each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partitioned {
    /// Its name.
    pub table: &'static str,
    /// The column that it is partitioned by.
    key: &'static str,
}

/// All of them.
pub const TABLES: [Partitioned; 4] = [
    Partitioned {
        table: "ended_actions",
        key: "created_at",
    },
    Partitioned {
        table: "events",
        key: "timestamp",
    },
    Partitioned {
        table: "deliveries",
        key: "received_at",
    },
    Partitioned {
        table: "recoveries",
        key: "begun_at",
    },
];

/// Whether this transaction alone looks after the history: no other engine
/// does. It waits for no lock for long.
async fn alone(conn: &mut Conn) -> Result<bool> {
    let row: Option<(String, bool)> = diesel::select((
        set_config("lock_timeout", "500ms", true),
        pg_try_advisory_xact_lock(7307),
    ))
    .fetch_optional(conn)
    .await?;
    Ok(row.is_some_and(|(_, locked)| locked))
}

/// Moves up to `most` actions that ended more than `settle` seconds ago to
/// `ended_actions`, oldest end first; those recorded more than `days` days ago
/// are dropped on the way. Children go before their parent, and not before it
/// has ended: until then it reads how they ended. A creation that failed stays
/// as long as placement counts it against its host. Says how many have left;
/// none when another engine is at it.
pub async fn move_ended(conn: &mut Conn, settle: f64, days: i32, most: i64) -> Result<Option<i64>> {
    conn.transaction(async |conn| {
        if !alone(conn).await? {
            return Ok(None);
        }
        move_ended::move_ended(conn, settle, days, most).await.map(Some)
    })
    .await
}

/// What became of a table's partitions.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Turned {
    /// How many were made for the time to come.
    pub made: usize,
    /// The names of those that were dropped with all that was in them.
    pub dropped: Vec<String>,
}

/// Drops those partitions of a table of which everything is older than `days`
/// days, and makes the next ones. Nothing else waits for it for long: what
/// cannot be locked within half a second is an error, to be tried again later.
/// None when another engine is at it.
///
/// # Errors
/// When others hold the table.
pub async fn turn_over(conn: &mut Conn, of: Partitioned, days: i32) -> Result<Option<Turned>> {
    // Two transactions: one locks the whole first, the other a part.
    let dropped = conn
        .transaction(async |conn| {
            if !alone(conn).await? {
                return Ok(None);
            }
            let mut dropped = Vec::new();
            let there = list_partitions(conn, of.table, days).await?;
            for old in there.into_iter().filter(|p| p.old) {
                // The name comes from the catalog.
                Sql::new(format!("DROP TABLE {}", old.name)).run(conn).await?;
                dropped.push(old.name);
            }
            Ok::<_, DbError>(Some(dropped))
        })
        .await?;
    let Some(dropped) = dropped else {
        return Ok(None);
    };
    let made = conn
        .transaction(async |conn| {
            if !alone(conn).await? {
                return Ok(0);
            }
            let there = list_partitions(conn, of.table, days).await?;
            match there.iter().filter_map(|p| p.until).max() {
                Some(last) => extend(conn, of, last).await,
                None => Ok(0),
            }
        })
        .await?;
    Ok(Some(Turned { made, dropped }))
}

/// Makes the partitions that are missing from `last` on.
async fn extend(conn: &mut Conn, of: Partitioned, last: Time) -> Result<usize> {
    let this_week: Option<Time> = diesel::select(week_end(now)).fetch_optional(conn).await?;
    let latest = this_week.ok_or(diesel::result::Error::NotFound)? + WEEK * (AHEAD - 1);
    let (mut made, mut begins) = (0, last);
    while begins <= latest {
        let ends = begins + WEEK;
        diesel::select(add_partition(of.table, of.key, begins, ends))
            .run(conn)
            .await?;
        (made, begins) = (made + 1, ends);
    }
    Ok(made)
}

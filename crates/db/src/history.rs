//! History: actions that have ended lie apart from those that have not, and
//! what is old goes by the partition.
//!
//! An action is in `actions` until a while after its end, then in
//! `ended_actions`: in one of the two, never in both. Whoever wants either
//! reads from `all_actions!`. Ended actions, events, deliveries and recoveries
//! are in partitions of a week each.

use diesel::sql_types::{BigInt, Bool, Nullable, Text, Timestamptz};
use senlin_core::Time;

use crate::{
    Conn, DbError, Result,
    run::Run,
    sql::{Sql, row},
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

/// Weeks for which there is a partition beforehand. Should nobody make one in
/// time, rows go to the partition for the rest until somebody does.
const AHEAD: i32 = 2;

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

row! { DoneRow { done: bool = Bool } }
row! { MovedRow { moved: i64 = BigInt } }

/// Whether this transaction alone looks after the history: no other engine
/// does. It waits for no lock for long.
async fn alone(conn: &mut Conn) -> Result<bool> {
    Sql::new("SET LOCAL lock_timeout = '500ms'").run(conn).await?;
    let row: Option<DoneRow> = Sql::new("SELECT pg_try_advisory_xact_lock(7307) AS done")
        .fetch_optional(conn)
        .await?;
    Ok(row.is_some_and(|r| r.done))
}

/// Moves up to `most` actions that ended more than `settle` seconds ago to
/// `ended_actions`, oldest end first; those recorded more than `days` days ago
/// are dropped on the way. Children go before their parent, and not before it
/// has ended: until then it reads how they ended. A creation that failed stays
/// as long as placement counts it against its host. Says how many have left;
/// none when another engine is at it.
///
/// # Errors
/// When the database does not answer.
pub async fn move_ended(conn: &mut Conn, settle: f64, days: i32, most: i64) -> Result<Option<i64>> {
    conn.transaction(async |conn| {
        if !alone(conn).await? {
            return Ok(None);
        }
        let row: Option<MovedRow> = Sql::new(concat!(
            "WITH due AS MATERIALIZED (
                SELECT a.id FROM actions a
                WHERE a.ended_at < now() - make_interval(secs => ?)
                    AND NOT (a.status = 'FAILED' AND a.action = 'NODE_CREATE' AND a.host_id IS NOT NULL
                        AND a.ended_at > now() - interval '10 minutes')
                    AND NOT EXISTS (SELECT 1 FROM actions p WHERE p.id = a.parent_id
                        AND p.status NOT IN ('SUCCEEDED', 'FAILED', 'CANCELLED'))
                    AND NOT EXISTS (SELECT 1 FROM actions c WHERE c.parent_id = a.id)
                ORDER BY a.ended_at LIMIT ? FOR UPDATE SKIP LOCKED),
            gone AS (DELETE FROM actions a USING due WHERE a.id = due.id RETURNING a.*),
            kept AS (INSERT INTO ended_actions (",
            columns!(),
            ") SELECT ",
            columns!(),
            " FROM gone WHERE created_at >= now() - make_interval(days => ?))
            SELECT count(*) AS moved FROM gone"
        ))
        .bind(settle)
        .bind(most)
        .bind(days)
        .fetch_optional(conn)
        .await?;
        Ok(Some(row.map_or(0, |r| r.moved)))
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

row! { PartitionRow {
    name: String = Text,
    until: Option<Time> = Nullable<Timestamptz>,
    old: bool = Bool,
} }
row! { NextRow { begins: Time = Timestamptz, ends: Time = Timestamptz } }

/// Drops those partitions of a table of which everything is older than `days`
/// days, and makes the next ones. Nothing else waits for it for long: what
/// cannot be locked within half a second is an error, to be tried again later.
/// None when another engine is at it.
///
/// # Errors
/// When the database does not answer, or others hold the table.
pub async fn turn_over(conn: &mut Conn, of: Partitioned, days: i32) -> Result<Option<Turned>> {
    // Two transactions: one locks the whole first, the other a part.
    let dropped = conn
        .transaction(async |conn| {
            if !alone(conn).await? {
                return Ok(None);
            }
            let mut dropped = Vec::new();
            for old in partitions(conn, of, days).await?.into_iter().filter(|p| p.old) {
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
            let there = partitions(conn, of, days).await?;
            match there.iter().filter_map(|p| p.until).max() {
                Some(last) => extend(conn, of, last).await,
                None => Ok(0),
            }
        })
        .await?;
    Ok(Some(Turned { made, dropped }))
}

/// The partitions as the catalog has them; the one for the rest has no end.
async fn partitions(conn: &mut Conn, of: Partitioned, days: i32) -> Result<Vec<PartitionRow>> {
    Sql::new(
        "SELECT name, until, coalesce(until <= now() - make_interval(days => ?), false) AS old FROM (
            SELECT format('%I', c.relname) AS name,
                substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \\(''([^'']+)''\\)')::timestamptz AS until
            FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
            WHERE i.inhparent = to_regclass(?)) AS bounds
        ORDER BY until",
    )
    .bind(days)
    .bind(of.table)
    .fetch_all(conn)
    .await
}

/// Makes the partitions that are missing from `last` on.
async fn extend(conn: &mut Conn, of: Partitioned, last: Time) -> Result<usize> {
    let missing: Vec<NextRow> = Sql::new(
        "SELECT begins, begins + interval '168 hours' AS ends FROM generate_series(?::timestamptz,
            week_end(now()) + make_interval(hours => 168 * (? - 1)), interval '168 hours') AS begins",
    )
    .bind(last)
    .bind(AHEAD)
    .fetch_all(conn)
    .await?;
    let made = missing.len();
    for next in missing {
        Sql::new("SELECT add_partition(?, ?, ?, ?)")
            .bind(of.table)
            .bind(of.key)
            .bind(next.begins)
            .bind(next.ends)
            .run(conn)
            .await?;
    }
    Ok(made)
}

//! Events.

use diesel::sql_types::{BigInt, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use senlin_core::{Time, caller::Scope, event::Event};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    Conn, Result, object,
    page::{self, Filter, Page, Rows},
    run::Run,
    sql::{Sql, row},
};

row! { EventRow {
    id: Uuid = SqlUuid,
    timestamp: Time = Timestamptz,
    oid: Uuid = SqlUuid,
    oname: String = Text,
    otype: String = Text,
    cluster_id: Option<Uuid> = Nullable<SqlUuid>,
    level: String = Text,
    user_id: String = Text,
    project: String = Text,
    action: String = Text,
    status: String = Text,
    status_reason: String = Text,
    meta_data: Value = Jsonb,
    xid: i64 = BigInt,
    seq: i64 = BigInt,
}}

const ROWS: Rows = Rows {
    name: "t",
    from: "events",
    sort: "timestamp",
};

const SELECT: &str = "SELECT t.id, t.timestamp, t.oid, t.oname, t.otype, t.cluster_id, t.level, t.user_id, \
                      t.project, t.action, t.status, t.status_reason, t.meta_data, t.xid::text::bigint AS xid, t.seq \
                      FROM events t";

/// What a statement records of each row of one of its lists. Each field is an
/// expression over that list's columns.
pub(crate) struct Record<'a> {
    /// The list, with its conditions. It has the columns of actions, or of nodes.
    pub(crate) from: &'a str,
    pub(crate) level: &'a str,
    pub(crate) action: &'a str,
    pub(crate) status: &'a str,
    pub(crate) reason: &'a str,
}

impl Record<'_> {
    /// An event of what an action is doing, by its own name and reason.
    pub(crate) const ACTION: Record<'static> = Record {
        from: "",
        level: "'INFO'",
        action: "action",
        status: "",
        reason: "status_reason",
    };

    /// The statement, or the step of one, that records events of actions.
    pub(crate) fn of_actions(&self) -> String {
        self.about("target, target_name, split_part(action, '_', 1)")
    }

    /// The same of nodes.
    pub(crate) fn of_nodes(&self) -> String {
        self.about("id, name, 'NODE'")
    }

    /// No other text inserts into `events`.
    fn about(&self, object: &str) -> String {
        let Record {
            from,
            level,
            action,
            status,
            reason,
        } = self;
        format!(
            " INSERT INTO events (oid, oname, otype, cluster_id, level, user_id, project, action, status, status_reason)
            SELECT {object}, cluster_id, {level}, user_id, project, {action}, {status}, {reason} FROM {from}"
        )
    }
}

impl From<EventRow> for Event {
    fn from(row: EventRow) -> Self {
        Self {
            id: row.id.into(),
            timestamp: row.timestamp,
            oid: row.oid,
            oname: row.oname,
            otype: row.otype,
            cluster_id: row.cluster_id.map(Into::into),
            level: row.level,
            user: row.user_id,
            project: row.project,
            action: row.action,
            status: row.status,
            status_reason: row.status_reason,
            meta_data: object(row.meta_data),
        }
    }
}

/// The event with that id or short id.
///
/// # Errors
/// [`crate::DbError::MultipleChoices`].
pub async fn find(conn: &mut Conn, scope: &Scope, identity: &str) -> Result<Option<Event>> {
    let (min, max) = match identity.parse::<Uuid>() {
        Ok(id) => (id, id),
        Err(_) => match page::id_prefix_range(identity) {
            Some(range) => range,
            None => return Ok(None),
        },
    };
    let mut sql = Sql::new(SELECT).push(" WHERE t.id BETWEEN ? AND ?").bind(min).bind(max);
    if let Scope::Project(project) = scope {
        sql = sql.push(" AND t.project = ?").bind(project.as_str());
    }
    let rows: Vec<EventRow> = sql.push(" LIMIT 2").fetch_all(conn).await?;
    Ok(page::choose(rows, identity, |r| r.id, |r| r.id.to_string())?.map(Into::into))
}

/// A page of events.
///
/// # Errors
/// When the database does not answer.
pub async fn list(conn: &mut Conn, scope: &Scope, filters: &[Filter], page: &Page) -> Result<Vec<Event>> {
    let sql = page::page(conn, ROWS, scope, filters, page).await?.of(SELECT);
    let rows: Vec<EventRow> = sql.fetch_all(conn).await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// A place in the order of commits: all events before it have been read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The transaction.
    xid: i64,
    /// The event within it.
    seq: i64,
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:x}-{:x}", self.xid, self.seq)
    }
}

impl Cursor {
    /// Reads what [`Display`](std::fmt::Display) wrote; the empty text is the beginning.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::default());
        }
        let (xid, seq) = text.split_once('-')?;
        let number = |digits| i64::from_str_radix(digits, 16).ok().filter(|n| *n >= 0);
        Some(Self {
            xid: number(xid)?,
            seq: number(seq)?,
        })
    }
}

/// Events in the order of commits, and where to read on.
#[derive(Debug, Clone)]
pub struct Read {
    /// The events.
    pub events: Vec<Event>,
    /// The place after them.
    pub next: Cursor,
}

row! { HorizonRow { settled: i64 = BigInt, known: i64 = BigInt } }

/// Up to `limit` events after a place, in the order of commits: whoever goes on
/// from [`Read::next`] meets each event once and misses none. Those of
/// transactions that began while an older one is still open come when that one
/// has ended. None for a cursor of another database.
///
/// # Errors
/// When the database does not answer.
pub async fn since(
    conn: &mut Conn,
    scope: &Scope,
    filters: &[Filter],
    after: Cursor,
    limit: i64,
) -> Result<Option<Read>> {
    // Whatever an earlier transaction wrote is there when the next statement looks.
    let horizon: Option<HorizonRow> = Sql::new(
        "SELECT pg_snapshot_xmin(now)::text::bigint AS settled, pg_snapshot_xmax(now)::text::bigint AS known
        FROM pg_current_snapshot() AS now",
    )
    .fetch_optional(conn)
    .await?;
    let Some(horizon) = horizon.filter(|h| after.xid <= h.known) else {
        return Ok(None);
    };
    let sql = Sql::new(SELECT)
        .push(" WHERE (t.xid, t.seq) > (?::text::xid8, ?) AND t.xid < ?::text::xid8")
        .bind(after.xid.to_string())
        .bind(after.seq)
        .bind(horizon.settled.to_string());
    let sql = sql
        .push(" AND ")
        .append(page::narrowed("t", scope, filters))
        .push(" ORDER BY t.xid, t.seq LIMIT ?");
    let rows: Vec<EventRow> = sql.bind(limit).fetch_all(conn).await?;
    let next = match rows.last() {
        Some(last) if i64::try_from(rows.len()).is_ok_and(|n| n >= limit) => Cursor {
            xid: last.xid,
            seq: last.seq,
        },
        // All that is settled has been looked at.
        _ if limit > 0 && horizon.settled > after.xid => Cursor {
            xid: horizon.settled,
            seq: 0,
        },
        _ => after,
    };
    Ok(Some(Read {
        events: rows.into_iter().map(Into::into).collect(),
        next,
    }))
}

/// Events of a database that this one was restored from carry numbers of
/// transactions that are yet to come here: they count as older than all of
/// ours. Says how many of at most `most` there were.
///
/// # Errors
/// When the database does not answer.
pub async fn settle_restored(conn: &mut Conn, most: i64) -> Result<usize> {
    Sql::new(
        "UPDATE events SET xid = '0' WHERE (id, timestamp) IN (SELECT id, timestamp FROM events
            WHERE xid > pg_snapshot_xmax(pg_current_snapshot()) LIMIT ?)",
    )
    .bind(most)
    .run(conn)
    .await
}

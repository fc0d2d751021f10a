//! Events.

use diesel::{dsl::sql, prelude::*, sql_types::BigInt};
use senlin_core::{Map, Time, caller::Scope, event::Event, ids::*};
use uuid::Uuid;

use crate::{
    Conn, Result,
    page::{self, Filter, Page, Rows},
    run::Run,
    schema::events,
    sql::{Sql, Term},
    statements::settle_restored_events::settle_restored_events,
    stored::{Document, MaybeId},
};

const ROWS: Rows = Rows::of("events", "timestamp");

#[derive(Queryable, Selectable)]
#[diesel(table_name = events, check_for_backend(diesel::pg::Pg))]
struct EventRow {
    #[diesel(deserialize_as = Uuid)]
    id: EventId,
    timestamp: Time,
    oid: Uuid,
    oname: String,
    otype: String,
    #[diesel(deserialize_as = MaybeId)]
    cluster_id: Option<ClusterId>,
    level: String,
    user_id: String,
    project: String,
    action: String,
    status: String,
    status_reason: String,
    #[diesel(deserialize_as = Document<Map>)]
    meta_data: Map,
}

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

    /// No other text inserts into `events`; [`crate::node_self::report`] does without text.
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
            id: row.id,
            timestamp: row.timestamp,
            oid: row.oid,
            oname: row.oname,
            otype: row.otype,
            cluster_id: row.cluster_id,
            level: row.level,
            user: row.user_id,
            project: row.project,
            action: row.action,
            status: row.status,
            status_reason: row.status_reason,
            meta_data: row.meta_data,
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
    let query = events::table
        .filter(events::id.between(min, max))
        .filter(Term(page::narrowed("events", scope, &[])))
        .limit(2);
    let rows: Vec<EventRow> = query.select(EventRow::as_select()).fetch_all(conn).await?;
    Ok(page::choose(rows, identity, |r| r.id.0, |r| r.id.to_string())?.map(Into::into))
}

/// A page of events.
pub async fn list(conn: &mut Conn, scope: &Scope, filters: &[Filter], page: &Page) -> Result<Vec<Event>> {
    let choice = page::page(conn, ROWS, scope, filters, page).await?;
    let query = events::table.filter(Term(choice.filter)).order(Term(choice.tail));
    let rows: Vec<EventRow> = query.select(EventRow::as_select()).fetch_all(conn).await?;
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

/// Up to `limit` events after a place, in the order of commits: whoever goes on
/// from [`Read::next`] meets each event once and misses none. Those of
/// transactions that began while an older one is still open come when that one
/// has ended. None for a cursor of another database.
pub async fn since(
    conn: &mut Conn,
    scope: &Scope,
    filters: &[Filter],
    after: Cursor,
    limit: i64,
) -> Result<Option<Read>> {
    // Whatever an earlier transaction wrote is there when the next statement looks.
    let horizon: Option<(i64, i64)> = diesel::select((
        sql::<BigInt>("pg_snapshot_xmin(pg_current_snapshot())::text::bigint"),
        sql::<BigInt>("pg_snapshot_xmax(pg_current_snapshot())::text::bigint"),
    ))
    .fetch_optional(conn)
    .await?;
    let Some((settled, _)) = horizon.filter(|(_, known)| after.xid <= *known) else {
        return Ok(None);
    };
    let between = Sql::new("(events.xid, events.seq) > (?::text::xid8, ?) AND events.xid < ?::text::xid8")
        .bind(after.xid.to_string())
        .bind(after.seq)
        .bind(settled.to_string());
    let query = events::table
        .filter(Term(between))
        .filter(Term(page::narrowed("events", scope, filters)))
        .order(Term(Sql::new("events.xid, events.seq")))
        .limit(limit);
    let xid = sql::<BigInt>("events.xid::text::bigint");
    let rows: Vec<(EventRow, i64, i64)> = query
        .select((EventRow::as_select(), xid, events::seq))
        .fetch_all(conn)
        .await?;
    let next = match rows.last() {
        Some((_, xid, seq)) if i64::try_from(rows.len()).is_ok_and(|n| n >= limit) => Cursor { xid: *xid, seq: *seq },
        // All that is settled has been looked at.
        _ if limit > 0 && settled > after.xid => Cursor { xid: settled, seq: 0 },
        _ => after,
    };
    Ok(Some(Read {
        events: rows.into_iter().map(|(row, ..)| row.into()).collect(),
        next,
    }))
}

/// Makes the events of a database that this one was restored from older than
/// all of ours. Returns how many of at most `most` there were.
pub async fn settle_restored(conn: &mut Conn, most: i64) -> Result<usize> {
    settle_restored_events(conn, most).await
}

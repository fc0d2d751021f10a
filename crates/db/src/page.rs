//! Lists: filters, sorting, and pages by marker.

use diesel::sql_types::Bool;
use senlin_core::caller::Scope;
use uuid::Uuid;

use crate::{
    Conn, Result,
    sql::{Bind, Sql, row},
};

/// Which way a key is sorted. Nulls come first ascending, last descending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "plain words")]
pub enum Direction {
    Asc,
    Desc,
}

/// What part of a list is wanted, in which order.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// At most so many; none is all.
    pub limit: Option<i64>,
    /// After this one; one that does not exist is ignored.
    pub marker: Option<Uuid>,
    /// Columns, each from the caller's own list of allowed ones.
    pub sort: Vec<(&'static str, Direction)>,
}

/// One condition of a list: a column and the values any of which it may have.
#[derive(Debug, Clone)]
pub struct Filter {
    /// A column, from the caller's own list.
    pub column: &'static str,
    /// Any of these.
    pub values: Vec<String>,
}

row! { Found { found: bool = Bool } }

/// Completes `select … FROM table t` by scope, filters, marker, order and limit.
pub(crate) async fn page(
    conn: &mut Conn,
    select: &'static str,
    table: &'static str,
    scope: &Scope,
    filters: &[Filter],
    page: &Page,
    default_sort: &'static str,
) -> Result<Sql> {
    let mut sql = Sql::new(select).push(" WHERE true");
    if let Scope::Project(project) = scope {
        sql = sql.push(" AND t.project = ?").bind(project.as_str());
    }
    for filter in filters {
        sql = sql
            .push(&format!(" AND t.{}::text = ANY (?)", filter.column))
            .bind(Bind::Texts(filter.values.clone()));
    }
    let mut sort = page.sort.clone();
    if sort.is_empty() {
        sort.push((default_sort, Direction::Asc));
    }
    if !sort.iter().any(|(column, _)| *column == "id") {
        sort.push(("id", Direction::Asc));
    }
    if let Some(marker) = page.marker {
        let found: Option<Found> = Sql::new(format!("SELECT EXISTS (SELECT 1 FROM {table} WHERE id = ?) AS found"))
            .bind(marker)
            .first(conn)
            .await?;
        if found.is_some_and(|f| f.found) {
            sql = after(sql, table, marker, &sort, default_sort);
        }
    }
    let order: Vec<String> = sort
        .iter()
        .map(|(column, direction)| match direction {
            Direction::Asc if *column == default_sort || *column == "id" => format!("t.{column}"),
            Direction::Asc => format!("t.{column} ASC NULLS FIRST"),
            Direction::Desc => format!("t.{column} DESC NULLS LAST"),
        })
        .collect();
    sql = sql.push(&format!(" ORDER BY {}", order.join(", ")));
    if let Some(limit) = page.limit {
        sql = sql.push(" LIMIT ?").bind(limit);
    }
    Ok(sql)
}

/// The rows after the marker in sort order.
fn after(
    mut sql: Sql,
    table: &'static str,
    marker: Uuid,
    sort: &[(&'static str, Direction)],
    default_sort: &'static str,
) -> Sql {
    if let [(first, Direction::Asc), ("id", Direction::Asc)] = sort
        && *first == default_sort
    {
        // The common case, in a form that an index answers.
        return sql
            .push(&format!(
                " AND (t.{first}, t.id) > (SELECT m.{first}, m.id FROM {table} m WHERE m.id = ?)"
            ))
            .bind(marker);
    }
    let mut alternatives = Vec::new();
    for (position, (column, direction)) in sort.iter().enumerate() {
        let mut terms: Vec<String> = sort
            .iter()
            .take(position)
            .map(|(equal, _)| format!("t.{equal} IS NOT DISTINCT FROM m.{equal}"))
            .collect();
        terms.push(match direction {
            Direction::Asc => format!("(t.{column} > m.{column} OR (m.{column} IS NULL AND t.{column} IS NOT NULL))"),
            Direction::Desc => format!("(t.{column} < m.{column} OR (t.{column} IS NULL AND m.{column} IS NOT NULL))"),
        });
        alternatives.push(format!("({})", terms.join(" AND ")));
    }
    sql = sql
        .push(&format!(
            " AND EXISTS (SELECT 1 FROM {table} m WHERE m.id = ? AND ({}))",
            alternatives.join(" OR ")
        ))
        .bind(marker);
    sql
}

/// Completes `select … FROM table t` to find one by identity: a UUID is an id
/// or else a name, anything else a name or else the beginning of an id.
/// `rank` tells which; the best rank wins.
pub(crate) fn identified(select: &'static str, scope: &Scope, identity: &str) -> Sql {
    let mut sql = match identity.parse::<Uuid>() {
        Ok(id) => Sql::new(select)
            .push(" WHERE (t.id = ? OR t.name = ?)")
            .bind(id)
            .bind(identity),
        Err(_) => Sql::new(select)
            .push(" WHERE (t.name = ? OR starts_with(t.id::text, ?))")
            .bind(identity)
            .bind(identity.to_lowercase()),
    };
    if let Scope::Project(project) = scope {
        sql = sql.push(" AND t.project = ?").bind(project.as_str());
    }
    sql.push(" LIMIT 100")
}

/// Of the rows that [`identified`] found, the one that is meant.
pub(crate) fn choose<T>(
    rows: Vec<T>,
    identity: &str,
    id: impl Fn(&T) -> Uuid,
    name: impl Fn(&T) -> String,
) -> Result<Option<T>> {
    let wanted = identity.parse::<Uuid>().ok();
    let rank = |row: &T| {
        if wanted.is_some_and(|w| w == id(row)) {
            0
        } else if name(row) == identity {
            1
        } else {
            2
        }
    };
    let Some(best) = rows.iter().map(&rank).min() else {
        return Ok(None);
    };
    let mut meant = rows.into_iter().filter(|row| rank(row) == best);
    let first = meant.next();
    if meant.next().is_some() {
        return Err(crate::DbError::MultipleChoices(identity.to_owned()));
    }
    Ok(first)
}

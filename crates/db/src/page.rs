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
    /// After this one; one that does not exist in the scope is ignored.
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
/// `default_sort` is never null; with the id it is the beginning of an index.
pub(crate) async fn page(
    conn: &mut Conn,
    select: &'static str,
    table: &'static str,
    scope: &Scope,
    filters: &[Filter],
    page: &Page,
    default_sort: &'static str,
) -> Result<Sql> {
    let mut sort = page.sort.clone();
    if sort.is_empty() {
        sort.push((default_sort, Direction::Asc));
    }
    // Equals follow the direction of the last key: one way is the other's
    // reverse, and the index is read either way.
    let last = sort.last().map_or(Direction::Asc, |(_, direction)| *direction);
    if !sort.iter().any(|(column, _)| *column == "id") {
        sort.push(("id", last));
    }
    let mut marker = None;
    if let Some(id) = page.marker
        && exists(conn, table, scope, id).await?
    {
        marker = Some(id);
    }
    // The common orders, after a marker too, have a form that an index answers.
    let indexed = match &*sort {
        [(first, direction), ("id", of_equals)] if *first == default_sort && direction == of_equals => Some(*direction),
        _ => None,
    };
    let mut sql = Sql::new(select);
    if let (Some(id), None) = (marker, indexed) {
        sql = sql
            .push(&format!(" CROSS JOIN (SELECT * FROM {table} x WHERE x.id = ?) m"))
            .bind(id);
    }
    sql = narrowed(sql.push(" WHERE true"), scope, filters);
    sql = match (marker, indexed) {
        (Some(id), Some(direction)) => beyond(sql, table, default_sort, direction, id),
        (Some(_), None) => sql.push(&format!(" AND ({})", alternatives(&sort))),
        (None, _) => sql,
    };
    let order: Vec<String> = sort
        .iter()
        .map(
            |(column, direction)| match (*column == default_sort || *column == "id", direction) {
                (true, Direction::Asc) => format!("t.{column}"),
                (true, Direction::Desc) => format!("t.{column} DESC"),
                (false, Direction::Asc) => format!("t.{column} ASC NULLS FIRST"),
                (false, Direction::Desc) => format!("t.{column} DESC NULLS LAST"),
            },
        )
        .collect();
    sql = sql.push(&format!(" ORDER BY {}", order.join(", ")));
    if let Some(limit) = page.limit {
        sql = sql.push(" LIMIT ?").bind(limit);
    }
    Ok(sql)
}

/// Whether the scope has it: another's marker would tell where it stands.
async fn exists(conn: &mut Conn, table: &'static str, scope: &Scope, id: Uuid) -> Result<bool> {
    let sql = Sql::new(format!("SELECT EXISTS (SELECT 1 FROM {table} t WHERE t.id = ?")).bind(id);
    let row: Option<Found> = scoped(sql, scope).push(") AS found").first(conn).await?;
    Ok(row.is_some_and(|r| r.found))
}

/// Adds what the scope and the filters ask for.
pub(crate) fn narrowed(sql: Sql, scope: &Scope, filters: &[Filter]) -> Sql {
    filters.iter().fold(scoped(sql, scope), filtered)
}

fn scoped(sql: Sql, scope: &Scope) -> Sql {
    match scope {
        Scope::Project(project) => sql.push(" AND t.project = ?").bind(project.as_str()),
        Scope::All => sql,
    }
}

/// The rows after the marker in the order of a column that is never null, and
/// of ids among equals.
fn beyond(sql: Sql, table: &'static str, column: &'static str, direction: Direction, marker: Uuid) -> Sql {
    let after = match direction {
        Direction::Asc => ">",
        Direction::Desc => "<",
    };
    sql.push(&format!(
        " AND (t.{column}, t.id) {after} (SELECT m.{column}, m.id FROM {table} m WHERE m.id = ?)"
    ))
    .bind(marker)
}

/// The condition that `t` comes after `m` in sort order.
fn alternatives(sort: &[(&'static str, Direction)]) -> String {
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
    alternatives.join(" OR ")
}

/// Columns that hold ids: a value that is none matches nothing.
const IDS: [&str; 4] = ["id", "cluster_id", "target", "oid"];

/// One value is compared with `=`: rows of one value come out of an index in order.
fn filtered(sql: Sql, filter: &Filter) -> Sql {
    let one = format!(" AND t.{} = ?", filter.column);
    let any = format!(" AND t.{} = ANY (?)", filter.column);
    if IDS.contains(&filter.column) {
        let ids: Vec<Uuid> = filter.values.iter().filter_map(|v| v.parse().ok()).collect();
        match &*ids {
            [id] => sql.push(&one).bind(*id),
            _ => sql.push(&any).bind(ids),
        }
    } else {
        match &*filter.values {
            [value] => sql.push(&one).bind(value.as_str()),
            _ => sql.push(&any).bind(Bind::Texts(filter.values.clone())),
        }
    }
}

/// Completes `select … FROM table t` to find one by identity: a UUID is an id
/// or else a name, anything else a name or else the beginning of an id. The
/// best come first; [`choose`] knows which one is meant.
pub(crate) fn identified(select: &'static str, scope: &Scope, identity: &str) -> Sql {
    best(scoped(by_identity(select, identity), scope), identity)
}

/// Begins [`identified`]; more conditions may follow, then [`best`].
pub(crate) fn by_identity(select: &'static str, identity: &str) -> Sql {
    if let Ok(id) = identity.parse::<Uuid>() {
        return Sql::new(select)
            .push(" WHERE (t.id = ? OR t.name = ?)")
            .bind(id)
            .bind(identity);
    }
    match id_prefix_range(identity) {
        Some((min, max)) => Sql::new(select)
            .push(" WHERE (t.name = ? OR t.id BETWEEN ? AND ?)")
            .bind(identity)
            .bind(min)
            .bind(max),
        None => Sql::new(select).push(" WHERE t.name = ?").bind(identity),
    }
}

/// Ends [`by_identity`]: two rows tell whether the best one is the only one.
pub(crate) fn best(sql: Sql, identity: &str) -> Sql {
    match identity.parse::<Uuid>() {
        Ok(id) => sql.push(" ORDER BY t.id = ? DESC LIMIT 2").bind(id),
        Err(_) => sql.push(" ORDER BY t.name = ? DESC LIMIT 2").bind(identity),
    }
}

/// The first and the last id that begin with this text; none when no id does.
pub(crate) fn id_prefix_range(text: &str) -> Option<(Uuid, Uuid)> {
    const SHAPE: &str = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    if text.is_empty() || text.len() > SHAPE.len() {
        return None;
    }
    let fits = |(c, shape): (char, char)| if shape == '-' { c == '-' } else { c.is_ascii_hexdigit() };
    if !text.chars().zip(SHAPE.chars()).all(fits) {
        return None;
    }
    let rest = SHAPE.get(text.len()..)?;
    let filled = |digit: &str| format!("{text}{}", rest.replace('x', digit)).parse().ok();
    Some((filled("0")?, filled("f")?))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_ids_are_ranges() {
        let id: Uuid = "1a2b3c4d-5e6f-4a7b-8c9d-0e1f2a3b4c5d".parse().unwrap();
        for text in [
            "1",
            "1a2b3c4d",
            "1A2B",
            "1a2b3c4d-",
            "1a2b3c4d-5e6f-4a7b-8c9d-0e1f2a3b4c5",
        ] {
            let (min, max) = id_prefix_range(text).unwrap();
            assert!(min <= id && id <= max, "{text}");
        }
        let (min, max) = id_prefix_range("1a2b3c4e").unwrap();
        assert!(!(min <= id && id <= max));
        for text in [
            "",
            "web",
            "1a2b3c4d5",
            "-",
            "1a2b3c4d-5e6f-4a7b-8c9d-0e1f2a3b4c5d0",
            "1a2b%",
            "网",
        ] {
            assert_eq!(id_prefix_range(text), None, "{text}");
        }
    }
}

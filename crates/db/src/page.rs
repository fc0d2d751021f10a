//! Lists: filters, sorting, and pages by marker.

use senlin_core::caller::Scope;
use uuid::Uuid;

use crate::{
    Conn, Result,
    run::Run,
    sql::{Bind, Sql, Term},
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

/// Rows that are listed or looked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows {
    /// What the query calls them.
    pub(crate) name: &'static str,
    /// The table, or what stands for one.
    pub(crate) from: &'static str,
    /// The column they are sorted by unless the caller names others: never
    /// null, and with the id the beginning of an index.
    pub(crate) sort: &'static str,
}

impl Rows {
    /// Rows of a table that the query calls by its name.
    pub(crate) const fn of(table: &'static str, sort: &'static str) -> Self {
        Self {
            name: table,
            from: table,
            sort,
        }
    }
}

/// What of some rows is wanted.
#[derive(Debug)]
pub(crate) struct Choice {
    /// The condition.
    pub(crate) filter: Sql,
    /// What stands behind `ORDER BY`: order and limit.
    pub(crate) tail: Sql,
}

impl Choice {
    /// Completes `SELECT … FROM …`.
    pub(crate) fn of(self, select: &'static str) -> Sql {
        let filtered = Sql::new(select).push(" WHERE ").append(self.filter);
        filtered.push(" ORDER BY ").append(self.tail)
    }
}

/// The page of some rows that is asked for, by scope, filters, marker, order and limit.
pub(crate) async fn page(
    conn: &mut Conn,
    rows: Rows,
    scope: &Scope,
    filters: &[Filter],
    page: &Page,
) -> Result<Choice> {
    let Rows {
        name,
        from,
        sort: default,
    } = rows;
    let mut sort = page.sort.clone();
    if sort.is_empty() {
        sort.push((default, Direction::Asc));
    }
    // Equals follow the direction of the last key: one way is the other's
    // reverse, and the index is read either way.
    let last = sort.last().map_or(Direction::Asc, |(_, direction)| *direction);
    if !sort.iter().any(|(column, _)| *column == "id") {
        sort.push(("id", last));
    }
    let mut filter = narrowed(name, scope, filters);
    if let Some(marker) = page.marker
        && exists(conn, rows, scope, marker).await?
    {
        // The common orders have a form that an index answers.
        let beyond = match &*sort {
            [(first, direction), ("id", of_equals)] if *first == default && direction == of_equals => {
                let after = match direction {
                    Direction::Asc => ">",
                    Direction::Desc => "<",
                };
                format!(
                    " AND ({name}.{default}, {name}.id) {after} (SELECT m.{default}, m.id FROM {from} m WHERE m.id = ?)"
                )
            }
            _ => format!(
                " AND EXISTS (SELECT 1 FROM {from} m WHERE m.id = ? AND ({}))",
                alternatives(name, &sort)
            ),
        };
        filter = filter.push(&beyond).bind(marker);
    }
    let order: Vec<String> = sort
        .iter()
        .map(
            |(column, direction)| match (*column == default || *column == "id", direction) {
                (true, Direction::Asc) => format!("{name}.{column}"),
                (true, Direction::Desc) => format!("{name}.{column} DESC"),
                (false, Direction::Asc) => format!("{name}.{column} ASC NULLS FIRST"),
                (false, Direction::Desc) => format!("{name}.{column} DESC NULLS LAST"),
            },
        )
        .collect();
    let mut tail = Sql::new(order.join(", "));
    if let Some(limit) = page.limit {
        tail = tail.push(" LIMIT ?").bind(limit);
    }
    Ok(Choice { filter, tail })
}

/// Whether the scope has it: another's marker would tell where it stands.
async fn exists(conn: &mut Conn, rows: Rows, scope: &Scope, id: Uuid) -> Result<bool> {
    let Rows { name, from, .. } = rows;
    let of_scope = narrowed(name, scope, &[]);
    let sql = Sql::new(format!("EXISTS (SELECT 1 FROM {from} {name} WHERE {name}.id = ? AND "));
    let found = Term(sql.bind(id).append(of_scope).push(")"));
    let row: Option<bool> = diesel::select(found).fetch_optional(conn).await?;
    Ok(row.unwrap_or(false))
}

/// What the scope and the filters ask of the rows that the query calls so.
pub(crate) fn narrowed(name: &str, scope: &Scope, filters: &[Filter]) -> Sql {
    let scoped = match scope {
        Scope::Project(project) => Sql::new(format!("{name}.project = ?")).bind(project.as_str()),
        Scope::All => Sql::new("true"),
    };
    filters.iter().fold(scoped, |sql, filter| filtered(sql, name, filter))
}

/// The condition that a row comes after `m` in sort order.
fn alternatives(name: &str, sort: &[(&'static str, Direction)]) -> String {
    let mut alternatives = Vec::new();
    for (position, (column, direction)) in sort.iter().enumerate() {
        let mut terms: Vec<String> = sort
            .iter()
            .take(position)
            .map(|(equal, _)| format!("{name}.{equal} IS NOT DISTINCT FROM m.{equal}"))
            .collect();
        let (row, marker) = (format!("{name}.{column}"), format!("m.{column}"));
        terms.push(match direction {
            Direction::Asc => format!("({row} > {marker} OR ({marker} IS NULL AND {row} IS NOT NULL))"),
            Direction::Desc => format!("({row} < {marker} OR ({row} IS NULL AND {marker} IS NOT NULL))"),
        });
        alternatives.push(format!("({})", terms.join(" AND ")));
    }
    alternatives.join(" OR ")
}

/// Columns that hold ids: a value that is none matches nothing.
const IDS: [&str; 4] = ["id", "cluster_id", "target", "oid"];

/// One value is compared with `=`: rows of one value come out of an index in order.
fn filtered(sql: Sql, name: &str, filter: &Filter) -> Sql {
    let one = format!(" AND {name}.{} = ?", filter.column);
    let any = format!(" AND {name}.{} = ANY (?)", filter.column);
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

/// One row by identity: a UUID is an id or else a name, anything else a name or
/// else the beginning of an id. The best come first, and two tell whether the
/// best one is the only one; [`choose`] knows which one is meant.
pub(crate) fn identified(name: &str, scope: &Scope, identity: &str) -> Choice {
    let id = identity.parse::<Uuid>();
    let by_identity = match (&id, id_prefix_range(identity)) {
        (Ok(id), _) => Sql::new(format!("({name}.id = ? OR {name}.name = ?)"))
            .bind(*id)
            .bind(identity),
        (Err(_), Some((min, max))) => Sql::new(format!("({name}.name = ? OR {name}.id BETWEEN ? AND ?)"))
            .bind(identity)
            .bind(min)
            .bind(max),
        (Err(_), None) => Sql::new(format!("{name}.name = ?")).bind(identity),
    };
    let tail = match id {
        Ok(id) => Sql::new(format!("{name}.id = ? DESC LIMIT 2")).bind(id),
        Err(_) => Sql::new(format!("{name}.name = ? DESC LIMIT 2")).bind(identity),
    };
    Choice {
        filter: by_identity.push(" AND ").append(narrowed(name, scope, &[])),
        tail,
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

//! A statement as text, with `:name` or `?` for each value.
//!
//! A statement of more than a few values names them: the order in which they
//! are set does not matter, and a name that has no value, or a value that has
//! no name, is an error whenever the statement is run.
//!
//! diesel's own `sql_query` is never cached as a prepared statement; this one
//! is, which halves the round trips of every hot query.

use std::{borrow::Cow, ops::Range, sync::OnceLock};

use diesel::{
    AppearsOnTable, Expression, QueryResult, SelectableExpression,
    expression::ValidGrouping,
    pg::Pg,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{Array, BigInt, Bool, Double, Integer, Jsonb, Nullable, Text, Timestamptz, Untyped, Uuid as SqlUuid},
};
use serde_json::Value;
use uuid::Uuid;

/// A bound value.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "one per SQL type")]
pub enum Bind {
    Uuid(Option<Uuid>),
    Text(Option<String>),
    Int(Option<i32>),
    BigInt(Option<i64>),
    Double(Option<f64>),
    Bool(Option<bool>),
    Json(Option<Value>),
    Time(Option<senlin_core::Time>),
    Uuids(Vec<Uuid>),
    BigInts(Vec<i64>),
    Texts(Vec<String>),
}

macro_rules! binds {
    ($($from:ty => $variant:ident),* $(,)?) => {$(
        impl From<$from> for Bind {
            fn from(value: $from) -> Self {
                Self::$variant(Some(value))
            }
        }
        impl From<Option<$from>> for Bind {
            fn from(value: Option<$from>) -> Self {
                Self::$variant(value)
            }
        }
    )*};
}
binds! {
    Uuid => Uuid, String => Text, i32 => Int, i64 => BigInt, f64 => Double,
    bool => Bool, Value => Json, senlin_core::Time => Time,
}

macro_rules! id_binds {
    ($($id:ident),*) => {$(
        impl From<senlin_core::ids::$id> for Bind {
            fn from(id: senlin_core::ids::$id) -> Self {
                Self::Uuid(Some(id.0))
            }
        }
        impl From<Option<senlin_core::ids::$id>> for Bind {
            fn from(id: Option<senlin_core::ids::$id>) -> Self {
                Self::Uuid(id.map(|id| id.0))
            }
        }
        impl From<&[senlin_core::ids::$id]> for Bind {
            fn from(ids: &[senlin_core::ids::$id]) -> Self {
                Self::Uuids(ids.iter().map(|id| id.0).collect())
            }
        }
    )*};
}
id_binds!(
    ProfileId, ClusterId, NodeId, PolicyId, BindingId, ActionId, EventId, ReceiverId, ServiceId
);

impl From<&str> for Bind {
    fn from(value: &str) -> Self {
        Self::Text(Some(value.to_owned()))
    }
}
impl From<Option<&str>> for Bind {
    fn from(value: Option<&str>) -> Self {
        Self::Text(value.map(str::to_owned))
    }
}
impl From<&senlin_core::Map> for Bind {
    fn from(value: &senlin_core::Map) -> Self {
        Self::Json(Some(Value::Object(value.clone())))
    }
}
impl From<Vec<Uuid>> for Bind {
    fn from(value: Vec<Uuid>) -> Self {
        Self::Uuids(value)
    }
}
impl From<Vec<i64>> for Bind {
    fn from(value: Vec<i64>) -> Self {
        Self::BigInts(value)
    }
}
impl From<Vec<String>> for Bind {
    fn from(value: Vec<String>) -> Self {
        Self::Texts(value)
    }
}

/// A statement: text with `:name` where a named value goes, as often as it is
/// needed, and `?` where the others go, in order.
#[derive(Debug, Clone)]
pub struct Sql {
    text: Cow<'static, str>,
    binds: Vec<Bind>,
    named: Vec<(&'static str, Bind)>,
    /// The text's parts, once it is whole: diesel asks for them several times.
    parts: OnceLock<Option<Vec<Part>>>,
}

impl Sql {
    /// A statement that begins with this text. The text must not come from a user.
    #[must_use]
    pub fn new(text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            text: text.into(),
            binds: Vec::new(),
            named: Vec::new(),
            parts: OnceLock::new(),
        }
    }

    /// More text. It must not come from a user.
    #[must_use]
    pub fn push(mut self, text: &str) -> Self {
        self.text.to_mut().push_str(text);
        self.parts = OnceLock::new();
        self
    }

    /// The value of the next `?`.
    #[must_use]
    pub fn bind(mut self, value: impl Into<Bind>) -> Self {
        self.binds.push(value.into());
        self
    }

    /// The value of `:name`, wherever it stands.
    #[must_use]
    pub fn set(mut self, name: &'static str, value: impl Into<Bind>) -> Self {
        self.named.push((name, value.into()));
        self
    }

    /// Another text behind this one, with its values.
    #[must_use]
    pub(crate) fn append(mut self, more: Self) -> Self {
        self = self.push(&more.text);
        self.binds.extend(more.binds);
        self.named.extend(more.named);
        self
    }
}

/// A part of a statement's text, by where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(Range<usize>),
    Next,
    Named(Range<usize>),
}

/// The parts of a text. What stands in quotes or in a comment is text, and `::`
/// is a cast. None: a quote is never closed.
fn parts(text: &str) -> Option<Vec<Part>> {
    let bytes = text.as_bytes();
    let find = |from: usize, which: &[u8]| {
        let rest = bytes.get(from..).unwrap_or_default();
        rest.iter().position(|b| which.contains(b)).map(|at| from + at)
    };
    let (mut found, mut from, mut i) = (Vec::new(), 0, 0);
    while let Some(at) = find(i, b"'?:-") {
        let next = bytes.get(at + 1).copied().unwrap_or_default();
        let (part, end) = match (bytes.get(at), next) {
            (Some(b'\''), _) => {
                i = find(at + 1, b"'")? + 1;
                continue;
            }
            (Some(b'-'), b'-') => {
                i = find(at, b"\n").unwrap_or(bytes.len());
                continue;
            }
            (Some(b':'), b':') => {
                i = at + 2;
                continue;
            }
            (Some(b'?'), _) => (Part::Next, at + 1),
            (Some(b':'), next) if next.is_ascii_lowercase() => {
                let name = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'_';
                let end = at + 1 + bytes.iter().skip(at + 1).take_while(|b| name(b)).count();
                (Part::Named(at + 1..end), end)
            }
            _ => {
                i = at + 1;
                continue;
            }
        };
        if at > from {
            found.push(Part::Text(from..at));
        }
        found.push(part);
        (from, i) = (end, end);
    }
    if from < bytes.len() {
        found.push(Part::Text(from..bytes.len()));
    }
    Some(found)
}

fn push<'b>(bind: &'b Bind, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
    match bind {
        Bind::Uuid(v) => out.push_bind_param::<Nullable<SqlUuid>, _>(v),
        Bind::Text(v) => out.push_bind_param::<Nullable<Text>, _>(v),
        Bind::Int(v) => out.push_bind_param::<Nullable<Integer>, _>(v),
        Bind::BigInt(v) => out.push_bind_param::<Nullable<BigInt>, _>(v),
        Bind::Double(v) => out.push_bind_param::<Nullable<Double>, _>(v),
        Bind::Bool(v) => out.push_bind_param::<Nullable<Bool>, _>(v),
        Bind::Json(v) => out.push_bind_param::<Nullable<Jsonb>, _>(v),
        Bind::Time(v) => out.push_bind_param::<Nullable<Timestamptz>, _>(v),
        Bind::Uuids(v) => out.push_bind_param::<Array<SqlUuid>, _>(v),
        Bind::BigInts(v) => out.push_bind_param::<Array<BigInt>, _>(v),
        Bind::Texts(v) => out.push_bind_param::<Array<Text>, _>(v),
    }
}

impl QueryFragment<Pg> for Sql {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let unfit = |what: String| diesel::result::Error::QueryBuilderError(what.into());
        let mut values = self.binds.iter();
        // Which parameter each name is, once it has been met.
        let mut numbers: Vec<Option<usize>> = vec![None; self.named.len()];
        let mut count = 0;
        let parts = self.parts.get_or_init(|| parts(&self.text));
        let parts = parts
            .as_ref()
            .ok_or_else(|| unfit("a quote is never closed".to_owned()))?;
        let read = |at: &Range<usize>| self.text.get(at.clone()).unwrap_or_default();
        for part in parts {
            match part {
                Part::Text(at) => out.push_sql(read(at)),
                Part::Next => {
                    let value = values.next().ok_or_else(|| unfit("a '?' has no value".to_owned()))?;
                    push(value, &mut out)?;
                    count += 1;
                }
                Part::Named(at) => {
                    let name = read(at);
                    let named = self.named.iter().zip(&mut numbers).find(|((n, _), _)| *n == name);
                    let ((_, value), number) = named.ok_or_else(|| unfit(format!("':{name}' has no value")))?;
                    if let Some(number) = number {
                        out.push_sql(&format!("${number}"));
                    } else {
                        push(value, &mut out)?;
                        count += 1;
                        *number = Some(count);
                    }
                }
            }
        }
        if values.next().is_some() {
            return Err(unfit("there is a value more than there are '?'".to_owned()));
        }
        match self.named.iter().zip(&numbers).find(|(_, n)| n.is_none()) {
            Some(((name, _), _)) => Err(unfit(format!("the value '{name}' is used nowhere, or set twice"))),
            None => Ok(()),
        }
    }
}

impl QueryId for Sql {
    type QueryId = ();
    // Cached by its text and the types of its values.
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Sql {
    type SqlType = Untyped;
}

/// A condition or an order as text, within a query of diesel's. Its values are
/// those of `?`: names would not count the query's own. What stands beside an
/// `OR` needs its own brackets.
#[derive(Debug, Clone)]
pub(crate) struct Term(pub(crate) Sql);

impl QueryFragment<Pg> for Term {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        if !self.0.named.is_empty() {
            return Err(diesel::result::Error::QueryBuilderError("a term has names".into()));
        }
        self.0.walk_ast(out.reborrow())
    }
}

impl QueryId for Term {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Expression for Term {
    type SqlType = Bool;
}

impl<From> AppearsOnTable<From> for Term {}

impl<From> SelectableExpression<From> for Term {}

impl ValidGrouping<()> for Term {
    type IsAggregate = diesel::expression::is_aggregate::No;
}

/// Declares a row: `row! { Name { column: RustType = SqlType, … } }`.
macro_rules! row {
    ($(#[$doc:meta])* $name:ident { $($field:ident : $rust:ty = $sql:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, diesel::QueryableByName)]
        pub(crate) struct $name {
            $(#[diesel(sql_type = $sql)] pub(crate) $field: $rust),*
        }
    };
}
pub(crate) use row;

#[cfg(test)]
mod tests {
    use diesel::{debug_query, pg::PgQueryBuilder};

    use super::*;

    fn shown(sql: &Sql) -> String {
        debug_query::<Pg, _>(sql).to_string()
    }

    #[test]
    fn names_are_found_beside_casts_quotes_and_comments() {
        let text = "SELECT ':no', x::text -- the node's :own?\n, '{}'::jsonb->>'a?' WHERE a = :a_1 AND b = ?";
        let found = parts(text).unwrap();
        let of = |at: &Range<usize>| text.get(at.clone()).unwrap();
        let shown: Vec<String> = found
            .iter()
            .map(|part| match part {
                Part::Text(at) => of(at).to_owned(),
                Part::Next => "<?>".to_owned(),
                Part::Named(at) => format!("<{}>", of(at)),
            })
            .collect();
        assert_eq!(
            shown.concat(),
            text.replace(":a_1", "<a_1>").replace("b = ?", "b = <?>")
        );
        assert_eq!(parts("SELECT 'a"), None);
    }

    #[test]
    fn a_name_is_one_parameter_however_often_it_stands() {
        let sql = Sql::new("SELECT :a, ?, :b, :a").set("b", 2).set("a", "x").bind(1);
        let text = shown(&sql);
        assert!(text.starts_with("SELECT $1, $2, $3, $1 "), "{text}");
    }

    #[test]
    fn a_name_without_a_value_and_a_value_without_a_name_are_errors() {
        for sql in [
            Sql::new("SELECT :a"),
            Sql::new("SELECT 1").set("a", 1),
            Sql::new("SELECT :a").set("a", 1).set("a", 2),
            Sql::new("SELECT ?"),
            Sql::new("SELECT 1").bind(1),
        ] {
            let built = sql.to_sql(&mut PgQueryBuilder::default(), &Pg);
            assert!(
                matches!(built, Err(diesel::result::Error::QueryBuilderError(_))),
                "{sql:?}"
            );
        }
    }
}

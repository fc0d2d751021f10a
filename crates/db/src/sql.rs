//! A statement as text with `?` for each bound value.
//!
//! diesel's own `sql_query` is never cached as a prepared statement; this one
//! is, which halves the round trips of every hot query.

use std::borrow::Cow;

use diesel::{
    QueryResult,
    pg::Pg,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{Array, BigInt, Bool, Double, Integer, Jsonb, Nullable, Text, Timestamptz, Untyped, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use uuid::Uuid;

use crate::{Conn, Result, pool::bounded};

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

/// A statement: text with `?` where the bound values go, in order.
#[derive(Debug, Clone)]
pub struct Sql {
    text: Cow<'static, str>,
    binds: Vec<Bind>,
}

impl Sql {
    /// A statement that begins with this text. The text must not come from a user.
    #[must_use]
    pub fn new(text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            text: text.into(),
            binds: Vec::new(),
        }
    }

    /// More text. It must not come from a user.
    #[must_use]
    pub fn push(mut self, text: &str) -> Self {
        self.text.to_mut().push_str(text);
        self
    }

    /// The value of the next `?`.
    #[must_use]
    pub fn bind(mut self, value: impl Into<Bind>) -> Self {
        self.binds.push(value.into());
        self
    }

    /// Every row.
    ///
    /// # Errors
    /// When the database does not answer with such rows.
    pub async fn load<R>(self, conn: &mut Conn) -> Result<Vec<R>>
    where
        R: diesel::deserialize::FromSqlRow<Untyped, Pg> + Send + 'static,
    {
        let mut lease = conn.lease().await?;
        let done = bounded(RunQueryDsl::load(self, lease.connection())).await;
        lease.end(done)
    }

    /// The first row, if any.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub async fn first<R>(self, conn: &mut Conn) -> Result<Option<R>>
    where
        R: diesel::deserialize::FromSqlRow<Untyped, Pg> + Send + 'static,
    {
        Ok(self.load(conn).await?.into_iter().next())
    }

    /// How many rows it touched.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn execute(self, conn: &mut Conn) -> Result<usize> {
        let mut lease = conn.lease().await?;
        let done = bounded(RunQueryDsl::execute(self, lease.connection())).await;
        lease.end(done)
    }
}

impl QueryFragment<Pg> for Sql {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut pieces = self.text.split('?');
        if let Some(first) = pieces.next() {
            out.push_sql(first);
        }
        for (piece, bind) in pieces.zip(&self.binds) {
            match bind {
                Bind::Uuid(v) => out.push_bind_param::<Nullable<SqlUuid>, _>(v)?,
                Bind::Text(v) => out.push_bind_param::<Nullable<Text>, _>(v)?,
                Bind::Int(v) => out.push_bind_param::<Nullable<Integer>, _>(v)?,
                Bind::BigInt(v) => out.push_bind_param::<Nullable<BigInt>, _>(v)?,
                Bind::Double(v) => out.push_bind_param::<Nullable<Double>, _>(v)?,
                Bind::Bool(v) => out.push_bind_param::<Nullable<Bool>, _>(v)?,
                Bind::Json(v) => out.push_bind_param::<Nullable<Jsonb>, _>(v)?,
                Bind::Time(v) => out.push_bind_param::<Nullable<Timestamptz>, _>(v)?,
                Bind::Uuids(v) => out.push_bind_param::<Array<SqlUuid>, _>(v)?,
                Bind::BigInts(v) => out.push_bind_param::<Array<BigInt>, _>(v)?,
                Bind::Texts(v) => out.push_bind_param::<Array<Text>, _>(v)?,
            }
            out.push_sql(piece);
        }
        Ok(())
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

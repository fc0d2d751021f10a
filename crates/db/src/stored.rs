//! What a column holds beside its SQL type: a word of an enum, a document of a
//! known form, or an id of one kind. A model names it with `deserialize_as` and
//! `serialize_as`.

use std::io::Write as _;

use diesel::{
    deserialize::{self, FromSql, FromSqlRow},
    expression::AsExpression,
    pg::{Pg, PgValue},
    serialize::{self, IsNull, Output, ToSql},
    sql_types::{Jsonb, Nullable, Text, Uuid as SqlUuid},
};
use senlin_core::{
    Map,
    action::{ActionKind, ActionStatus},
    cluster::ClusterStatus,
    ids::{ClusterId, NodeId},
    node::NodeStatus,
    profile::Spec,
};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

/// An enum's word in a text column.
#[derive(Debug, FromSqlRow)]
pub struct Word<T>(pub(crate) T);

/// A document in a jsonb column.
#[derive(Debug, AsExpression, FromSqlRow)]
#[diesel(sql_type = Jsonb)]
pub struct Document<T>(pub(crate) T);

impl<T: DeserializeOwned> FromSql<Jsonb, Pg> for Document<T> {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        let value = <serde_json::Value as FromSql<Jsonb, Pg>>::from_sql(value)?;
        Ok(Self(serde_json::from_value(value)?))
    }
}

impl<T: Serialize + std::fmt::Debug> ToSql<Jsonb, Pg> for Document<T> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        // The version of jsonb's binary form.
        out.write_all(&[1])?;
        serde_json::to_writer(out, &self.0)?;
        Ok(IsNull::No)
    }
}

impl<T> From<T> for Document<T> {
    fn from(document: T) -> Self {
        Self(document)
    }
}

macro_rules! words {
    ($($word:ty),* $(,)?) => {$(
        impl FromSql<Text, Pg> for Word<$word> {
            fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
                let text = <String as FromSql<Text, Pg>>::from_sql(value)?;
                let word = <$word>::parse(&text);
                word.map(Self).ok_or_else(|| format!("'{text}' is none of its words").into())
            }
        }
        impl From<Word<$word>> for $word {
            fn from(stored: Word<$word>) -> Self {
                stored.0
            }
        }
    )*};
}
words!(ActionKind, ActionStatus, ClusterStatus, NodeStatus);

macro_rules! documents {
    ($($form:ty),* $(,)?) => {$(
        impl From<Document<$form>> for $form {
            fn from(stored: Document<$form>) -> Self {
                stored.0
            }
        }
    )*};
}
documents!(Map, Spec);

/// An id in a uuid column that may be null.
#[derive(Debug, FromSqlRow)]
pub struct MaybeId(Option<Uuid>);

impl FromSql<Nullable<SqlUuid>, Pg> for MaybeId {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        Self::from_nullable_sql(Some(value))
    }

    fn from_nullable_sql(value: Option<PgValue<'_>>) -> deserialize::Result<Self> {
        <Option<Uuid> as FromSql<Nullable<SqlUuid>, Pg>>::from_nullable_sql(value).map(Self)
    }
}

impl AsExpression<Nullable<SqlUuid>> for MaybeId {
    type Expression = <Option<Uuid> as AsExpression<Nullable<SqlUuid>>>::Expression;

    fn as_expression(self) -> Self::Expression {
        AsExpression::<Nullable<SqlUuid>>::as_expression(self.0)
    }
}

macro_rules! ids {
    ($($id:ty),* $(,)?) => {$(
        impl From<MaybeId> for Option<$id> {
            fn from(stored: MaybeId) -> Self {
                stored.0.map(Into::into)
            }
        }
        impl From<Option<$id>> for MaybeId {
            fn from(id: Option<$id>) -> Self {
                Self(id.map(Into::into))
            }
        }
    )*};
}
ids!(ClusterId, NodeId);

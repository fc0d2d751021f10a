//! What a column holds beside its SQL type: a word of an enum, or a document of
//! a known form. A model names it with `deserialize_as`.

use diesel::{
    deserialize::{self, FromSql, FromSqlRow},
    pg::{Pg, PgValue},
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
use serde::de::DeserializeOwned;
use uuid::Uuid;

/// An enum's word in a text column.
#[derive(Debug, FromSqlRow)]
pub struct Word<T>(pub(crate) T);

/// A document in a jsonb column.
#[derive(Debug, FromSqlRow)]
pub(crate) struct Document<T>(pub(crate) T);

/// An id in a column that may be null.
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

impl<T: DeserializeOwned> FromSql<Jsonb, Pg> for Document<T> {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        let value = <serde_json::Value as FromSql<Jsonb, Pg>>::from_sql(value)?;
        Ok(Self(serde_json::from_value(value)?))
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

macro_rules! maybe_ids {
    ($($id:ident),* $(,)?) => {$(
        impl From<MaybeId> for Option<$id> {
            fn from(stored: MaybeId) -> Self {
                stored.0.map($id)
            }
        }
    )*};
}
maybe_ids!(ClusterId, NodeId);

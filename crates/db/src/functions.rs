//! SQL's own functions that diesel does not know, and instants of its clock.

use diesel::{
    IntoSql,
    dsl::{self, now},
    pg::data_types::PgInterval,
    sql_types::{Nullable, SingleValue, SqlType, Timestamptz, is_nullable::NotNull},
};

diesel::define_sql_function! {
    /// The first, or else the second when that is null.
    fn coalesce<T: SqlType<IsNull = NotNull> + SingleValue>(first: Nullable<T>, second: T) -> T;
}

diesel::define_sql_function! {
    /// The larger of the two.
    fn greatest<T: SingleValue>(first: T, second: T) -> T;
}

type Now = dsl::IntoSql<now, Timestamptz>;

/// So long from now, by the database's clock.
pub(crate) fn from_now(after: PgInterval) -> dsl::Add<Now, PgInterval> {
    now.into_sql::<Timestamptz>() + after
}

/// So long before now, by the database's clock.
pub(crate) fn ago(before: PgInterval) -> dsl::Sub<Now, PgInterval> {
    now.into_sql::<Timestamptz>() - before
}

//! SQL's own functions that diesel does not know, and instants of its clock.
//! Beside their callers they would be public: the macro makes them so.

use diesel::{
    IntoSql,
    dsl::{self, now},
    pg::data_types::PgInterval,
    sql_types::{BigInt, Bool, Nullable, SingleValue, SqlType, Text, Timestamptz, is_nullable::NotNull},
};

diesel::define_sql_function! {
    /// Puts a partition under `parent` for `begins <= key < ends`.
    fn add_partition(parent: Text, key: Text, begins: Timestamptz, ends: Timestamptz);
}

diesel::define_sql_function! {
    /// The first, or else the second when that is null.
    fn coalesce<T: SqlType<IsNull = NotNull> + SingleValue>(first: Nullable<T>, second: T) -> T;
}

diesel::define_sql_function! {
    /// The first, or else the second, which may be null too.
    #[sql_name = "coalesce"]
    fn either<T: SingleValue>(first: Nullable<T>, second: Nullable<T>) -> Nullable<T>;
}

diesel::define_sql_function! {
    /// The larger of the two.
    fn greatest<T: SingleValue>(first: T, second: T) -> T;
}

diesel::define_sql_function! {
    /// Takes a lock for this transaction, unless another one has it.
    fn pg_try_advisory_xact_lock(key: BigInt) -> Bool;
}

diesel::define_sql_function! {
    /// Sets a parameter; `local`: for this transaction.
    fn set_config(name: Text, value: Text, local: Bool) -> Text;
}

diesel::define_sql_function! {
    /// Whether a text begins so.
    fn starts_with(text: Text, beginning: Text) -> Bool;
}

diesel::define_sql_function! {
    /// The table of that name, if there is one.
    fn to_regclass(name: Text) -> Nullable<Oid>;
}

diesel::define_sql_function! {
    /// The end of the week of an instant.
    fn week_end(at: Timestamptz) -> Timestamptz;
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

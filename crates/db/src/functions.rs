//! SQL's own functions that diesel does not know.

use diesel::sql_types::{Nullable, SingleValue, SqlType, is_nullable::NotNull};

diesel::define_sql_function! {
    /// The first, or else the second when that is null.
    fn coalesce<T: SqlType<IsNull = NotNull> + SingleValue>(first: Nullable<T>, second: T) -> T;
}

diesel::define_sql_function! {
    /// The larger of the two.
    fn greatest<T: SingleValue>(first: T, second: T) -> T;
}

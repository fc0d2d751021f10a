//! Functions of the database that queries of diesel's use.

use diesel::sql_types::SingleValue;

diesel::define_sql_function! {
    /// The first of the two that is not null.
    fn coalesce<T: SingleValue>(first: T, second: T) -> T;
}

diesel::define_sql_function! {
    /// The larger of the two.
    fn greatest<T: SingleValue>(first: T, second: T) -> T;
}

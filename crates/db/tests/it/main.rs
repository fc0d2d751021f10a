//! The schema and the queue on a real PostgreSQL.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it counted"
)]

mod bindings;
mod ends;
mod loads;
mod locks;
mod nodes;
mod placement;
mod queue;
mod resources;
mod schema;
mod statements_a;
mod statements_b;
mod statements_c;
mod statements_d;
mod statements_e;
mod transitions;
mod unaccounted;
mod upgrade;
mod yard;

mod connect;
mod events;
mod history;
use senlin_testkit::TestDb;

#[tokio::test(flavor = "multi_thread")]
async fn conventions_hold() {
    let db = TestDb::new().await.unwrap();
    // Every foreign key is the beginning of an index.
    let bare = "SELECT c.conrelid::regclass || '.' || a.attname FROM pg_constraint c
        JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
        WHERE c.contype = 'f' AND NOT EXISTS (SELECT 1 FROM pg_index i
            WHERE i.indrelid = c.conrelid AND i.indkey[0] = c.conkey[1])";
    assert_eq!(
        db.column(bare).await.unwrap(),
        Vec::<String>::new(),
        "foreign keys without an index"
    );
    let zoneless = "SELECT table_name || '.' || column_name FROM information_schema.columns
        WHERE table_schema = 'public' AND data_type = 'timestamp without time zone'
            AND table_name <> '__diesel_schema_migrations'";
    assert_eq!(
        db.column(zoneless).await.unwrap(),
        Vec::<String>::new(),
        "instants without a zone"
    );
    // Every status column is checked.
    let unchecked = "SELECT table_name || '.' || column_name FROM information_schema.columns col
        WHERE table_schema = 'public' AND table_name NOT LIKE 'events%' AND column_name IN ('status', 'state', 'lock_scope', 'control')
            AND NOT EXISTS (SELECT 1 FROM information_schema.constraint_column_usage u
                JOIN information_schema.check_constraints k USING (constraint_name)
                WHERE u.table_name = col.table_name AND u.column_name = col.column_name)";
    assert_eq!(
        db.column(unchecked).await.unwrap(),
        Vec::<String>::new(),
        "enums without a check"
    );
    db.close().await.unwrap();
}

//! `schema.rs` is what the migrations make.

use std::fmt::Write as _;

use senlin_testkit::TestDb;

/// A line per column: table, whether it is of the primary key, column, type.
const COLUMNS: &str = "SELECT c.relname || ' ' || a.attname || ' '
        || coalesce((SELECT array_position(i.indkey::smallint[], a.attnum)::text FROM pg_index i
            WHERE i.indrelid = c.oid AND i.indisprimary), '-') || ' '
        || CASE WHEN a.attnotnull THEN 'NOT' ELSE 'NULL' END || ' ' || t.typname
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_type t ON t.oid = a.atttypid
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
        -- diesel has no type for a transaction's number: the statements that read it are text.
        AND t.typname <> 'xid8' AND c.relname NOT LIKE '\\_\\_%'
    ORDER BY c.relname, a.attnum";

/// A line per foreign key: table, the other table, column, whether it may be null.
const KEYS: &str =
    "SELECT c.conrelid::regclass || ' ' || c.confrelid::regclass || ' ' || a.attname || ' ' || a.attnotnull
    FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
    WHERE c.contype = 'f' AND c.conparentid = 0 ORDER BY 1";

fn rust(sql: &str) -> String {
    let one = match sql.trim_start_matches('_') {
        "uuid" => "Uuid",
        "text" => "Text",
        "int4" => "Integer",
        "int8" => "BigInt",
        "float8" => "Double",
        "bool" => "Bool",
        "jsonb" => "Jsonb",
        "timestamptz" => "Timestamptz",
        other => panic!("no column is of type '{other}' yet"),
    };
    if sql.starts_with('_') {
        format!("Array<{one}>")
    } else {
        one.to_owned()
    }
}

async fn generated(db: &TestDb) -> String {
    let mut text = String::from(
        "//! The tables, as the migrations make them: a test compares, and writes this file anew with `UPDATE=1`.\n\n\
         #![allow(missing_docs, reason = \"generated; the migrations say what each column means\")]\n",
    );
    let columns = db.column(COLUMNS).await.unwrap();
    let columns: Vec<Vec<&str>> = columns.iter().map(|line| line.split(' ').collect()).collect();
    let mut tables = Vec::new();
    for of_table in columns.chunk_by(|a, b| a[0] == b[0]) {
        let table = of_table[0][0];
        tables.push(table);
        let mut key: Vec<_> = of_table.iter().filter(|c| c[2] != "-").map(|c| (c[2], c[1])).collect();
        key.sort_unstable();
        let key: Vec<_> = key.iter().map(|(_, column)| *column).collect();
        // diesel asks for a key where there is none.
        let key = if key.is_empty() {
            of_table[0][1].to_owned()
        } else {
            key.join(", ")
        };
        write!(text, "\ndiesel::table! {{\n    {table} ({key}) {{\n").unwrap();
        for column in of_table {
            let kind = rust(column[4]);
            let kind = if column[3] == "NOT" {
                kind
            } else {
                format!("Nullable<{kind}>")
            };
            match column[1] {
                "type" => writeln!(text, "        #[sql_name = \"type\"]\n        type_name -> {kind},"),
                name => writeln!(text, "        {name} -> {kind},"),
            }
            .unwrap();
        }
        text.push_str("    }\n}\n");
    }
    let keys = db.column(KEYS).await.unwrap();
    let keys: Vec<Vec<&str>> = keys.iter().map(|line| line.split(' ').collect()).collect();
    text.push('\n');
    for key in &keys {
        // Of several ways to join, the one that is always there.
        let of_both = |k: &&Vec<&str>| (k[0], k[1]) == (key[0], key[1]) || (k[1], k[0]) == (key[0], key[1]);
        let ways: Vec<_> = keys.iter().filter(of_both).collect();
        let sure = ways.iter().filter(|k| k[3] == "true").count();
        if key[0] != key[1] && (ways.len() == 1 || sure == 1 && key[3] == "true") {
            writeln!(text, "diesel::joinable!({} -> {} ({}));", key[0], key[1], key[2]).unwrap();
        }
    }
    write!(
        text,
        "\ndiesel::allow_tables_to_appear_in_same_query!(\n    {},\n);\n",
        tables.join(",\n    ")
    )
    .unwrap();
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn schema_is_current() {
    let db = TestDb::new().await.unwrap();
    let generated = generated(&db).await;
    db.close().await.unwrap();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/schema.rs");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, &generated).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == generated,
        "src/schema.rs is not what the migrations make: write it anew with UPDATE=1"
    );
}

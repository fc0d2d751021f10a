//! The schema: applied by `senlin migrate`, checked by every server at start.
//!
//! Migrations expand first and contract a release later, so that an engine of
//! the release before still works on the new schema.

use diesel::{migration::MigrationSource, pg::Pg};
use diesel_async::AsyncMigrationHarness;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use senlin_core::secret::Secret;

use crate::{
    Conn, DbError, Result, Servers,
    sql::{Sql, row},
};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!();

/// What the database's schema is to this program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemaState {
    /// Just right.
    Current,
    /// `senlin migrate` must be run; the migrations it will apply.
    Behind(Vec<String>),
    /// Written by a newer release; the migrations we do not know.
    Ahead(Vec<String>),
}

impl std::fmt::Display for SchemaState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Current => f.write_str("the database schema is current"),
            Self::Behind(missing) => write!(
                f,
                "the database schema lacks {}: run 'senlin migrate' with the same settings",
                missing.join(", ")
            ),
            Self::Ahead(unknown) => write!(
                f,
                "the database schema has {}, which this release does not know: \
                 install the release that wrote it, or a newer one",
                unknown.join(", ")
            ),
        }
    }
}

/// Applies every migration that is missing; answers their names.
///
/// # Errors
/// When the database cannot be reached or a migration fails.
pub async fn migrate(url: &Secret) -> Result<Vec<String>> {
    let conn = Servers::parse(url)?
        .connect()
        .await
        .map_err(|e| DbError::Unavailable(Box::new(e)))?;
    let mut harness = AsyncMigrationHarness::new(conn);
    let applied = harness
        .run_pending_migrations(MIGRATIONS)
        .map_err(|e| DbError::Migration(e.to_string()))?;
    Ok(applied.iter().map(ToString::to_string).collect())
}

row! { Version { version: String = diesel::sql_types::Text } }
row! { Exists { exists: bool = diesel::sql_types::Bool } }

/// Compares the database's schema with this program's.
///
/// # Errors
/// When the database cannot be asked.
pub async fn schema_state(conn: &mut Conn) -> Result<SchemaState> {
    let known: Vec<String> = MigrationSource::<Pg>::migrations(&MIGRATIONS)
        .map_err(|e| DbError::Migration(e.to_string()))?
        .iter()
        .map(|m| m.name().version().to_string())
        .collect();
    let table: Option<Exists> = Sql::new("SELECT to_regclass('__diesel_schema_migrations') IS NOT NULL AS exists")
        .first(conn)
        .await?;
    let applied: Vec<String> = if table.is_some_and(|t| t.exists) {
        let rows: Vec<Version> = Sql::new("SELECT version FROM __diesel_schema_migrations ORDER BY version")
            .load(conn)
            .await?;
        rows.into_iter().map(|r| r.version).collect()
    } else {
        Vec::new()
    };
    let missing: Vec<String> = known.iter().filter(|k| !applied.contains(k)).cloned().collect();
    let unknown: Vec<String> = applied.iter().filter(|a| !known.contains(a)).cloned().collect();
    Ok(match (missing.is_empty(), unknown.is_empty()) {
        (_, false) => SchemaState::Ahead(unknown),
        (false, true) => SchemaState::Behind(missing),
        (true, true) => SchemaState::Current,
    })
}

//! The schema: applied by `senlin migrate`, checked by every server at start.
//!
//! Migrations expand first and contract a release later, so that a program of
//! the release before still works on the new schema. A migration that keeps to
//! this records in `schema_compatibility` since which schema programs work with
//! it; a program that meets it and is not older than that goes on.

use diesel::{migration::MigrationSource, pg::Pg, prelude::*};
use diesel_async::AsyncMigrationHarness;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use senlin_core::secret::Secret;

use self::noted::__diesel_schema_migrations;
use crate::{Conn, DbError, Result, Servers, functions::to_regclass, run::Run, schema::schema_compatibility};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!();

/// The table in which diesel notes what was applied.
mod noted {
    diesel::table! {
        __diesel_schema_migrations (version) {
            version -> Text,
        }
    }
}

/// What the database's schema is to this program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemaState {
    /// Just right.
    Current,
    /// `senlin migrate` must be run; the migrations it will apply.
    Behind(Vec<String>),
    /// Written by a newer release that this one works beside; the migrations
    /// we do not know.
    Newer(Vec<String>),
    /// Written by a newer release; the migrations we do not know and cannot
    /// work with.
    Ahead(Vec<String>),
}

impl SchemaState {
    /// Whether this program may work on the database.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        matches!(self, Self::Current | Self::Newer(_))
    }
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
            Self::Newer(unknown) => write!(
                f,
                "the database schema has {}, which this release does not know and works with",
                unknown.join(", ")
            ),
            Self::Ahead(unknown) => write!(
                f,
                "the database schema has {}, which this release cannot work with: \
                 install the release that wrote it, or a newer one",
                unknown.join(", ")
            ),
        }
    }
}

/// Applies every migration that is missing; returns their names.
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

/// Compares the database's schema with this program's.
pub async fn schema_state(conn: &mut Conn) -> Result<SchemaState> {
    let known: Vec<String> = MigrationSource::<Pg>::migrations(&MIGRATIONS)
        .map_err(|e| DbError::Migration(e.to_string()))?
        .iter()
        .map(|m| m.name().version().to_string())
        .collect();
    let applied = applied(conn).await?;
    let newest = known.iter().max().cloned().unwrap_or_default();
    let compatible = compatible(conn, &newest).await?;
    let missing: Vec<String> = known.iter().filter(|k| !applied.contains(k)).cloned().collect();
    let unknown: Vec<String> = applied.iter().filter(|a| !known.contains(a)).cloned().collect();
    let strange: Vec<String> = unknown.iter().filter(|u| !compatible.contains(u)).cloned().collect();
    Ok(if !strange.is_empty() {
        SchemaState::Ahead(strange)
    } else if !missing.is_empty() {
        SchemaState::Behind(missing)
    } else if unknown.is_empty() {
        SchemaState::Current
    } else {
        SchemaState::Newer(unknown)
    })
}

/// Whether there is such a table: an older schema, or none, has not.
async fn exists(conn: &mut Conn, table: &str) -> Result<bool> {
    let found: Option<bool> = diesel::select(to_regclass(table).is_not_null())
        .fetch_optional(conn)
        .await?;
    Ok(found.unwrap_or_default())
}

/// The migrations that were applied.
async fn applied(conn: &mut Conn) -> Result<Vec<String>> {
    if !exists(conn, "__diesel_schema_migrations").await? {
        return Ok(Vec::new());
    }
    let versions = __diesel_schema_migrations::table.select(__diesel_schema_migrations::version);
    versions
        .order(__diesel_schema_migrations::version)
        .fetch_all(conn)
        .await
}

/// The migrations that programs work with whose newest migration is this one.
async fn compatible(conn: &mut Conn, newest: &str) -> Result<Vec<String>> {
    if !exists(conn, "schema_compatibility").await? {
        return Ok(Vec::new());
    }
    schema_compatibility::table
        .filter(schema_compatibility::programs_since.le(newest))
        .select(schema_compatibility::version)
        .order(schema_compatibility::version)
        .fetch_all(conn)
        .await
}

//! Why the database did not do it.

use diesel::result::{DatabaseErrorKind, Error as Diesel};

/// Result of every query.
pub type Result<T, E = DbError> = std::result::Result<T, E>;

/// Why the database did not do it.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// No connection to be had: worth trying again.
    #[error("the database cannot be reached")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A query failed.
    #[error("a query failed")]
    Query(#[source] Diesel),
    /// More than one object has that name or short id.
    #[error("Multiple results found matching the query criteria '{0}'. Please be more specific.")]
    MultipleChoices(String),
    /// The action is no longer ours: somebody else may be working on it.
    #[error("the action's lease is lost")]
    LeaseLost,
    /// A repeat of the request holds its idempotency key by now.
    #[error("A repeat of this request goes on in its place: its Idempotency-Key was taken over.")]
    KeyLost,
    /// A row says what no code of ours would have written.
    #[error("column {column} holds '{value}', which is unknown")]
    Corrupt {
        /// `table.column`.
        column: &'static str,
        /// What it holds.
        value: String,
    },
    /// The migrations could not be applied.
    #[error("migrating the database failed: {0}")]
    Migration(String),
}

impl DbError {
    /// Lost to another transaction, or the server went away: try again.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable(_) => true,
            Self::Query(Diesel::DatabaseError(kind, info)) => {
                matches!(
                    kind,
                    DatabaseErrorKind::SerializationFailure
                        | DatabaseErrorKind::ClosedConnection
                        | DatabaseErrorKind::UnableToSendCommand
                ) || {
                    let text = info.message();
                    text.contains("deadlock detected")
                        || text.contains("connection closed")
                        || text.contains("terminating connection")
                        || text.contains("the database system is")
                }
            }
            Self::Query(Diesel::BrokenTransactionManager) => true,
            _ => false,
        }
    }

    /// A foreign key still points at the row.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        matches!(
            self,
            Self::Query(Diesel::DatabaseError(DatabaseErrorKind::ForeignKeyViolation, _))
        )
    }

    /// A unique column has that value already.
    #[must_use]
    pub fn is_duplicate(&self) -> bool {
        matches!(
            self,
            Self::Query(Diesel::DatabaseError(DatabaseErrorKind::UniqueViolation, _))
        )
    }
}

impl From<Diesel> for DbError {
    fn from(error: Diesel) -> Self {
        Self::Query(error)
    }
}

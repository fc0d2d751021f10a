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
            Self::Unavailable(_) | Self::Query(Diesel::BrokenTransactionManager) => true,
            Self::Query(error) => Condition::of(error) != Condition::Final,
            _ => false,
        }
    }

    /// The connection is of no use any more, or its server is not: another one
    /// may be.
    pub(crate) fn is_connection_lost(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::Query(Diesel::BrokenTransactionManager) => true,
            Self::Query(error) => Condition::of(error) == Condition::Lost,
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

/// What an error says of trying again.
#[derive(Debug, PartialEq, Eq)]
enum Condition {
    /// On another connection.
    Lost,
    /// As it was.
    Again,
    /// No use.
    Final,
}

impl Condition {
    fn of(error: &Diesel) -> Self {
        let Diesel::DatabaseError(kind, info) = error else {
            return Self::Final;
        };
        match kind {
            DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand => Self::Lost,
            DatabaseErrorKind::SerializationFailure => Self::Again,
            // A primary that became a standby.
            DatabaseErrorKind::ReadOnlyTransaction => Self::Lost,
            _ => Self::of_text(info.message()),
        }
    }

    /// diesel passes no SQLSTATE on for these, only the server's English. A
    /// closed connection is found out in any language, when it is next taken.
    fn of_text(text: &str) -> Self {
        let lost = [
            "connection closed",
            "terminating connection",
            "the database system is",
            "server closed the connection",
            "Connection reset by peer",
            "Broken pipe",
            "communicating with the server",
        ];
        let again = [
            "deadlock detected",
            "canceling statement due to",
            "could not obtain lock",
            "could not serialize access",
            "tuple to be locked was already moved",
        ];
        if lost.iter().any(|l| text.contains(l)) {
            Self::Lost
        } else if again.iter().any(|a| text.contains(a)) {
            Self::Again
        } else {
            Self::Final
        }
    }
}

//! What goes wrong, and how it is told.

use std::{error::Error, fmt::Write};

use senlin_core::{profile_type::ProfileError, steps::Interrupt};
use senlin_db::DbError;

/// Why a handler did not get to its end.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The profile or its host.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The work was stopped.
    #[error(transparent)]
    Interrupt(#[from] Interrupt),
    /// A rule says no; the text is for the user.
    #[error("{0}")]
    Refused(String),
    /// It cannot be done now, and may be soon: what it waits for.
    #[error("{0}")]
    NotYet(String),
}

impl Failure {
    /// The interrupt behind it, wherever it was met.
    #[must_use]
    pub fn interrupt(&self) -> Option<&Interrupt> {
        match self {
            Self::Interrupt(i) | Self::Profile(ProfileError::Interrupt(i)) => Some(i),
            _ => None,
        }
    }

    /// Another engine may own the action by now: nothing more may be touched.
    #[must_use]
    pub fn is_lease_lost(&self) -> bool {
        matches!(self, Self::Db(DbError::LeaseLost)) || self.interrupt() == Some(&Interrupt::LeaseLost)
    }

    /// Worth trying again later, unchanged.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Db(e) => e.is_transient(),
            Self::Profile(e) => e.is_transient(),
            Self::NotYet(_) => true,
            Self::Interrupt(_) | Self::Refused(_) => false,
        }
    }
}

/// An error with its sources, as one line.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}

/// A failure in words for the user: nothing of the database's insides.
pub(crate) fn words(failure: &Failure) -> String {
    match failure {
        Failure::Db(_) => "The database could not do it; the engine's log has the details.".to_owned(),
        other => chain(other),
    }
}

/// Whether a host could not be asked.
pub(crate) fn host_unknown(failure: &Failure) -> bool {
    matches!(failure, Failure::Profile(ProfileError::Driver(e)) if e.is_unknown())
}

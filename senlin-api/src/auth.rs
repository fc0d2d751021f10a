//! Who is asking: tokens from a file, or Keystone's.

use std::{path::Path, sync::Arc};

use anyhow::Context;
use senlin_core::caller::Caller;

mod keystone;
mod tokens;

pub use keystone::{Keystone, Settings as KeystoneSettings};
pub use tokens::{TokenFile, hash};

/// Why somebody is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// The token is none of ours, or not any more.
    #[error("The request you have made requires authentication.")]
    Denied,
    /// The token is good, but not for a project.
    #[error("A project-scoped token is needed; this one is {0}.")]
    Scope(&'static str),
    /// Whoever knows tokens cannot be asked: unknown is not denied.
    #[error("the identity service does not answer")]
    Unavailable,
}

/// The one that the settings ask for: Keystone, or else a file of tokens.
///
/// # Errors
/// When a file cannot be read, or the settings are not enough.
pub fn from_settings(keystone: Option<KeystoneSettings>, tokens: &Path) -> anyhow::Result<Arc<dyn Authenticator>> {
    Ok(match keystone {
        Some(settings) => Arc::new(Keystone::new(settings).context("use Keystone")?),
        None => Arc::new(TokenFile::read(tokens).context("read api.tokens_file")?),
    })
}

/// Tells who a token belongs to.
#[async_trait::async_trait]
pub trait Authenticator: Send + Sync {
    /// The identity behind a token.
    ///
    /// # Errors
    /// Why it is not let in.
    async fn authenticate(&self, token: &str, request_id: &str) -> Result<Caller, AuthError>;

    /// The roles that a user has in a project now; none of them is none.
    ///
    /// # Errors
    /// [`AuthError::Unavailable`].
    async fn roles(&self, user: &str, project: &str) -> Result<Vec<String>, AuthError>;

    /// The `WWW-Authenticate` header of a 401.
    fn challenge(&self) -> String;
}

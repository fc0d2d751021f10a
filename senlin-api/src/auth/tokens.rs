//! Tokens from a file, kept as hashes.

use std::path::Path;

use chrono::{DateTime, Utc};
use senlin_core::caller::Caller;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{AuthError, Authenticator};

/// One line of the file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// SHA-256 of the token, in hexadecimal.
    sha256: String,
    user: String,
    project: String,
    #[serde(default)]
    roles: Vec<String>,
    /// From then on it is not let in, such as `2027-01-31T00:00:00Z`.
    expires_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tokens {
    tokens: Vec<Entry>,
}

/// Tokens from a file: `[[tokens]]` with `sha256`, `user`, `project`, `roles`
/// and, if it is to end, `expires_at`.
pub struct TokenFile {
    entries: Vec<([u8; 32], Entry)>,
}

impl TokenFile {
    /// Reads the file.
    ///
    /// # Errors
    /// When it cannot be read, everyone may read it, or a line is wrong.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        senlin_runtime::settings::private(path)?;
        let text = std::fs::read_to_string(path)?;
        Self::parse(&text).map_err(|e| anyhow::anyhow!("tokens file '{}': {e}", path.display()))
    }

    /// Understands the text of such a file.
    ///
    /// # Errors
    /// Names the line that is wrong.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let tokens: Tokens = senlin_runtime::settings::toml(text)?;
        let mut entries = Vec::new();
        for entry in tokens.tokens {
            let mut hash = [0; 32];
            hex::decode_to_slice(&entry.sha256, &mut hash).map_err(|e| {
                anyhow::anyhow!("the sha256 of user '{}' is not 64 hexadecimal digits: {e}", entry.user)
            })?;
            entries.push((hash, entry));
        }
        Ok(Self { entries })
    }
}

/// The hash of a token as the file holds it.
#[must_use]
pub fn hash(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}

#[async_trait::async_trait]
impl Authenticator for TokenFile {
    async fn authenticate(&self, token: &str, request_id: &str) -> Result<Caller, AuthError> {
        let given = Sha256::digest(token.as_bytes());
        // Every entry is looked at: the time tells nothing.
        let mut found = None;
        for (hash, entry) in &self.entries {
            if bool::from(given.as_slice().ct_eq(hash)) {
                found = Some(entry);
            }
        }
        let entry = found
            .filter(|e| e.expires_at.is_none_or(|end| end > Utc::now()))
            .ok_or(AuthError::Denied)?;
        Ok(Caller {
            user: entry.user.clone(),
            project: entry.project.clone(),
            domain: None,
            // Decided by the rules, for every kind of token alike.
            is_admin: false,
            roles: entry.roles.clone(),
            request_id: request_id.to_owned(),
        })
    }

    async fn roles(&self, user: &str, project: &str) -> Result<Vec<String>, AuthError> {
        let theirs = self.entries.iter().map(|(_, e)| e);
        let lives = |e: &&Entry| e.expires_at.is_none_or(|end| end > Utc::now());
        let theirs = theirs.filter(|e| e.user == user && e.project == project).filter(lives);
        Ok(theirs.flat_map(|e| e.roles.iter().cloned()).collect())
    }

    fn challenge(&self) -> String {
        "Token".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_web::test]
    async fn only_the_right_token_is_let_in() {
        let text = format!(
            "[[tokens]]\nsha256 = \"{}\"\nuser = \"u\"\nproject = \"p\"\nroles = [\"member\"]\n",
            hash("open sesame")
        );
        let file = TokenFile::parse(&text).unwrap();
        let caller = file.authenticate("open sesame", "req-1").await.unwrap();
        assert_eq!((caller.user.as_str(), caller.project.as_str()), ("u", "p"));
        for wrong in ["open sesam", ""] {
            assert_eq!(file.authenticate(wrong, "req-1").await.unwrap_err(), AuthError::Denied);
        }
        assert_eq!(file.roles("u", "p").await.unwrap(), ["member"]);
        assert!(file.roles("u", "q").await.unwrap().is_empty());
        assert!(TokenFile::parse("[[tokens]]\nsha256 = \"xyz\"\nuser = \"u\"\nproject = \"p\"\n").is_err());
        assert!(TokenFile::parse("[[tokens]]\ntoken = \"xyz\"\n").is_err());
    }
}

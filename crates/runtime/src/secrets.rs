//! Settings that are shared, and where their secrets come from.

use std::path::{Path, PathBuf};

use senlin_core::{seal::Sealer, secret::Secret};
use serde::Deserialize;

use crate::settings::{SettingsError, private};

/// Where the database is.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// `postgres://user:password@host/name`; hosts may be several, with commas.
    pub url: Option<Secret>,
    /// A file that holds it.
    pub url_file: Option<PathBuf>,
    /// Connections at most.
    #[serde(default = "pool_size")]
    pub pool_size: usize,
}

fn pool_size() -> usize {
    8
}

/// Where the broker is.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bus {
    /// `amqp://user:password@host:5672/vhost`; hosts may be several, with commas.
    pub url: Option<Secret>,
    /// A file that holds it.
    pub url_file: Option<PathBuf>,
    /// Beginning of the queues' names.
    #[serde(default = "prefix")]
    pub prefix: String,
    /// Whether durable queues are quorum queues; they are when the URL names
    /// several hosts, unless this says otherwise.
    pub quorum: Option<bool>,
}

fn prefix() -> String {
    "senlin".to_owned()
}

/// The key that seals secrets in specs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secrets {
    /// A file with 32 bytes in base64, as `senlin keygen` writes it.
    pub key_file: PathBuf,
}

impl Database {
    /// The URL, from wherever it is.
    ///
    /// # Errors
    /// When it is nowhere, or in a file that everyone may read.
    pub fn resolve(&self) -> Result<Secret, SettingsError> {
        one_of("database.url", self.url.as_ref(), self.url_file.as_deref())
    }
}

impl Bus {
    /// The URL, from wherever it is.
    ///
    /// # Errors
    /// As [`Database::resolve`].
    pub fn resolve(&self) -> Result<Secret, SettingsError> {
        one_of("bus.url", self.url.as_ref(), self.url_file.as_deref())
    }
}

impl Secrets {
    /// The sealer with the key from the file.
    ///
    /// # Errors
    /// When the file cannot be read, everyone may read it, or it holds no key.
    pub fn sealer(&self) -> Result<Sealer, SettingsError> {
        let key = read(&self.key_file)?;
        Sealer::new(&key).map_err(|e| SettingsError::Wrong(format!("secrets.key_file: {e}")))
    }
}

/// A secret that is set inline or in a file of its own, but not both.
///
/// # Errors
/// When it is neither, or both, or in a file that everyone may read.
pub fn one_of(key: &str, inline: Option<&Secret>, file: Option<&Path>) -> Result<Secret, SettingsError> {
    match (inline, file) {
        (Some(value), None) => Ok(value.clone()),
        (None, Some(path)) => read(path),
        (None, None) => Err(SettingsError::Wrong(format!("{key} or {key}_file is missing"))),
        (Some(_), Some(_)) => Err(SettingsError::Wrong(format!("{key} and {key}_file are both set"))),
    }
}

/// A secret from a file of its own.
///
/// # Errors
/// When it cannot be read, or everyone may read it.
pub fn read(path: &Path) -> Result<Secret, SettingsError> {
    private(path)?;
    std::fs::read_to_string(path)
        .map(|text| Secret::new(text.trim()))
        .map_err(|source| SettingsError::Read {
            path: path.display().to_string(),
            source,
        })
}

//! Log lines.

use serde::Deserialize;
use tracing_subscriber::EnvFilter;

/// How log lines look, and which there are.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// `text` or `json`.
    pub format: Format,
    /// Such as `info` or `info,senlin_engine=debug`.
    pub level: String,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "plain words")]
pub enum Format {
    Text,
    Json,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: Format::Text,
            level: "info".to_owned(),
        }
    }
}

/// Begins logging, to standard error.
///
/// # Errors
/// When the level cannot be understood; the text names it.
pub fn init(log: &Log) -> Result<(), crate::settings::SettingsError> {
    let filter = EnvFilter::try_new(&log.level)
        .map_err(|e| crate::settings::SettingsError::Wrong(format!("log.level '{}': {e}", log.level)))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let done = match log.format {
        Format::Text => builder.try_init(),
        Format::Json => builder.json().try_init(),
    };
    // A second start in one process keeps the first one's log.
    if let Err(error) = done {
        tracing::debug!(%error, "logging was begun already");
    }
    Ok(())
}

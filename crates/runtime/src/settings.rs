//! Settings: a TOML file, then the environment. Every wrong key or value is
//! refused with its name.

use std::{os::unix::fs::PermissionsExt, path::Path};

use config::{Config, Environment, File, FileFormat};
use serde::de::DeserializeOwned;

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("settings file '{path}' cannot be read")]
    Read {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A key or value is wrong; the text names it.
    #[error("settings are wrong: {0}")]
    Wrong(String),
    /// Anybody on the machine could read secrets.
    #[error("'{0}' holds secrets and is readable by everyone: chmod o-r it")]
    Exposed(String),
}

/// Reads `T` from a TOML file (if given) and from variables `SENLIN__SECTION__KEY`.
///
/// # Errors
/// Names what is wrong.
pub fn load<T: DeserializeOwned>(file: Option<&Path>) -> Result<T, SettingsError> {
    let environment = Environment::with_prefix("SENLIN")
        .prefix_separator("__")
        .separator("__")
        .try_parsing(true);
    let mut builder = Config::builder();
    if let Some(path) = file {
        let text = std::fs::read_to_string(path).map_err(|source| SettingsError::Read {
            path: path.display().to_string(),
            source,
        })?;
        if holds_secrets(&text) {
            private(path)?;
        }
        builder = builder.add_source(File::from_str(&text, FileFormat::Toml));
    }
    builder
        .add_source(environment)
        .build()
        .and_then(Config::try_deserialize)
        .map_err(|e| SettingsError::Wrong(e.to_string()))
}

/// Reads `T` from TOML.
///
/// # Errors
/// Names what is wrong.
pub fn toml<T: DeserializeOwned>(text: &str) -> Result<T, SettingsError> {
    Config::builder()
        .add_source(File::from_str(text, FileFormat::Toml))
        .build()
        .and_then(Config::try_deserialize)
        .map_err(|e| SettingsError::Wrong(e.to_string()))
}

/// A URL with a password in it is a secret in the file itself, and so is a
/// key that is called one.
fn holds_secrets(text: &str) -> bool {
    text.lines().filter(|l| !l.trim_start().starts_with('#')).any(|l| {
        let key = l.split('=').next().unwrap_or_default().trim();
        if key.ends_with("password") || key.ends_with("_secret") {
            return true;
        }
        l.split_once("://").is_some_and(|(_, rest)| {
            let authority = rest.split('/').next().unwrap_or_default();
            authority.split_once('@').is_some_and(|(user, _)| user.contains(':'))
        })
    })
}

/// Refuses a file that everyone may read.
///
/// # Errors
/// [`SettingsError::Exposed`].
pub fn private(path: &Path) -> Result<(), SettingsError> {
    let shown = path.display().to_string();
    let mode = std::fs::metadata(path).map_err(|source| SettingsError::Read {
        path: shown.clone(),
        source,
    })?;
    if mode.permissions().mode() & 0o004 == 0 {
        Ok(())
    } else {
        Err(SettingsError::Exposed(shown))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read by serde")]
    struct Example {
        #[serde(default)]
        engine: Engine,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Engine {
        slots: u32,
    }

    fn file(name: &str, text: &str, mode: u32) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("senlin-settings-{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn wrong_keys_and_values_are_named() {
        for (name, text, word) in [
            ("key", "[engine]\nslot = 1\n", "slot"),
            ("section", "[motor]\nslots = 1\n", "motor"),
            ("value", "[engine]\nslots = \"many\"\n", "engine.slots"),
        ] {
            let path = file(name, text, 0o600);
            let error = load::<Example>(Some(&path)).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
            std::fs::remove_file(path).unwrap();
        }
    }

    #[test]
    fn secrets_that_everyone_may_read_are_refused() {
        let path = file(
            "open",
            "# postgres://a:b@c\n[database]\nurl = \"postgres://u:p@h/d\"\n",
            0o644,
        );
        assert!(matches!(load::<Example>(Some(&path)), Err(SettingsError::Exposed(_))));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(
            matches!(load::<Example>(Some(&path)), Err(SettingsError::Wrong(_))),
            "only the key is wrong now"
        );
        std::fs::remove_file(path).unwrap();
    }
}

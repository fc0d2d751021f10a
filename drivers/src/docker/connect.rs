//! The one place where connections are made.

use std::{
    fs,
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::PathBuf,
    time::Duration,
};

use bollard::{API_DEFAULT_VERSION, Docker};
use senlin_core::{driver::DriverError, host::Endpoint};

use super::{error, tls};

/// Seconds that a connection may take before the host counts as silent.
const CONNECT: u64 = 10;
/// bollard's own bound; ours are tighter, call by call.
const LONGEST: u64 = 900;

/// A key file that ssh reads from disk: private, and gone with the
/// connection.
pub(super) struct Keys(PathBuf);

impl Keys {
    fn new() -> std::io::Result<Self> {
        let unique = format!("senlin-keys-{}-{:x}", std::process::id(), rand_suffix());
        let dir = std::env::temp_dir().join(unique);
        fs::DirBuilder::new().mode(0o700).create(&dir)?;
        Ok(Self(dir))
    }

    fn write(&self, name: &str, text: &str) -> std::io::Result<PathBuf> {
        let path = self.0.join(name);
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        file.write_all(text.as_bytes())?;
        Ok(path)
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, "key files could not be removed");
        }
    }
}

fn rand_suffix() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}

pub(super) async fn connect(endpoint: &Endpoint) -> Result<(Docker, Option<Keys>), DriverError> {
    let url = endpoint.url.as_str();
    let refuse = |reason: String| DriverError::Endpoint {
        endpoint: url.to_owned(),
        reason,
    };
    let key_files = |e: std::io::Error| refuse(format!("key files cannot be written: {e}"));
    let mut keys = None;
    let docker = if url.starts_with("unix://") {
        Docker::connect_with_unix(url, LONGEST, API_DEFAULT_VERSION)
    } else if url.starts_with("ssh://") {
        let path = match &endpoint.ssh_key {
            Some(key) => {
                let dir = Keys::new().map_err(key_files)?;
                let path = dir.write("id", key.expose()).map_err(key_files)?;
                keys = Some(dir);
                Some(path.display().to_string())
            }
            None => None,
        };
        Docker::connect_with_ssh(url, LONGEST, API_DEFAULT_VERSION, path)
    } else if let Some(tls) = &endpoint.tls {
        tls::connect(url, tls, LONGEST).map_err(refuse)?
    } else {
        Docker::connect_with_http(url, LONGEST, API_DEFAULT_VERSION)
    };
    let docker = docker.map_err(|e| error::translate(url, "connect", CONNECT, &e))?;
    // bollard sends no version before this, and newer releases send theirs.
    let negotiated = tokio::time::timeout(Duration::from_secs(CONNECT), docker.negotiate_version()).await;
    match negotiated {
        Ok(Ok(docker)) => Ok((docker, keys)),
        Ok(Err(e)) => Err(error::translate(url, "connect", CONNECT, &e)),
        Err(_) => Err(DriverError::TimedOut {
            endpoint: url.to_owned(),
            verb: "connect",
            seconds: CONNECT,
        }),
    }
}

/// Engines from API 1.41 (Docker 20.10) up.
pub(super) fn new_enough(endpoint: &str, version: &str, api: &str) -> Result<(), DriverError> {
    let numbers = api
        .split_once('.')
        .and_then(|(a, b)| Some((a.parse::<u32>().ok()?, b.parse::<u32>().ok()?)));
    match numbers {
        Some(have) if have >= (1, 41) => Ok(()),
        _ => Err(DriverError::TooOld {
            endpoint: endpoint.to_owned(),
            version: version.to_owned(),
            api: api.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_engines_are_refused_by_name() {
        assert!(new_enough("x", "20.10.24", "1.41").is_ok());
        assert!(new_enough("x", "26.1.5", "1.45").is_ok());
        let error = new_enough("tcp://h:2376", "19.03", "1.40").unwrap_err();
        assert_eq!(
            error.to_string(),
            "host tcp://h:2376 runs Docker Engine 19.03 with API 1.40; 1.41 or newer is needed"
        );
    }
}

//! From an endpoint to a connected driver.

use std::{sync::Arc, time::Duration};

use moka::sync::Cache;
use senlin_core::{
    driver::{ContainerDriver, DriverError, HostConnector},
    host::Endpoint,
};

use crate::{docker::DockerHost, sim::SimHost};

/// What the operator allows.
#[derive(Debug, Clone, Copy, Default)]
pub struct Settings {
    /// `sim://` may be used.
    pub allow_simulated: bool,
}

/// Drivers that are kept at most.
const MAX_CACHED_DRIVERS: u64 = 10_000;
/// For so long a driver is kept that nobody asks for; a host in use is asked
/// for with every heartbeat.
const IDLE: Duration = Duration::from_secs(600);

/// Makes drivers, and keeps them: a driver's connections are worth keeping.
pub struct Connector {
    settings: Settings,
    known: Cache<String, Known>,
}

#[derive(Clone)]
struct Known {
    /// A changed key or certificate needs another connection.
    print: u64,
    driver: Arc<dyn ContainerDriver>,
}

impl Connector {
    /// A connector that allows what the settings do.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            known: Cache::builder()
                .max_capacity(MAX_CACHED_DRIVERS)
                .time_to_idle(IDLE)
                .build(),
        }
    }
}

fn fingerprint(endpoint: &Endpoint) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    if let Some(tls) = &endpoint.tls {
        (&tls.ca, &tls.cert, tls.key.expose()).hash(&mut hasher);
    }
    endpoint
        .ssh_key
        .as_ref()
        .map(|k| k.expose().to_owned())
        .hash(&mut hasher);
    hasher.finish()
}

#[async_trait::async_trait]
impl HostConnector for Connector {
    async fn connect(&self, endpoint: &Endpoint) -> Result<Arc<dyn ContainerDriver>, DriverError> {
        self.accept(endpoint)?;
        let print = fingerprint(endpoint);
        if let Some(known) = self.known.get(&endpoint.url).filter(|k| k.print == print) {
            return Ok(known.driver);
        }
        let driver: Arc<dyn ContainerDriver> = if endpoint.url.starts_with("sim://") {
            Arc::new(SimHost::open(&endpoint.url)?)
        } else {
            Arc::new(DockerHost::connect(endpoint).await?)
        };
        self.known.insert(
            endpoint.url.clone(),
            Known {
                print,
                driver: driver.clone(),
            },
        );
        Ok(driver)
    }

    fn accept(&self, endpoint: &Endpoint) -> Result<(), DriverError> {
        let refuse = |reason: &str| {
            Err(DriverError::Endpoint {
                endpoint: endpoint.url.clone(),
                reason: reason.to_owned(),
            })
        };
        match endpoint.url.split_once("://").map(|(scheme, _)| scheme) {
            Some("unix" | "ssh") => Ok(()),
            Some("tcp") if endpoint.tls.is_some() || endpoint.allow_insecure => Ok(()),
            Some("tcp") => refuse("tcp:// needs TLS, or allow_insecure for a network that is safe"),
            Some("sim") if self.settings.allow_simulated => Ok(()),
            Some("sim") => refuse("simulated hosts are not enabled here"),
            _ => refuse("it is not one of unix://, tcp://, ssh://"),
        }
    }
}

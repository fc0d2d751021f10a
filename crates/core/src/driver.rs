//! What we ask of a Docker host, by life-cycle verb.
//!
//! Every call may be repeated: "already so" is success. A call that timed out
//! has an unknown outcome; [`ContainerDriver::find`] resolves it by label.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    host::{Endpoint, HostInfo},
    secret::Secret,
};

/// Label with the node's id; what carries it is ours.
pub const LABEL_NODE: &str = "senlin.node";
/// Label with the cluster's id.
pub const LABEL_CLUSTER: &str = "senlin.cluster";
/// Label with the project's id.
pub const LABEL_PROJECT: &str = "senlin.project";
/// Label with the node's generation.
pub const LABEL_GENERATION: &str = "senlin.generation";
/// Label with the action that made it.
pub const LABEL_ACTION: &str = "senlin.action";
/// Label with that action's attempt.
pub const LABEL_ATTEMPT: &str = "senlin.attempt";
/// Label with the id of the profile that it was made from.
pub const LABEL_PROFILE: &str = "senlin.profile";
/// Label with the control plane's own id: two of them may share a host.
pub const LABEL_OWNER: &str = "senlin.owner";

/// Everything a container is made from.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(missing_docs, reason = "Docker's own words")]
pub struct ContainerConfig {
    pub name: String,
    pub image: String,
    pub command: Option<Vec<String>>,
    pub entrypoint: Option<Vec<String>>,
    pub env: Vec<(String, Secret)>,
    pub labels: BTreeMap<String, String>,
    pub ports: Vec<PortBinding>,
    pub restart: Option<RestartPolicy>,
    pub resources: Resources,
    pub health: Option<HealthCheck>,
    pub user: Option<String>,
    pub working_dir: Option<String>,
    pub hostname: Option<String>,
    /// `name:address`.
    pub extra_hosts: Vec<String>,
    pub log: Option<LogConfig>,
    pub stop_signal: Option<String>,
    /// Seconds between the stop signal and SIGKILL.
    pub stop_grace: Option<i64>,
    pub init: Option<bool>,
    pub read_only: bool,
    /// Path to mount options.
    pub tmpfs: BTreeMap<String, String>,
    pub cap_add: Vec<String>,
    pub cap_drop: Vec<String>,
    pub ulimits: Vec<Ulimit>,
    pub no_new_privileges: bool,
    // Networks and volumes get their place here.
}

/// What can be changed on a running container.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Resources {
    /// Processors, such as 0.5.
    pub cpus: Option<f64>,
    /// Bytes.
    pub memory: Option<i64>,
    /// Processes.
    pub pids: Option<i64>,
}

/// A published port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortBinding {
    /// Inside.
    pub container: u16,
    /// Outside; none lets the engine choose.
    pub host: Option<u16>,
    /// Address to listen on; none is every one.
    pub host_ip: Option<String>,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
}

/// What the engine does when the process ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestartPolicy {
    /// `no`, `always`, `unless-stopped` or `on-failure`.
    pub name: String,
    /// For `on-failure`.
    pub max_retries: Option<i64>,
}

/// Docker's HEALTHCHECK; durations in seconds.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "Docker's own words")]
pub struct HealthCheck {
    /// `["CMD", …]`, `["CMD-SHELL", …]` or `["NONE"]`.
    pub test: Vec<String>,
    pub interval: Option<f64>,
    pub timeout: Option<f64>,
    pub start_period: Option<f64>,
    pub retries: Option<i64>,
}

/// Log driver and its options.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "Docker's own words")]
pub struct LogConfig {
    pub driver: String,
    pub options: BTreeMap<String, String>,
}

/// One resource limit.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "Docker's own words")]
pub struct Ulimit {
    pub name: String,
    pub soft: i64,
    pub hard: i64,
}

/// Credentials for an image's registry.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "Docker's own words")]
pub struct RegistryAuth {
    pub username: String,
    pub password: Secret,
    /// Registry address; taken from the image's name when absent.
    pub server: Option<String>,
}

/// One line of a listing by label.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "Docker's own words")]
pub struct ContainerSummary {
    /// All 64 characters.
    pub id: String,
    pub name: String,
    pub state: String,
    /// `starting`, `healthy`, `unhealthy`; none without a health check.
    pub health: Option<String>,
    /// Its own address in its network.
    pub address: Option<String>,
    /// Published TCP ports: inside and outside.
    pub ports: Vec<(u16, u16)>,
    /// When it was created, in seconds since 1970, by the host's clock.
    pub created: i64,
    pub labels: BTreeMap<String, String>,
}

/// What a running container has used so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Usage {
    /// All 64 characters.
    pub id: String,
    /// Ours and the user's.
    pub labels: BTreeMap<String, String>,
    /// Processor time since its start, in nanoseconds.
    pub cpu_ns: u64,
    /// Memory in use, in bytes, without what can be given back at once.
    pub memory: u64,
}

/// Something happened to a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerEvent {
    /// All 64 characters.
    pub id: String,
    /// Docker's word: `die`, `oom`, `destroy`, `health_status: unhealthy`, `start` …
    pub action: String,
    /// Ours and the user's.
    pub labels: BTreeMap<String, String>,
    /// When, in seconds since 1970, by the host's clock.
    pub at: i64,
}

/// A container's state as its engine tells it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerState {
    /// All 64 characters.
    pub id: String,
    /// Without the leading slash.
    pub name: String,
    /// `created`, `running`, `paused`, `restarting`, `removing`, `exited`, `dead`.
    pub status: String,
    /// When it has ended.
    pub exit_code: Option<i64>,
    /// How often its engine has started it again.
    pub restarts: i64,
    /// `starting`, `healthy`, `unhealthy`; none without a health check.
    pub health: Option<String>,
    /// What the engine says went wrong at start.
    pub error: Option<String>,
    /// Ours and the user's.
    pub labels: BTreeMap<String, String>,
    /// The inspect document with environment values and anything else that
    /// may be secret replaced by `***`.
    pub document: serde_json::Value,
}

/// Why a host did not do as asked. Carries the decision whether to retry.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum DriverError {
    /// No connection: nothing happened.
    #[error("host {endpoint} is unreachable: {reason}")]
    Unreachable {
        /// Without secrets.
        endpoint: String,
        /// What the connection said.
        reason: String,
    },
    /// No answer in time: it may have happened.
    #[error("host {endpoint} did not answer '{verb}' within {seconds} s")]
    TimedOut {
        /// Without secrets.
        endpoint: String,
        /// Such as `create container`.
        verb: &'static str,
        /// How long we waited.
        seconds: u64,
    },
    /// The container or image does not exist.
    #[error("{0}")]
    NotFound(String),
    /// The name or port is taken, or the state does not allow it.
    #[error("{0}")]
    Conflict(String),
    /// Something else is being done to it at this moment, such as its removal.
    #[error("{0}")]
    Busy(String),
    /// The registry refused or does not have the image.
    #[error("image '{image}' could not be pulled: {reason}")]
    Pull {
        /// As the spec names it.
        image: String,
        /// What the registry or engine said.
        reason: String,
    },
    /// The engine is older than API 1.41.
    #[error("host {endpoint} runs Docker Engine {version} with API {api}; 1.41 or newer is needed")]
    TooOld {
        /// Without secrets.
        endpoint: String,
        /// Engine version.
        version: String,
        /// API version.
        api: String,
    },
    /// The endpoint itself cannot be used (scheme, TLS, not allowed here).
    #[error("endpoint '{endpoint}' is refused: {reason}")]
    Endpoint {
        /// Without secrets.
        endpoint: String,
        /// The rule.
        reason: String,
    },
    /// The engine understood and said no (4xx).
    #[error("{0}")]
    Refused(String),
    /// The engine failed (5xx) or its answer cannot be read: it may have half happened.
    #[error("{0}")]
    Failed(String),
}

impl DriverError {
    /// Worth trying again later, unchanged: it may become true by waiting. Every
    /// verb may be repeated, so an outcome that is not known is no reason to stop.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::Busy(_) | Self::Failed(_) => true,
            Self::NotFound(_)
            | Self::Conflict(_)
            | Self::Pull { .. }
            | Self::TooOld { .. }
            | Self::Endpoint { .. }
            | Self::Refused(_) => false,
        }
    }

    /// The host does not answer: nothing is known of its state.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::TimedOut { .. })
    }

    /// The thing is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound(_))
    }

    /// Something stands in the way.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict(_))
    }
}

/// A connected host. One suite (`drivers/tests/it`) runs on every implementation.
#[async_trait::async_trait]
pub trait ContainerDriver: Send + Sync {
    /// The URL it was connected by, without secrets.
    fn endpoint(&self) -> &str;
    /// Lets time pass between two looks at the same thing.
    async fn pause_between_looks(&self, time: std::time::Duration);
    /// What the engine is; also the heartbeat.
    async fn info(&self) -> Result<HostInfo, DriverError>;
    /// Containers with all of these labels, in any state, also never-started ones.
    async fn find(&self, labels: &[(&str, &str)]) -> Result<Vec<ContainerSummary>, DriverError>;
    /// Is the image here?
    async fn has_image(&self, image: &str) -> Result<bool, DriverError>;
    /// Fetch the image.
    async fn pull(&self, image: &str, auth: Option<&RegistryAuth>) -> Result<(), DriverError>;
    /// Create, not start; returns the full id. A taken name is `Conflict`.
    async fn create(&self, config: &ContainerConfig) -> Result<String, DriverError>;
    /// Start; already running is success.
    async fn start(&self, id: &str) -> Result<(), DriverError>;
    /// Stop with a grace in seconds (none: the container's own); already stopped is success.
    async fn stop(&self, id: &str, grace: Option<i64>) -> Result<(), DriverError>;
    /// Restart.
    async fn restart(&self, id: &str, grace: Option<i64>) -> Result<(), DriverError>;
    /// Send a signal (none: KILL).
    async fn kill(&self, id: &str, signal: Option<&str>) -> Result<(), DriverError>;
    /// Freeze; already paused is success.
    async fn pause(&self, id: &str) -> Result<(), DriverError>;
    /// Thaw; not paused is success.
    async fn unpause(&self, id: &str) -> Result<(), DriverError>;
    /// Give it another name.
    async fn rename(&self, id: &str, name: &str) -> Result<(), DriverError>;
    /// Change limits and restart policy in place.
    async fn update(&self, id: &str, resources: &Resources, restart: Option<&RestartPolicy>)
    -> Result<(), DriverError>;
    /// Remove by force, with its anonymous volumes; already gone is success.
    async fn remove(&self, id: &str) -> Result<(), DriverError>;
    /// What every running container of the host has used, ours or not.
    async fn usage(&self) -> Result<Vec<Usage>, DriverError>;
    /// Tells what happens to containers with this label, from `since` (seconds
    /// since 1970, by the host's clock) on, until the connection ends. Events
    /// are hints: some may be missing, some may come twice.
    async fn watch(
        &self,
        label: (&str, &str),
        since: Option<i64>,
        tell: &(dyn Fn(ContainerEvent) + Send + Sync),
    ) -> Result<(), DriverError>;
    /// State and document; `NotFound` when gone.
    async fn inspect(&self, id: &str) -> Result<ContainerState, DriverError>;
}

/// Makes drivers; keeps connections for as long as they are good.
#[async_trait::async_trait]
pub trait HostConnector: Send + Sync {
    /// A driver for this endpoint. Does no IO beyond what the connection needs.
    async fn connect(&self, endpoint: &Endpoint) -> Result<Arc<dyn ContainerDriver>, DriverError>;
    /// May the endpoint be used at all here (scheme, TLS rule, simulation)? No IO.
    fn accept(&self, endpoint: &Endpoint) -> Result<(), DriverError>;
}

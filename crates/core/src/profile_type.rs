//! What a profile type must be able to do. Types are listed once, in `senlin_profiles::all`.

use std::sync::Arc;

use serde_json::Value;

use crate::{
    Map,
    driver::{ContainerDriver, DriverError},
    host::Endpoint,
    ids::*,
    interface::Interface,
    node::{Condition, Node},
    placement::Requirements,
    spec::{SpecError, SpecSchema},
    steps::{Interrupt, Steps},
    types::{self, SpecType},
};

/// An operation users may ask of a node.
#[derive(Debug, Clone)]
pub struct Operation {
    /// Such as `restart`.
    pub name: &'static str,
    /// For `…/ops`.
    pub description: &'static str,
    /// Its parameters' schema.
    pub parameters: SpecSchema,
}

/// What a node of this profile needs before it can be created.
#[derive(Debug, Clone)]
pub enum Demand {
    /// A place on a host.
    Host(Requirements),
    /// The next free endpoint of a pool, in this order.
    Endpoint(Vec<Endpoint>),
}

/// What the operator lets specs ask for: denied unless named here.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SpecRules {
    /// Capabilities that `cap_add` may name beyond Docker's default set.
    pub allow_capabilities: Vec<String>,
    /// Host ports below 1024.
    pub allow_low_ports: bool,
    /// Log drivers beyond `json-file`, `local`, `none` and `journald`.
    pub allow_log_drivers: Vec<String>,
    /// If not empty, images must come from one of these registries (`registry[/path]`).
    pub image_registries: Vec<String>,
    /// Images must be named by digest.
    pub require_digest: bool,
    /// Containers must have a memory limit.
    pub require_memory_limit: bool,
    /// Processes per container where the spec sets none.
    pub default_pids_limit: Option<i64>,
    /// Seconds that a new container must run for where the spec says nothing; 2 if not set.
    pub default_run_for: Option<f64>,
    /// `sim://` hosts may be used.
    pub allow_simulated: bool,
    /// Where containers reach the API, such as `http://10.0.0.1:8777`; without
    /// it no spec can ask for the in-container interface.
    pub container_url: Option<String>,
}

/// Everything a verb gets to work with.
pub struct Job<'a> {
    /// The node, as it is now.
    pub node: &'a Node,
    /// Checked properties, secrets opened.
    pub properties: &'a Map,
    /// The host the container is on (for a host profile: the host itself).
    pub driver: Arc<dyn ContainerDriver>,
    /// The action and attempt that do this, for labels.
    pub action: ActionId,
    /// Fences this attempt from earlier ones.
    pub attempt: i32,
    /// This control plane's id, for labels.
    pub owner: &'a str,
    /// What the operator lets specs ask for.
    pub rules: &'a SpecRules,
    /// The in-container interface, where the operator offers it.
    pub interface: Option<Interface<'a>>,
    /// Asked around each effect.
    pub steps: &'a dyn Steps,
}

/// What is true of a node's physical side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// As it should be.
    Healthy,
    /// There, but its process has ended, by itself or asked to.
    Exited(String),
    /// There, but not doing its work: unhealthy, created, restarting.
    Unhealthy(String),
    /// It runs, but fails a check from outside.
    Unresponsive(String),
    /// There and well, but stopped or paused on request.
    Suspended(String),
    /// Not there.
    Gone(String),
    /// Cannot be told.
    Unknown(String),
}

impl Health {
    /// The same without the words.
    #[must_use]
    pub fn condition(&self) -> Condition {
        match self {
            Self::Healthy => Condition::Running,
            Self::Exited(_) => Condition::Exited,
            Self::Unhealthy(_) => Condition::Unhealthy,
            Self::Unresponsive(_) => Condition::Unresponsive,
            Self::Suspended(_) => Condition::Suspended,
            Self::Gone(_) => Condition::Gone,
            Self::Unknown(_) => Condition::Unknown,
        }
    }

    /// What a container's state means, in Docker's words.
    #[must_use]
    pub fn of(status: &str, health: Option<&str>, exit_code: Option<i64>, error: Option<&str>) -> Self {
        match (status, health) {
            ("running", Some("unhealthy")) => Self::Unhealthy("The container's health check fails.".to_owned()),
            ("running", _) => Self::Healthy,
            ("paused", _) => Self::Suspended("The container is paused.".to_owned()),
            ("restarting", _) => Self::Unhealthy("The container keeps restarting.".to_owned()),
            // There is no way back from it.
            ("removing", _) => Self::Gone("The container is being removed from its host.".to_owned()),
            ("exited" | "dead", _) => {
                let code = exit_code.map(|c| format!(" with code {c}")).unwrap_or_default();
                let why = error
                    .filter(|e| !e.is_empty())
                    .map(|e| format!(": {e}"))
                    .unwrap_or_default();
                Self::Exited(format!("The container has exited{code}{why}."))
            }
            (other, _) => Self::Unhealthy(format!("The container is {other}.")),
        }
    }
}

/// What a node has on its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// A container's full id, or a host's endpoint.
    pub physical_id: String,
    /// The generation it is of.
    pub generation: i32,
}

/// What a look at a node's physical side found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// What is true of it.
    pub health: Health,
    /// What the node's record is to name; none for hosts, and when nothing was found.
    pub found: Option<Made>,
    /// A container of the node is newer than anything that its record tells of:
    /// why no other may be made until an operator has settled it.
    pub unaccounted: Option<String>,
}

impl From<Health> for Seen {
    fn from(health: Health) -> Self {
        Self {
            health,
            found: None,
            unaccounted: None,
        }
    }
}

/// What became of an attempted update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// The node has what the attempt made, and its profile; else what it had.
    pub updated: bool,
    /// The one that is left.
    pub seen: Seen,
}

/// Whether what was made or started counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Started {
    /// It does.
    Counts,
    /// Not yet: look again after so many seconds.
    NotYet(f64),
}

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// The host.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// The work was stopped.
    #[error(transparent)]
    Interrupt(#[from] Interrupt),
    /// The spec or the parameters.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The thing itself is not as it must be for this.
    #[error("{0}")]
    State(String),
    /// This type cannot do that.
    #[error("{0}")]
    Unsupported(String),
}

impl ProfileError {
    /// Worth trying again later, unchanged.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Driver(e) if e.is_transient())
    }
}

/// Names in a spec that stand for other objects; the API resolves them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostRefs {
    /// Property `host_node`: name, id or short id.
    pub host_node: Option<String>,
    /// Property `host_cluster`: name, id or short id.
    pub host_cluster: Option<String>,
}

/// A profile type.
#[async_trait::async_trait]
pub trait ProfileType: SpecType + Send + Sync {
    /// What users may ask of its nodes.
    fn operations(&self) -> Vec<Operation>;
    /// Rules beyond the schema; properties are already checked against it.
    fn validate(&self, properties: &Map, rules: &SpecRules) -> Result<(), SpecError>;
    /// Which host objects the spec names.
    fn host_refs(&self, properties: &Map) -> HostRefs;
    /// What a node needs; `host_node` / `host_cluster` are filled in by the engine.
    fn demand(&self, properties: &Map) -> Result<Demand, SpecError>;
    /// Whether its nodes are hosts.
    fn is_host(&self) -> bool {
        false
    }

    /// Makes the physical side; returns its id. Leaves nothing behind when it fails.
    async fn create(&self, job: &Job<'_>) -> Result<String, ProfileError>;
    /// Seconds after which what was just made or started is first looked at;
    /// with 0 it counts as it is.
    ///
    /// # Errors
    /// When the properties cannot be understood.
    fn settles(&self, properties: &Map, rules: &SpecRules) -> Result<f64, SpecError> {
        let _ = (properties, rules);
        Ok(0.0)
    }
    /// Whether what was made or started `since` seconds ago counts by now.
    ///
    /// # Errors
    /// [`ProfileError::State`] when it never will.
    async fn started(&self, job: &Job<'_>, physical_id: &str, since: f64) -> Result<Started, ProfileError> {
        let _ = (job, physical_id, since);
        Ok(Started::Counts)
    }
    /// Removes every physical trace on the job's host that the node's record
    /// accounts for; already gone is success.
    async fn delete(&self, job: &Job<'_>) -> Result<(), ProfileError>;
    /// Looks; changes nothing.
    async fn check(&self, job: &Job<'_>) -> Result<Seen, ProfileError>;
    /// Brings it from the job's properties to `new`. The attempt is recorded
    /// already; after a failure [`Self::settle`] says what is left.
    async fn update(&self, job: &Job<'_>, new: &Map) -> Result<Made, ProfileError>;
    /// Leaves one of what the node had and what an attempt to bring it to `new`
    /// made: the old one if it runs, else the new one if that is well.
    async fn settle(&self, job: &Job<'_>, new: &Map) -> Result<Settled, ProfileError> {
        let _ = new;
        Ok(Settled {
            updated: false,
            seen: self.check(job).await?,
        })
    }
    /// Does one of [`Self::operations`]; parameters are already checked.
    async fn operate(&self, job: &Job<'_>, operation: &str, params: &Map) -> Result<Seen, ProfileError>;
    /// What `show_details` shows; no secrets.
    async fn details(&self, job: &Job<'_>) -> Result<Value, ProfileError>;
    /// Properties of a host that is adopted under `identity` (its endpoint).
    ///
    /// # Errors
    /// When this type is not of hosts, or the overrides do not fit.
    fn adopted(&self, identity: &str, overrides: &Map) -> Result<Map, SpecError> {
        let _ = (identity, overrides);
        Err(SpecError(format!("'{}' does not describe hosts", self.meta().name)))
    }
    /// Full id and properties of the container that already runs under
    /// `identity` (its id or name). One that carries a node's label is refused
    /// unless it is `of` that node.
    async fn adopt(
        &self,
        driver: &dyn ContainerDriver,
        identity: &str,
        overrides: &Map,
        of: Option<NodeId>,
    ) -> Result<(String, Map), ProfileError>;
}

/// Every profile type.
pub type Registry = types::Registry<dyn ProfileType>;

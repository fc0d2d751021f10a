//! What users write.

use std::collections::BTreeMap;

use senlin_core::{Map, secret::Secret};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{
    ToSchema,
    openapi::{RefOr, Schema},
};

fn schema(value: Value) -> RefOr<Schema> {
    // Only literals of this file come here; a test parses each of them.
    serde_json::from_value(value).unwrap_or_else(|_| RefOr::T(Schema::default()))
}

fn words() -> RefOr<Schema> {
    schema(
        json!({"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
        "description": "One text, split as a shell would, or a list of words."}),
    )
}

fn bytes() -> RefOr<Schema> {
    schema(json!({"oneOf": [{"type": "integer", "minimum": 0}, {"type": "string"}],
        "description": "Bytes, or a text such as 512m or 2g.", "x-updatable": true}))
}

fn environment() -> RefOr<Schema> {
    schema(
        json!({"type": "object", "description": "Environment variables; one that is a map with secret: true is \
        encrypted at rest and never shown.",
        "additionalProperties": {"oneOf": [
            {"type": "string"}, {"type": "number"}, {"type": "boolean"},
            {"type": "object", "additionalProperties": false, "required": ["value"],
                "x-secret-if": {"flag": "secret", "field": "value"},
                "properties": {"value": {"type": "string"}, "secret": {"type": "boolean", "default": false}}}]}}),
    )
}

fn ports() -> RefOr<Schema> {
    schema(
        json!({"type": "array", "description": "Published ports: \"8080:80/tcp\", \"127.0.0.1:8080:80\", \"80\", \
        or a map.",
        "items": {"oneOf": [{"type": "string"},
            {"type": "object", "additionalProperties": false, "required": ["container"], "properties": {
                "container": {"type": "integer", "minimum": 1, "maximum": 65535},
                "host": {"type": "integer", "minimum": 1, "maximum": 65535},
                "host_ip": {"type": "string"},
                "protocol": {"type": "string", "enum": ["tcp", "udp", "sctp"], "default": "tcp"}}}]}}),
    )
}

/// `container.dockerinc.docker-1.0`, word for word as Senlin has it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct V1_0 {
    /// Customized security context for operating containers.
    #[schema(value_type = Option<Object>)]
    pub context: Option<Map>,
    /// The image used to create a container
    pub image: String,
    /// The name of the container.
    #[schema(extensions(("x-updatable" = json!(true))))]
    pub name: Option<String>,
    /// The command to run when container is started.
    pub command: Option<String>,
    /// The port number used to connect to docker daemon.
    #[schema(default = 2375)]
    pub port: Option<i64>,
    /// The node on which container will be launched.
    pub host_node: Option<String>,
    /// The cluster on which container will be launched.
    pub host_cluster: Option<String>,
}

/// When an image is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "plain words")]
pub enum PullPolicy {
    Always,
    #[default]
    Missing,
    Never,
}

/// Credentials for the image's registry.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "Docker's own words")]
pub struct Registry {
    pub username: String,
    #[schema(value_type = String, extensions(("x-secret" = json!(true))))]
    pub password: Secret,
    pub server: Option<String>,
}

/// What the engine does when the process ends.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "Docker's own words")]
pub struct Restart {
    pub name: RestartName,
    #[schema(minimum = 0)]
    pub max_retries: Option<i64>,
}

/// When a new container counts.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ContainerStart)]
pub struct Start {
    /// Seconds that it must run for without ending or being restarted. With 0 it counts as soon as it has started.
    #[schema(minimum = 0, maximum = 300)]
    pub run_for: Option<f64>,
    /// Seconds within which its health check must pass, where it has one.
    #[schema(minimum = 1, maximum = 3600, default = 120)]
    pub timeout: Option<f64>,
}

/// Docker's restart policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "Docker's own words")]
pub enum RestartName {
    No,
    Always,
    UnlessStopped,
    OnFailure,
}

/// Docker's HEALTHCHECK; durations in seconds.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "Docker's own words")]
pub struct Check {
    #[schema(schema_with = words)]
    pub test: Value,
    #[schema(exclusive_minimum = 0)]
    pub interval: Option<f64>,
    #[schema(exclusive_minimum = 0)]
    pub timeout: Option<f64>,
    #[schema(minimum = 0)]
    pub start_period: Option<f64>,
    #[schema(minimum = 1)]
    pub retries: Option<i64>,
}

/// Log driver and its options.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "Docker's own words")]
pub struct Log {
    pub driver: String,
    pub options: Option<BTreeMap<String, String>>,
}

/// One resource limit.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "Docker's own words")]
pub struct Limit {
    pub name: String,
    pub soft: i64,
    pub hard: Option<i64>,
}

/// How a host is chosen among those that fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "plain words")]
pub enum Choice {
    Spread,
    Random,
}

/// `container.dockerinc.docker-1.1`. Networks and volumes get their place here
/// when there are drivers for them.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct V1_1 {
    /// Customized security context for operating containers.
    #[schema(value_type = Option<Object>)]
    pub context: Option<Map>,
    /// The image used to create a container
    #[schema(min_length = 1)]
    pub image: String,
    /// When the image is fetched.
    #[schema(inline, default = "missing")]
    pub pull_policy: Option<PullPolicy>,
    /// Credentials for the image's registry.
    pub registry: Option<Registry>,
    /// The name of the container.
    #[schema(extensions(("x-updatable" = json!(true))))]
    pub name: Option<String>,
    /// The command to run when container is started.
    #[schema(schema_with = words)]
    pub command: Option<Value>,
    /// The program that gets the command.
    #[schema(schema_with = words)]
    pub entrypoint: Option<Value>,
    /// Environment variables.
    #[schema(schema_with = environment)]
    pub environment: Option<BTreeMap<String, Value>>,
    /// Labels of the container.
    pub labels: Option<BTreeMap<String, String>>,
    /// Published ports.
    #[schema(schema_with = ports)]
    pub ports: Option<Vec<Value>>,
    /// What the engine does when the process ends.
    #[schema(extensions(("x-updatable" = json!(true))))]
    pub restart: Option<Restart>,
    /// Processors, such as 0.5.
    #[schema(exclusive_minimum = 0, extensions(("x-updatable" = json!(true))))]
    pub cpu: Option<f64>,
    /// Memory limit.
    #[schema(schema_with = bytes)]
    pub memory: Option<Value>,
    /// Processes at most.
    #[schema(minimum = 1, extensions(("x-updatable" = json!(true))))]
    pub pids: Option<i64>,
    /// How the engine tells whether it is healthy.
    pub healthcheck: Option<Check>,
    /// When a new container counts as created, updated or recovered.
    #[schema(extensions(("x-updatable" = json!(true))))]
    pub start: Option<Start>,
    /// User (and group) that the process runs as.
    pub user: Option<String>,
    /// Directory that the process starts in.
    pub working_dir: Option<String>,
    /// Host name inside.
    pub hostname: Option<String>,
    /// Lines for /etc/hosts: name:address.
    pub extra_hosts: Option<Vec<String>>,
    /// Where its output goes.
    pub log: Option<Log>,
    /// Signal that asks it to stop.
    pub stop_signal: Option<String>,
    /// Seconds between that signal and SIGKILL.
    #[schema(minimum = 0)]
    pub stop_grace_period: Option<i64>,
    /// Run an init inside that forwards signals and reaps processes.
    pub init: Option<bool>,
    /// Let the container's process ask for its cluster, report, protect itself and answer lifecycle hooks: the
    /// variables SENLIN_SELF_URL and SENLIN_SELF_KEY are set in its environment.
    #[schema(default = false)]
    pub interface: Option<bool>,
    /// Mount the root file system read-only.
    #[schema(default = false)]
    pub read_only: Option<bool>,
    /// Paths to mount in memory, each with its options.
    pub tmpfs: Option<BTreeMap<String, String>>,
    /// Capabilities to add to Docker's default set.
    pub cap_add: Option<Vec<String>>,
    /// Capabilities to take from it.
    pub cap_drop: Option<Vec<String>>,
    /// Resource limits of its processes.
    pub ulimits: Option<Vec<Limit>>,
    /// The node on which container will be launched.
    pub host_node: Option<String>,
    /// The cluster on which container will be launched.
    pub host_cluster: Option<String>,
    /// Labels that the host must carry: its engine's, or its profile's; `zone` is one of them.
    pub host_labels: Option<BTreeMap<String, String>>,
    /// How a host is chosen among those that fit.
    pub strategy: Option<Choice>,
}

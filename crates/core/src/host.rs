//! Hosts: machines that run Docker Engine.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Time, ids::*, secret::Secret, words::words};

/// How to reach an engine. The secrets in it cannot be printed.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// `unix:///path`, `tcp://host:port`, `ssh://user@host[:port]`, `sim://name?knob=value`.
    pub url: String,
    /// Mutual TLS for `tcp://`.
    pub tls: Option<Tls>,
    /// Plain `tcp://` is refused without it.
    pub allow_insecure: bool,
    /// Private key for `ssh://`; the agent's otherwise.
    pub ssh_key: Option<Secret>,
}

/// PEM texts for mutual TLS.
#[derive(Debug, Clone)]
pub struct Tls {
    /// Whom we trust.
    pub ca: String,
    /// Who we are.
    pub cert: String,
    /// How we prove it.
    pub key: Secret,
}

words! {
    /// Whether a host answers. Unknown is not failed.
    HostState {
        /// It answered within the last 30 s.
        Up = "UP",
        /// It did not; its containers are taken to be running.
        Unknown = "UNKNOWN",
    }
}

/// What an engine says of itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HostInfo {
    /// Such as `20.10.24`.
    pub engine_version: String,
    /// Such as `1.41`.
    pub api_version: String,
    /// The machine's name.
    pub hostname: String,
    /// Such as `linux`.
    pub os: String,
    /// Such as `x86_64`.
    pub arch: String,
    /// Processors.
    pub cpus: i64,
    /// Bytes.
    pub memory: i64,
    /// The engine's labels (`key=value`).
    pub labels: BTreeMap<String, String>,
}

/// A host as the database holds it.
#[derive(Debug, Clone)]
pub struct Host {
    /// The node that it is.
    pub node_id: NodeId,
    /// What it is made from.
    pub profile_id: ProfileId,
    /// Its URL, without secrets.
    pub endpoint: String,
    /// Zone, as its profile or its engine's label `zone` says.
    pub zone: Option<String>,
    /// Whether it answers.
    pub state: HostState,
    /// When it last answered.
    pub last_seen: Option<Time>,
    /// What it last said of itself.
    pub info: HostInfo,
}

//! What an operator may set.

use std::{net::SocketAddr, path::PathBuf};

use serde::Deserialize;

/// The API's own settings.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The tokens that are let in, unless Keystone's are.
    pub tokens_file: PathBuf,
    /// Rules over the defaults, in oslo.policy's language.
    pub policy_file: Option<PathBuf>,
    /// How clients reach this API (for webhook URLs): what they called otherwise.
    pub public_url: Option<String>,
    /// Worker threads.
    pub workers: usize,
    /// Clusters that one project may have.
    pub max_clusters_per_project: i64,
    /// Nodes that one project may have.
    pub max_nodes_per_project: i64,
    /// Objects that one page may have.
    pub max_page_size: i64,
    /// Calls a minute that one receiver lets through, at each server.
    pub webhook_rate: u32,
    /// Nodes that one cluster may have.
    pub max_nodes_per_cluster: i32,
    /// Seconds that an action may take where nobody says.
    pub default_action_timeout: i32,
    /// Bytes of a body at most.
    pub max_json_body_size: usize,
    /// Refuse a second cluster of the same name in one project.
    pub name_unique: bool,
    /// Seconds of silence that make a service `down`.
    pub service_down_time: u32,
    /// Seconds that an engine gets to answer.
    pub engine_timeout: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8777)),
            tokens_file: PathBuf::from("/etc/senlin/tokens.toml"),
            policy_file: None,
            public_url: None,
            workers: 2,
            max_clusters_per_project: 100,
            max_nodes_per_project: 10_000,
            max_page_size: 10_000,
            webhook_rate: 60,
            max_nodes_per_cluster: 1000,
            default_action_timeout: 3600,
            max_json_body_size: 1 << 20,
            name_unique: false,
            service_down_time: 60,
            engine_timeout: 20,
        }
    }
}

//! From spec to what the driver makes.

use senlin_core::{driver::ContainerConfig, profile_type::Job};

use super::{
    labels,
    parse::ContainerSpec,
    rules::{DEFAULT_CAPABILITIES, capability},
};

/// Processes that a container may have where nobody says.
const PIDS: i64 = 4096;

/// The name of the node's container in a generation: the spec's or the node's,
/// with a part that is the node's own, so that the same one is always meant.
pub(super) fn name(job: &Job<'_>, spec: &ContainerSpec, generation: i32) -> String {
    let base = spec.name.as_deref().unwrap_or(&job.node.name);
    let clean: String = base
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-') {
                c
            } else {
                '-'
            }
        })
        .collect();
    let clean = clean.trim_start_matches(['_', '.', '-']);
    let clean: String = if clean.is_empty() {
        "node".to_owned()
    } else {
        clean.chars().take(200).collect()
    };
    let unique = job.node.id.short();
    if generation == 1 {
        format!("{clean}-{unique}")
    } else {
        format!("{clean}-{unique}-{generation}")
    }
}

/// Everything the container is made from.
pub(super) fn config(job: &Job<'_>, spec: &ContainerSpec, generation: i32) -> ContainerConfig {
    let mut all = spec.labels.clone();
    all.extend(labels(job, generation));
    let mut resources = spec.resources.clone();
    resources.pids = resources.pids.or(job.rules.default_pids_limit).or(Some(PIDS));
    let drop: Vec<String> = spec.cap_drop.iter().map(|c| capability(c)).collect();
    let everything = drop.iter().any(|c| c == "ALL");
    let mut add: Vec<String> = DEFAULT_CAPABILITIES
        .iter()
        .filter(|c| !everything && !drop.iter().any(|d| d == *c))
        .map(|c| (*c).to_owned())
        .collect();
    for extra in spec.cap_add.iter().map(|c| capability(c)) {
        if !add.contains(&extra) {
            add.push(extra);
        }
    }
    let mut env = spec.environment.clone();
    if let Some(interface) = job.interface.filter(|_| spec.interface) {
        env.extend(interface.environment(job.node.id, generation));
    }
    ContainerConfig {
        name: name(job, spec, generation),
        image: spec.image.clone(),
        command: spec.command.clone(),
        entrypoint: spec.entrypoint.clone(),
        env,
        labels: all,
        ports: spec.ports.clone(),
        restart: spec.restart.clone(),
        resources,
        health: spec.health.clone(),
        user: spec.user.clone(),
        working_dir: spec.working_dir.clone(),
        hostname: spec.hostname.clone(),
        extra_hosts: spec.extra_hosts.clone(),
        log: spec.log.clone(),
        stop_signal: spec.stop_signal.clone(),
        stop_grace: spec.stop_grace,
        init: spec.init,
        read_only: spec.read_only,
        tmpfs: spec.tmpfs.clone(),
        cap_add: add,
        cap_drop: vec!["ALL".to_owned()],
        ulimits: spec.ulimits.clone(),
        no_new_privileges: true,
    }
}

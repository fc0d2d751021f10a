//! From our words to the engine's.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigLogConfig, PortBinding as DockerPort, ResourcesUlimits,
    RestartPolicy as DockerRestart, RestartPolicyNameEnum,
};
use senlin_core::driver::{ContainerConfig, RestartPolicy};

/// The body of a create call.
pub(super) fn body(config: &ContainerConfig) -> ContainerCreateBody {
    let health = config.health.as_ref().map(|h| HealthConfig {
        test: Some(h.test.clone()),
        interval: h.interval.map(nano),
        timeout: h.timeout.map(nano),
        start_period: h.start_period.map(nano),
        retries: h.retries,
        ..HealthConfig::default()
    });
    ContainerCreateBody {
        image: Some(config.image.clone()),
        cmd: config.command.clone(),
        entrypoint: config.entrypoint.clone(),
        env: Some(config.env.iter().map(|(k, v)| format!("{k}={}", v.expose())).collect()),
        labels: Some(config.labels.clone().into_iter().collect()),
        exposed_ports: Some(
            config
                .ports
                .iter()
                .map(|p| format!("{}/{}", p.container, p.protocol))
                .collect(),
        ),
        healthcheck: health,
        user: config.user.clone(),
        working_dir: config.working_dir.clone(),
        hostname: config.hostname.clone(),
        stop_signal: config.stop_signal.clone(),
        stop_timeout: config.stop_grace,
        host_config: Some(host_config(config)),
        ..ContainerCreateBody::default()
    }
}

fn host_config(config: &ContainerConfig) -> HostConfig {
    let mut ports: HashMap<String, Option<Vec<DockerPort>>> = HashMap::new();
    for port in &config.ports {
        let binding = DockerPort {
            host_ip: port.host_ip.clone(),
            host_port: port.host.map(|h| h.to_string()),
        };
        ports
            .entry(format!("{}/{}", port.container, port.protocol))
            .or_default()
            .get_or_insert_default()
            .push(binding);
    }
    let log = config.log.as_ref().map(|l| HostConfigLogConfig {
        typ: Some(l.driver.clone()),
        config: Some(l.options.clone().into_iter().collect()),
    });
    let limits = config
        .ulimits
        .iter()
        .map(|u| ResourcesUlimits {
            name: Some(u.name.clone()),
            soft: Some(u.soft),
            hard: Some(u.hard),
        })
        .collect();
    HostConfig {
        memory: config.resources.memory,
        nano_cpus: config.resources.cpus.map(nano),
        pids_limit: config.resources.pids,
        port_bindings: Some(ports),
        restart_policy: config.restart.as_ref().map(restart),
        extra_hosts: Some(config.extra_hosts.clone()),
        log_config: log,
        init: config.init,
        readonly_rootfs: Some(config.read_only),
        tmpfs: Some(config.tmpfs.clone().into_iter().collect()),
        cap_add: Some(config.cap_add.clone()),
        cap_drop: Some(config.cap_drop.clone()),
        ulimits: Some(limits),
        security_opt: config.no_new_privileges.then(|| vec!["no-new-privileges".to_owned()]),
        privileged: Some(false),
        ..HostConfig::default()
    }
}

/// Seconds or processors as the engine counts them.
pub(super) fn nano(value: f64) -> i64 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "clamped, and the schema allows no such numbers"
    )]
    let nano = (value * 1e9).clamp(0.0, 9e18) as i64;
    nano
}

pub(super) fn restart(policy: &RestartPolicy) -> DockerRestart {
    let name = match policy.name.as_str() {
        "always" => RestartPolicyNameEnum::ALWAYS,
        "unless-stopped" => RestartPolicyNameEnum::UNLESS_STOPPED,
        "on-failure" => RestartPolicyNameEnum::ON_FAILURE,
        _ => RestartPolicyNameEnum::NO,
    };
    DockerRestart {
        name: Some(name),
        maximum_retry_count: policy.max_retries,
    }
}

/// `registry:5000/a/b:tag` → the name and the tag; `latest` where none is said,
/// lest the engine pulls every tag there is.
pub(super) fn image_and_tag(image: &str) -> (&str, Option<&str>) {
    if image.contains('@') {
        return (image, None);
    }
    let path = image.rfind('/').map_or(0, |at| at + 1);
    match image.get(path..).and_then(|last| last.rfind(':')) {
        Some(at) => (image.get(..path + at).unwrap_or(image), image.get(path + at + 1..)),
        None => (image, Some("latest")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images() {
        assert_eq!(image_and_tag("busybox"), ("busybox", Some("latest")));
        assert_eq!(image_and_tag("a/b:1.2"), ("a/b", Some("1.2")));
        assert_eq!(image_and_tag("r:5000/a/b"), ("r:5000/a/b", Some("latest")));
        assert_eq!(image_and_tag("r:5000/a/b:x"), ("r:5000/a/b", Some("x")));
        assert_eq!(image_and_tag("a@sha256:00"), ("a@sha256:00", None));
    }
}

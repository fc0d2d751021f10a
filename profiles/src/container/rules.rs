//! What a spec may ask for: denied unless the operator's settings allow it.

use senlin_core::{profile_type::SpecRules, spec::SpecError};

use super::parse::ContainerSpec;

/// What Docker gives a container by itself.
pub(super) const DEFAULT_CAPABILITIES: [&str; 14] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Log drivers that write nowhere a tenant could choose.
const LOG_DRIVERS: [&str; 4] = ["json-file", "local", "none", "journald"];

/// A capability's name without `CAP_`, in capitals.
pub(super) fn capability(name: &str) -> String {
    let upper = name.to_uppercase();
    upper.strip_prefix("CAP_").unwrap_or(&upper).to_owned()
}

/// Checks a spec against the rules.
pub(super) fn validate(spec: &ContainerSpec, rules: &SpecRules) -> Result<(), SpecError> {
    if spec.interface && rules.container_url.is_none() {
        return Err(SpecError(
            "'interface' is not offered here: the operator has not set rules.container_url".to_owned(),
        ));
    }
    let refuse = |text: String| Err(SpecError(text));
    if spec.host_node.is_none() && spec.host_cluster.is_none() {
        return refuse("At least one of 'host_node' and 'host_cluster' must be specified".to_owned());
    }
    if let Some(name) = &spec.name
        && !is_container_name(name)
    {
        return refuse(format!(
            "'{name}' is not a container name: [a-zA-Z0-9][a-zA-Z0-9_.-]*, at most 200 characters"
        ));
    }
    if spec.image.trim().is_empty() || spec.image.contains(char::is_whitespace) {
        return refuse(format!("'{}' is not the name of an image", spec.image));
    }
    for capability in spec.cap_add.iter().map(|c| capability(c)) {
        let allowed = DEFAULT_CAPABILITIES.contains(&capability.as_str())
            || rules
                .allow_capabilities
                .iter()
                .any(|a| self::capability(a) == capability);
        if !allowed {
            return refuse(format!("Capability '{capability}' in 'cap_add' is not allowed here"));
        }
    }
    for port in &spec.ports {
        if let Some(host) = port.host.filter(|p| *p < 1024 && !rules.allow_low_ports) {
            return refuse(format!(
                "Host port {host} in 'ports' is below 1024, which is not allowed here"
            ));
        }
    }
    if let Some(log) = &spec.log
        && !LOG_DRIVERS.contains(&log.driver.as_str())
        && !rules.allow_log_drivers.contains(&log.driver)
    {
        return refuse(format!("Log driver '{}' is not allowed here", log.driver));
    }
    if !rules.image_registries.is_empty()
        && !rules
            .image_registries
            .iter()
            .any(|r| spec.image == *r || spec.image.starts_with(&format!("{r}/")))
    {
        return refuse(format!(
            "Image '{}' is not from a registry that is allowed here",
            spec.image
        ));
    }
    if rules.require_digest && !spec.image.contains("@sha256:") {
        return refuse(format!(
            "Image '{}' must be named by digest (name@sha256:…) here",
            spec.image
        ));
    }
    match spec.resources.memory {
        None if rules.require_memory_limit => return refuse("A limit 'memory' is required here".to_owned()),
        Some(bytes) if bytes < 6 << 20 => {
            return refuse(format!(
                "Item 'memory' must be at least 6m, which is Docker's own least, not {bytes} bytes"
            ));
        }
        _ => {}
    }
    if let Some(own) = spec.labels.keys().find(|k| k.starts_with("senlin.")) {
        return refuse(format!(
            "Label '{own}' in 'labels': names that begin with 'senlin.' are this service's own"
        ));
    }
    if let Some(line) = spec.extra_hosts.iter().find(|l| !l.contains(':')) {
        return refuse(format!("'{line}' in 'extra_hosts' is not name:address"));
    }
    if let Some(path) = spec.tmpfs.keys().find(|p| !p.starts_with('/')) {
        return refuse(format!("'{path}' in 'tmpfs' is not an absolute path"));
    }
    if let Some((key, _)) = spec
        .environment
        .iter()
        .find(|(k, _)| k.is_empty() || k.contains('=') || k.contains('\0'))
    {
        return refuse(format!("'{key}' in 'environment' is not the name of a variable"));
    }
    Ok(())
}

pub(super) fn is_container_name(name: &str) -> bool {
    let mut chars = name.chars();
    name.len() <= 200
        && chars.next().is_some_and(|c| c.is_ascii_alphanumeric())
        && name.len() > 1
        && chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
}

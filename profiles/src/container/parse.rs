//! From what users write to what it means.

use std::collections::{BTreeMap, BTreeSet};

use senlin_core::{
    Map,
    driver::{HealthCheck, LogConfig, PortBinding, RegistryAuth, Resources, RestartPolicy, Ulimit},
    placement::Requirements,
    secret::Secret,
    spec::SpecError,
};
use serde_json::Value;

use super::spec::{Check, PullPolicy, RestartName, Start, V1_0, V1_1};

/// Either version, understood.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "fields of the spec")]
pub struct ContainerSpec {
    pub image: String,
    pub pull: PullPolicy,
    pub registry: Option<RegistryAuth>,
    pub name: Option<String>,
    pub command: Option<Vec<String>>,
    pub entrypoint: Option<Vec<String>>,
    pub environment: Vec<(String, Secret)>,
    pub labels: BTreeMap<String, String>,
    pub ports: Vec<PortBinding>,
    pub restart: Option<RestartPolicy>,
    pub resources: Resources,
    pub health: Option<HealthCheck>,
    pub start: Start,
    pub user: Option<String>,
    pub working_dir: Option<String>,
    pub hostname: Option<String>,
    pub extra_hosts: Vec<String>,
    pub log: Option<LogConfig>,
    pub stop_signal: Option<String>,
    pub stop_grace: Option<i64>,
    pub init: Option<bool>,
    /// The in-container interface.
    pub interface: bool,
    pub read_only: bool,
    pub tmpfs: BTreeMap<String, String>,
    pub cap_add: Vec<String>,
    pub cap_drop: Vec<String>,
    pub ulimits: Vec<Ulimit>,
    pub host_node: Option<String>,
    pub host_cluster: Option<String>,
    pub host_labels: BTreeMap<String, String>,
}

/// Understands checked properties.
///
/// # Errors
/// Names the item and what is wrong with it.
pub fn parse(version: &str, properties: &Map) -> Result<ContainerSpec, SpecError> {
    let value = Value::Object(properties.clone());
    let odd = |e: serde_json::Error| SpecError(format!("The properties cannot be understood: {e}"));
    if version == "1.0" {
        let v: V1_0 = serde_json::from_value(value).map_err(odd)?;
        return Ok(ContainerSpec {
            image: v.image,
            name: v.name,
            command: v.command.map(|c| split("command", &c)).transpose()?,
            host_node: v.host_node,
            host_cluster: v.host_cluster,
            ..ContainerSpec::default()
        });
    }
    let v: V1_1 = serde_json::from_value(value).map_err(odd)?;
    Ok(ContainerSpec {
        image: v.image,
        pull: v.pull_policy.unwrap_or_default(),
        registry: v.registry.map(|r| RegistryAuth {
            username: r.username,
            password: r.password,
            server: r.server,
        }),
        name: v.name,
        command: v.command.map(|c| list_of_words("command", c)).transpose()?,
        entrypoint: v.entrypoint.map(|c| list_of_words("entrypoint", c)).transpose()?,
        environment: v.environment.unwrap_or_default().into_iter().map(variable).collect(),
        labels: v.labels.unwrap_or_default(),
        ports: v.ports.unwrap_or_default().iter().map(port).collect::<Result<_, _>>()?,
        restart: v.restart.map(|r| RestartPolicy {
            name: match r.name {
                RestartName::No => "no",
                RestartName::Always => "always",
                RestartName::UnlessStopped => "unless-stopped",
                RestartName::OnFailure => "on-failure",
            }
            .to_owned(),
            max_retries: r.max_retries,
        }),
        resources: Resources {
            cpus: v.cpu,
            memory: v.memory.map(|m| size("memory", &m)).transpose()?,
            pids: v.pids,
        },
        health: v.healthcheck.map(health).transpose()?,
        start: v.start.unwrap_or_default(),
        user: v.user,
        working_dir: v.working_dir,
        hostname: v.hostname,
        extra_hosts: v.extra_hosts.unwrap_or_default(),
        log: v.log.map(|l| LogConfig {
            driver: l.driver,
            options: l.options.unwrap_or_default(),
        }),
        stop_signal: v.stop_signal,
        stop_grace: v.stop_grace_period,
        init: v.init,
        interface: v.interface.unwrap_or(false),
        read_only: v.read_only.unwrap_or(false),
        tmpfs: v.tmpfs.unwrap_or_default(),
        cap_add: v.cap_add.unwrap_or_default(),
        cap_drop: v.cap_drop.unwrap_or_default(),
        ulimits: v
            .ulimits
            .unwrap_or_default()
            .into_iter()
            .map(|u| Ulimit {
                name: u.name,
                soft: u.soft,
                hard: u.hard.unwrap_or(u.soft),
            })
            .collect(),
        host_node: v.host_node,
        host_cluster: v.host_cluster,
        host_labels: v.host_labels.unwrap_or_default(),
    })
}

impl ContainerSpec {
    /// What it needs of a host.
    ///
    /// # Errors
    /// When the processors are not a usable number.
    pub fn requirements(&self) -> Result<Requirements, SpecError> {
        let millis = self.resources.cpus.unwrap_or(0.0) * 1000.0;
        if !(0.0..1e9).contains(&millis) {
            return Err(SpecError("Item 'cpu' is out of range".to_owned()));
        }
        #[expect(clippy::cast_possible_truncation, reason = "checked just above")]
        let cpu_millis = millis.round() as i64;
        Ok(Requirements {
            cpu_millis,
            memory: self.resources.memory.unwrap_or(0),
            // A port may be published on several addresses.
            ports: self
                .ports
                .iter()
                .filter_map(|p| Some((p.host?, p.protocol.clone())))
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect(),
            labels: self.host_labels.clone(),
            ..Requirements::default()
        })
    }
}

fn variable((key, value): (String, Value)) -> (String, Secret) {
    let text = match value {
        Value::String(text) => text,
        Value::Object(map) => map.get("value").and_then(Value::as_str).unwrap_or_default().to_owned(),
        // 3 is what was meant, not 3.0.
        Value::Number(n) => match n.as_f64() {
            Some(f) if f.fract() == 0.0 && f.abs() < 1e15 => format!("{f:.0}"),
            _ => n.to_string(),
        },
        other => other.to_string(),
    };
    (key, Secret::new(text))
}

fn list_of_words(item: &str, value: Value) -> Result<Vec<String>, SpecError> {
    match value {
        Value::String(text) => split(item, &text),
        Value::Array(list) => Ok(list.iter().filter_map(Value::as_str).map(str::to_owned).collect()),
        _ => Err(SpecError(format!("Item '{item}' must be a string or a list"))),
    }
}

/// Splits as a POSIX shell does: quotes and backslashes, no expansion.
///
/// # Errors
/// When a quote is not closed.
pub fn split(item: &str, text: &str) -> Result<Vec<String>, SpecError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some('\''), '\'') | (Some('"'), '"') => quote = None,
            (Some('\''), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (quote, '\\') => match chars.next() {
                Some(next) => {
                    let into = word.get_or_insert_default();
                    if quote.is_some() && !matches!(next, '"' | '\\' | '$' | '`') {
                        into.push('\\');
                    }
                    into.push(next);
                }
                None => return Err(SpecError(format!("Item '{item}' ends in a backslash"))),
            },
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if let Some(quote) = quote {
        return Err(SpecError(format!("Item '{item}' has a {quote} that is never closed")));
    }
    words.extend(word);
    Ok(words)
}

/// Bytes, or a text such as `512m`.
fn size(item: &str, value: &Value) -> Result<i64, SpecError> {
    if let Some(bytes) = value.as_i64() {
        return Ok(bytes);
    }
    let text = value.as_str().unwrap_or_default().trim().to_lowercase();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: i64 = match text.get(digits.len()..).unwrap_or_default() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        _ => 0,
    };
    digits
        .parse::<i64>()
        .ok()
        .filter(|n| unit > 0 && *n >= 0)
        .and_then(|n| n.checked_mul(unit))
        .ok_or_else(|| {
            SpecError(format!(
                "Item '{item}' must be bytes or a text such as 512m, not '{text}'"
            ))
        })
}

/// `[[host_ip:]host:]container[/protocol]`, or a map of those.
fn port(value: &Value) -> Result<PortBinding, SpecError> {
    let number = |text: &str, whole: &str| {
        text.parse::<u16>().ok().filter(|p| *p > 0).ok_or_else(|| {
            SpecError(format!(
                "'{whole}' in 'ports' is not [[host_ip:]host:]container[/protocol]"
            ))
        })
    };
    if let Some(text) = value.as_str() {
        let (numbers, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        if !matches!(protocol, "tcp" | "udp" | "sctp") {
            return Err(SpecError(format!(
                "'{protocol}' must be one of the allowed values: tcp, udp, sctp"
            )));
        }
        let parts: Vec<&str> = numbers.rsplitn(3, ':').collect();
        let container = number(parts.first().copied().unwrap_or_default(), text)?;
        let host = parts
            .get(1)
            .filter(|h| !h.is_empty())
            .map(|h| number(h, text))
            .transpose()?;
        let host_ip = parts.get(2).map(|ip| (*ip).to_owned());
        return Ok(PortBinding {
            container,
            host,
            host_ip,
            protocol: protocol.to_owned(),
        });
    }
    let field = |key: &str| {
        value
            .get(key)
            .and_then(Value::as_u64)
            .and_then(|n| u16::try_from(n).ok())
    };
    let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    Ok(PortBinding {
        container: field("container")
            .ok_or_else(|| SpecError("Required spec item 'ports.container' not provided".to_owned()))?,
        host: field("host"),
        host_ip: text("host_ip"),
        protocol: text("protocol").unwrap_or_else(|| "tcp".to_owned()),
    })
}

fn health(check: Check) -> Result<HealthCheck, SpecError> {
    let test = match check.test {
        Value::String(text) => vec!["CMD-SHELL".to_owned(), text],
        list => {
            let mut words = list_of_words("healthcheck.test", list)?;
            if !matches!(words.first().map(String::as_str), Some("CMD" | "CMD-SHELL" | "NONE")) {
                words.insert(0, "CMD".to_owned());
            }
            words
        }
    };
    Ok(HealthCheck {
        test,
        interval: check.interval,
        timeout: check.timeout,
        start_period: check.start_period,
        retries: check.retries,
    })
}

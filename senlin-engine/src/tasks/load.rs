//! Measures: how loaded each host is, by the Docker stats of its containers or
//! by its node exporter, and what each container of ours uses.

use std::{collections::HashMap, sync::Arc, time::Duration};

use senlin_core::{
    Map, Time,
    driver::{LABEL_NODE, LABEL_OWNER, Usage},
    ids::NodeId,
    profile_type::ProfileError,
};
use senlin_db::{
    DbError, hosts,
    loads::{self, HostLoad, NodeLoad},
};
use senlin_policies::types::target_tracking::is_measure;
use serde_json::{Value, json};

use super::runner::{Scope, Task};
use crate::{
    Engine, Settings,
    failure::Failure,
    hosts::address,
    outbound::{Ask, OutboundError},
};

/// Hosts measured at once by one engine.
const MAX_CONCURRENT_MEASURES: i64 = 32;
/// A measure counts for e^-1 after so many seconds.
const MEMORY: f64 = 15.0;
/// Counters older than so many seconds are not compared with.
const STALE: f64 = 120.0;

/// Measures hosts. One that does not answer is simply not measured: what is
/// known of it grows old.
pub struct Load;

impl Task for Load {
    type Item = NodeId;
    const NAME: &'static str = "load";
    const MAY_FAIL: bool = true;

    fn period(settings: &Settings) -> Option<Duration> {
        (settings.measure > 0).then_some(Duration::from_secs(1))
    }

    async fn due(engine: &Arc<Engine>, scope: Scope) -> Result<Vec<NodeId>, DbError> {
        #[expect(clippy::cast_precision_loss, reason = "seconds between measures fit a double")]
        let every = scope.every(engine.settings.measure as f64);
        loads::due(&mut engine.db.session(), every, scope.limit(MAX_CONCURRENT_MEASURES)).await
    }

    async fn run_one(engine: &Arc<Engine>, host: NodeId) -> Result<(), Failure> {
        measure(engine, host).await
    }

    fn about(host: &NodeId) -> String {
        format!("host {host}")
    }
}

async fn measure(engine: &Engine, id: NodeId) -> Result<(), Failure> {
    let mut conn = engine.db.session();
    let gone = || Failure::Refused(format!("The host '{id}' could not be found."));
    let host = hosts::get(&mut conn, id).await?.ok_or_else(gone)?;
    let loaded = engine.profile_cache.load(&mut conn, host.profile_id).await?;
    let driver = engine.connections.driver(&mut conn, &engine.profile_cache, id).await?;
    // Read right before the counters: two such times are as far apart as they are.
    let (now, last) = loads::last(&mut conn, id).await?;
    let usage = driver.usage().await.map_err(ProfileError::from)?;
    let seconds = last
        .as_ref()
        .map(|l| seconds(l.measured_at, now))
        .filter(|s| *s > 0.1 && *s < STALE);
    let before = seconds.and(last.as_ref());
    let counters = before.and_then(|l| l.sample.get("docker")).and_then(Value::as_object);
    let used = containers(&usage, counters, seconds);
    let cpus = f64::from(u32::try_from(host.info.cpus.max(1)).unwrap_or(1));
    let memory_bytes = host.info.memory.max(1);
    let docker: Map = usage.iter().map(|u| (u.id.clone(), u.cpu_ns.into())).collect();
    let exporter = loaded.properties.get("node_exporter").and_then(Value::as_str);
    let (cpu, memory, source, sample) = match exporter {
        None => {
            let millis = used.as_ref().map(|all| all.values().sum::<f64>());
            let bytes: u64 = usage.iter().map(|u| u.memory).sum();
            #[expect(clippy::cast_precision_loss, reason = "a share of a whole needs no last digit")]
            let memory = 100.0 * bytes as f64 / memory_bytes as f64;
            (
                millis.map(|m| m / cpus / 10.0),
                Some(memory),
                "docker",
                json!({"docker": docker}),
            )
        }
        Some(url) => {
            let url = url.replace("{host}", &address(&host.endpoint));
            let read = scrape(engine, &url).await?;
            let cpu = before.and_then(|l| busy(l.sample.get("exporter"), &read));
            let sample = json!({"docker": docker, "exporter": {"idle": read.idle, "total": read.total}});
            (cpu, read.memory, "node-exporter", sample)
        }
    };
    let load = HostLoad {
        measured_at: now,
        cpu: smooth(before.and_then(|l| l.cpu), cpu, seconds),
        memory: smooth(before.and_then(|l| l.memory), memory, seconds),
        source: source.to_owned(),
        sample,
        cpu_millis: host.info.cpus.saturating_mul(1000),
        memory_bytes,
    };
    let nodes = ours(engine, &usage, used.as_ref());
    loads::record(&mut engine.db.session(), id, &load, &nodes).await?;
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds between two looks fit a double")]
fn seconds(from: Time, to: Time) -> f64 {
    (to - from).num_milliseconds() as f64 / 1000.0
}

/// Thousandths of a processor that each container used since the last look.
#[expect(clippy::cast_precision_loss, reason = "a rate needs no last digit")]
fn containers(usage: &[Usage], before: Option<&Map>, seconds: Option<f64>) -> Option<HashMap<String, f64>> {
    let (before, seconds) = (before?, seconds?);
    let rate = |u: &Usage| {
        // One that came since has used all it used since.
        let was = before.get(&u.id).and_then(Value::as_u64).unwrap_or(0);
        u.cpu_ns.saturating_sub(was) as f64 / seconds / 1e6
    };
    Some(usage.iter().map(|u| (u.id.clone(), rate(u))).collect())
}

fn ours(engine: &Engine, usage: &[Usage], used: Option<&HashMap<String, f64>>) -> Vec<NodeLoad> {
    let Some(used) = used else { return Vec::new() };
    usage
        .iter()
        .filter(|u| u.labels.get(LABEL_OWNER) == Some(&engine.installation))
        .filter_map(|u| {
            #[expect(clippy::cast_precision_loss, reason = "a share of a whole needs no last digit")]
            let memory = u.memory as f64;
            Some(NodeLoad {
                node: u.labels.get(LABEL_NODE)?.parse().ok()?,
                cpu_millis: *used.get(&u.id)?,
                memory,
            })
        })
        .collect()
}

/// A moving mean, so that one busy second does not turn a decision.
fn smooth(before: Option<f64>, now: Option<f64>, seconds: Option<f64>) -> Option<f64> {
    let now = now?.max(0.0);
    match (before, seconds) {
        (Some(before), Some(seconds)) => {
            let weight = 1.0 - (-seconds / MEMORY).exp();
            Some(before + weight * (now - before))
        }
        _ => Some(now),
    }
}

/// What a node exporter says.
#[derive(Debug, Clone, PartialEq)]
struct Read {
    /// Seconds of all processors together.
    idle: f64,
    total: f64,
    /// Percent.
    memory: Option<f64>,
}

async fn scrape(engine: &Engine, url: &str) -> Result<Read, Failure> {
    let ask = Ask {
        url,
        post: None,
        timeout: Duration::from_secs(5),
        verify: true,
        ours: false,
    };
    let answer = engine.web.ask(&ask).await;
    let told = |e: &OutboundError| Failure::Refused(format!("The node exporter '{url}' cannot be read: {e}"));
    let answer = answer.map_err(|e| told(&e))?;
    read(&answer.body).ok_or_else(|| Failure::Refused(format!("'{url}' does not answer as a node exporter does.")))
}

fn read(text: &str) -> Option<Read> {
    let (mut idle, mut total) = (0.0, 0.0);
    let (mut available, mut whole) = (None, None);
    for line in text.lines().filter(|l| l.starts_with("node_")) {
        let Some((name, value)) = line
            .rsplit_once(' ')
            .and_then(|(n, v)| Some((n, v.parse().ok().filter(|v| is_measure(*v))?)))
        else {
            continue;
        };
        if name.starts_with("node_cpu_seconds_total{") {
            total += value;
            if name.contains("mode=\"idle\"") || name.contains("mode=\"iowait\"") {
                idle += value;
            }
        } else if name == "node_memory_MemAvailable_bytes" {
            available = Some(value);
        } else if name == "node_memory_MemTotal_bytes" {
            whole = Some(value);
        }
    }
    let memory = available
        .zip(whole)
        .map(|(a, w): (f64, f64)| 100.0 * (1.0 - a / w.max(1.0)));
    (total > 0.0).then_some(Read { idle, total, memory })
}

fn busy(before: Option<&Value>, now: &Read) -> Option<f64> {
    let was = |key: &str| before?.get(key)?.as_f64();
    let (idle, total) = (now.idle - was("idle")?, now.total - was("total")?);
    (total > 0.0).then(|| 100.0 * (1.0 - idle / total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exporter_is_read_and_compared() {
        let text = |idle: f64, user: f64| {
            format!(
                "# HELP node_cpu_seconds_total x\nnode_cpu_seconds_total{{cpu=\"0\",mode=\"idle\"}} {idle}\n\
                 node_cpu_seconds_total{{cpu=\"0\",mode=\"user\"}} {user}\nnode_memory_MemTotal_bytes 1000\n\
                 node_memory_MemAvailable_bytes 2.5e+02\n"
            )
        };
        let first = read(&text(100.0, 10.0)).unwrap();
        let second = read(&text(101.0, 13.0)).unwrap();
        assert_eq!(first.memory, Some(75.0));
        let before = json!({"idle": first.idle, "total": first.total});
        assert_eq!(busy(Some(&before), &second), Some(75.0));
        assert_eq!(busy(None, &second), None);
        assert_eq!(read("nothing"), None);
    }

    #[test]
    fn a_mean_moves_towards_what_is_measured() {
        assert_eq!(smooth(None, Some(50.0), None), Some(50.0));
        assert_eq!(smooth(Some(10.0), None, Some(5.0)), None);
        let moved = smooth(Some(0.0), Some(100.0), Some(15.0)).unwrap();
        assert!((63.0..64.0).contains(&moved), "{moved}");
    }
}

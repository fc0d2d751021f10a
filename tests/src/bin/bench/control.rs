//! How fast nodes come to be, and what others notice of it.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context;
use senlin_tests::{
    http::Client,
    programs::{Plane, Program},
};
use serde_json::json;

use crate::{Table, statements};

const NODES: i64 = 1000;
const HOSTS: usize = 100;
const ROUNDS: u32 = 5;

pub(crate) async fn control(table: &mut Table) -> anyhow::Result<()> {
    let one = control_plane(1, table).await?;
    let two = control_plane(2, table).await?;
    table.add(
        "the same with two engines",
        format!("{two:.0} nodes/s, ratio {:.2}", two / one),
        "not slower (ratio at least 1.0)",
        two >= one,
    );
    Ok(())
}

/// Nodes per second from request to ACTIVE, with other requests meanwhile.
async fn control_plane(engines: usize, table: &mut Table) -> anyhow::Result<f64> {
    let plane = Plane::durable(engines, "[rules]\nallow_simulated = true\ndefault_run_for = 0.0\n").await?;
    let endpoints: Vec<String> = (0..HOSTS).map(|i| format!("sim://bench-{i}")).collect();
    plane.hosts(&endpoints).await?;
    let client = &plane.client;
    let properties = json!({"image": "x", "host_cluster": "hosts"});
    let profile = client
        .profile("web", "container.dockerinc.docker", "1.1", properties)
        .await?;
    // Once to warm up, once to count.
    let warm = client.cluster("warm", &profile, 100).await?;
    client.active(&warm, 100, Duration::from_secs(60)).await?;
    let before = statements(&plane).await?;
    let probe = Probe::start(client.clone(), warm.clone());
    let mut rates = Vec::new();
    for round in 0..ROUNDS {
        let begun = Instant::now();
        let cluster = client.cluster(&format!("web{round}"), &profile, NODES).await?;
        client
            .active(&cluster, usize::try_from(NODES)?, Duration::from_secs(120))
            .await?;
        #[expect(clippy::cast_precision_loss, reason = "a thousand")]
        rates.push(NODES as f64 / begun.elapsed().as_secs_f64());
    }
    let (gets, posts) = probe.stop().await?;
    let asked = f64::from(gets.0) + 3.0 * f64::from(posts.0);
    let per_node = (statements(&plane).await? - before - asked) / (1000.0 * f64::from(ROUNDS));
    rates.sort_by(f64::total_cmp);
    let rate = rates.get(rates.len() / 2).copied().context("no round")?;
    if engines == 1 {
        table.add(
            "create a cluster of 1,000, simulated hosts, one engine, fsync on, median of 5",
            format!("{rate:.0} nodes/s"),
            "at least 300 nodes/s",
            rate >= 300.0,
        );
        table.add(
            "SQL statements per node",
            format!("{per_node:.1}"),
            "at most 12",
            per_node <= 12.0,
        );
        table.add(
            "GET /v1/clusters/{id} meanwhile, p99",
            format!("{:.1} ms of {}", gets.1, gets.0),
            "under 50 ms",
            gets.1 < 50.0,
        );
        table.add(
            "POST /v1/profiles meanwhile, p99",
            format!("{:.1} ms of {}", posts.1, posts.0),
            "under 50 ms",
            posts.1 < 50.0,
        );
    }
    Ok(rate)
}

/// Asks at a steady pace and keeps the times.
struct Probe {
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<anyhow::Result<()>>>,
    gets: Arc<Mutex<Vec<f64>>>,
    posts: Arc<Mutex<Vec<f64>>>,
}

impl Probe {
    fn start(client: Client, cluster: String) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (gets, posts) = (Arc::<Mutex<Vec<f64>>>::default(), Arc::<Mutex<Vec<f64>>>::default());
        let getter = {
            let (client, stop, times) = (client.clone(), stop.clone(), gets.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    let begun = Instant::now();
                    client.get(&format!("/v1/clusters/{cluster}")).await?;
                    keep(&times, begun);
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Ok(())
            })
        };
        let poster = {
            let (stop, times) = (stop.clone(), posts.clone());
            tokio::spawn(async move {
                let mut n = 0;
                while !stop.load(Ordering::SeqCst) {
                    n += 1;
                    let begun = Instant::now();
                    let properties = json!({"image": "x", "host_cluster": "hosts"});
                    client
                        .profile(&format!("p{n}"), "container.dockerinc.docker", "1.1", properties)
                        .await?;
                    keep(&times, begun);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Ok(())
            })
        };
        Self {
            stop,
            tasks: vec![getter, poster],
            gets,
            posts,
        }
    }

    /// Of both: how many, and the 99th percentile in milliseconds.
    async fn stop(self) -> anyhow::Result<((u32, f64), (u32, f64))> {
        self.stop.store(true, Ordering::SeqCst);
        for task in self.tasks {
            task.await??;
        }
        Ok((p99(&self.gets), p99(&self.posts)))
    }
}

fn keep(times: &Mutex<Vec<f64>>, begun: Instant) {
    if let Ok(mut times) = times.lock() {
        times.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
}

fn p99(times: &Mutex<Vec<f64>>) -> (u32, f64) {
    let Ok(mut times) = times.lock() else {
        return (0, f64::INFINITY);
    };
    times.sort_by(f64::total_cmp);
    let at = (times.len() * 99).div_ceil(100).saturating_sub(1);
    (
        u32::try_from(times.len()).unwrap_or(0),
        times.get(at).copied().unwrap_or(f64::INFINITY),
    )
}

/// Resident memory and time to readiness of idle programs.
pub(crate) async fn idle(table: &mut Table) -> anyhow::Result<()> {
    let begun = Instant::now();
    let plane = Plane::start(1, "").await?;
    let ready = begun.elapsed().as_secs_f64();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let resident = |program: &Program| -> anyhow::Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", program.pid()))?;
        let line = status
            .lines()
            .find_map(|l| l.strip_prefix("VmRSS:"))
            .context("no VmRSS")?;
        let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kib / 1024.0)
    };
    let engine = plane.engines.first().context("no engine")?;
    for (name, program) in [("senlin-api", &plane.api), ("senlin-engine", engine)] {
        let mib = resident(program)?;
        table.add(
            &format!("{name} idle, resident"),
            format!("{mib:.1} MiB"),
            "under 40 MB",
            mib < 38.1,
        );
    }
    table.add(
        "from start to ready (with the test database made in that time)",
        format!("{ready:.2} s"),
        "within 1 s",
        ready < 1.0,
    );
    Ok(())
}

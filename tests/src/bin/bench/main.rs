//! The benchmark: both sides of each comparison in one run, as a table.

use std::{
    fmt::Write as _,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context;
use bollard::{
    Docker,
    models::{ContainerCreateBody, HostConfig},
    query_parameters::{CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, StartContainerOptions},
};
use futures_util::{StreamExt, TryStreamExt, stream};
use senlin_core::{
    host::HostState,
    ids::NodeId,
    placement::{HostSnapshot, Requirements, Rules, Strategy},
};
use senlin_policies::placement::Planner;
use senlin_tests::{
    hosts::Hosts,
    http::Client,
    programs::{Plane, Program},
};
use serde_json::json;

mod decisions;
mod reads;

const NODES: i64 = 1000;
const HOSTS: usize = 100;
const ROUNDS: u32 = 5;
const REAL: usize = 40;

struct Row {
    what: String,
    seen: String,
    goal: String,
    met: bool,
}

#[derive(Default)]
struct Table(Vec<Row>);

impl Table {
    fn add(&mut self, what: &str, seen: String, goal: &str, met: bool) {
        self.0.push(Row {
            what: what.to_owned(),
            seen,
            goal: goal.to_owned(),
            met,
        });
    }

    fn render(&self) -> String {
        let mut out = String::from("| what | seen | goal | met |\n|---|---|---|---|\n");
        for row in &self.0 {
            let met = if row.met { "yes" } else { "no" };
            let _ = writeln!(out, "| {} | {} | {} | {met} |", row.what, row.seen, row.goal);
        }
        out
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut table = Table::default();
    placement(&mut table);
    let one = control_plane(1, &mut table).await?;
    let two = control_plane(2, &mut table).await?;
    table.add(
        "the same with two engines",
        format!("{two:.0} nodes/s, ratio {:.2}", two / one),
        "not slower (ratio at least 1.0)",
        two >= one,
    );
    reads::reads(&mut table).await?;
    decisions::decisions(&mut table).await?;
    idle(&mut table).await?;
    real_docker(&mut table).await?;
    write(&table)
}

/// Decisions over simulated snapshots, one thread.
fn placement(table: &mut Table) {
    for (hosts, least) in [(1000_u128, 10_000.0), (5000, 2000.0)] {
        let snapshot: Vec<HostSnapshot> = (0..hosts)
            .map(|n| HostSnapshot {
                id: NodeId(uuid::Uuid::from_u128(n)),
                name: format!("host-{n}"),
                cluster_id: None,
                state: HostState::Up,
                seen_lately: true,
                closed: false,
                cpu_millis: 64_000,
                memory: 256 << 30,
                cpu_used: 0,
                memory_used: 0,
                containers: 0,
                siblings: 0,
                ports: Vec::new(),
                labels: std::collections::BTreeMap::new(),
                cpu_load: None,
                memory_load: None,
                cpu_since: 0,
                memory_since: 0,
                failures: 0,
            })
            .collect();
        for strategy in [Strategy::Spread, Strategy::Random] {
            let needs = Requirements {
                memory: 64 << 20,
                cpu_millis: 100,
                ..Requirements::default()
            };
            let begun = Instant::now();
            let mut planner = Planner::new(snapshot.clone(), Rules::of(strategy), 1);
            let placed = (0..10_000).filter(|_| planner.place(&needs).is_ok()).count();
            let rate = 10_000.0 / begun.elapsed().as_secs_f64();
            table.add(
                &format!("10,000 placements over {hosts} hosts, {strategy:?} ({placed} placed)"),
                format!("{rate:.0}/s"),
                &format!("{least:.0}/s"),
                rate >= least,
            );
        }
    }
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

/// Statements that this database has run so far.
async fn statements(plane: &Plane) -> anyhow::Result<f64> {
    let query = "SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid \
                 WHERE d.datname = current_database()";
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let calls = plane.db.count(query).await? as f64;
    Ok(calls)
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
async fn idle(table: &mut Table) -> anyhow::Result<()> {
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

/// The same 40 containers through the API, and through bollard alone.
async fn real_docker(table: &mut Table) -> anyhow::Result<()> {
    let hosts = Hosts::start(1, 43)?;
    let host = hosts.all.first().context("no host")?;
    // Docker alone does not wait for what it starts either.
    let plane = Plane::start(1, "[rules]\ndefault_run_for = 0.0\n").await?;
    plane.hosts(&[host.endpoint()]).await?;
    let properties = json!({"image": "senlin/busybox:latest", "command": ["sleep", "100000"], "host_cluster": "hosts",
        "stop_grace_period": 0});
    let profile = plane
        .client
        .profile("web", "container.dockerinc.docker", "1.1", properties)
        .await?;
    let docker = Docker::connect_with_unix(&host.endpoint(), 120, bollard::API_DEFAULT_VERSION)?
        .negotiate_version()
        .await?;
    // The best that bollard alone can do, over several degrees of parallelism.
    let mut best = f64::INFINITY;
    let mut at = 0;
    for parallel in [2, 4, 8, 16] {
        let took = alone(&docker, parallel).await?;
        if took < best {
            (best, at) = (took, parallel);
        }
    }
    let mut ratios = Vec::new();
    for round in 0..3 {
        let name = format!("web{round}");
        let begun = Instant::now();
        let cluster = plane.client.cluster(&name, &profile, i64::try_from(REAL)?).await?;
        plane.client.active(&cluster, REAL, Duration::from_secs(120)).await?;
        let ours = begun.elapsed().as_secs_f64();
        plane.client.delete_cluster(&cluster, Duration::from_secs(120)).await?;
        let theirs = alone(&docker, at).await?;
        ratios.push((ours / theirs, ours, theirs));
    }
    ratios.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (ratio, ours, theirs) = ratios.get(1).copied().context("three rounds")?;
    table.add(
        &format!("{REAL} real containers through the API against bollard alone ({at} at once), median of 3"),
        format!("{ours:.2} s against {theirs:.2} s: ratio {ratio:.2}"),
        "ratio at most 1.10",
        ratio <= 1.10,
    );
    Ok(())
}

/// Creates and starts the containers; removes them after the clock has stopped.
async fn alone(docker: &Docker, parallel: usize) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let ids: Vec<String> = stream::iter(0..REAL)
        .map(|n| async move {
            let options = CreateContainerOptionsBuilder::new().name(&format!("alone-{n}")).build();
            let body = ContainerCreateBody {
                image: Some("senlin/busybox:latest".to_owned()),
                cmd: Some(vec!["sleep".to_owned(), "100000".to_owned()]),
                host_config: Some(HostConfig {
                    pids_limit: Some(4096),
                    ..HostConfig::default()
                }),
                ..ContainerCreateBody::default()
            };
            let made = docker.create_container(Some(options), body).await?;
            docker.start_container(&made.id, None::<StartContainerOptions>).await?;
            Ok::<_, bollard::errors::Error>(made.id)
        })
        .buffer_unordered(parallel)
        .try_collect()
        .await?;
    let took = begun.elapsed().as_secs_f64();
    stream::iter(ids)
        .map(|id| async move {
            let options = RemoveContainerOptionsBuilder::new().force(true).build();
            docker.remove_container(&id, Some(options)).await
        })
        .buffer_unordered(8)
        .try_collect::<Vec<()>>()
        .await?;
    Ok(took)
}

#[expect(clippy::print_stdout, reason = "this is what the benchmark is for")]
fn write(table: &Table) -> anyhow::Result<()> {
    let cores = std::thread::available_parallelism()?;
    let memory = std::fs::read_to_string("/proc/meminfo")?;
    let total: f64 = memory
        .lines()
        .find_map(|l| l.strip_prefix("MemTotal:"))
        .and_then(|l| l.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or(0.0);
    let rendered = table.render();
    let text = format!(
        "# Performance\n\nWritten by `make bench` on a machine with {cores} cores and {:.0} GiB, everything on it: \
         programs, PostgreSQL (fsync on for the control plane), RabbitMQ, Docker, and the load itself.\n\n{rendered}\n\
         Senlin itself, for comparison: about 11 nodes/s and 92 statements per node (100 nodes, sqlite, one process, \
         a driver of zero latency).\n",
        total / 1_048_576.0
    );
    std::fs::write(senlin_testkit::workspace().join("docs/performance.md"), text)?;
    println!("{rendered}");
    Ok(())
}

//! What it costs to watch many hosts and containers.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use senlin_testkit::until;
use senlin_tests::programs::Plane;
use serde_json::json;

use crate::{Table, decisions::policy, statements};

/// Simulated hosts, and limits that let a project have many nodes.
pub(crate) const SIMULATED: &str = "[rules]\nallow_simulated = true\ndefault_run_for = 0.0\n";
pub(crate) const MANY: &str = "max_nodes_per_project = 1000000\nmax_clusters_per_project = 10000\n";
/// Hosts of one profile's pool: each new host tries its pool in order.
const POOL: usize = 100;
const SECONDS: u64 = 60;

/// Seconds of processor time that a process has used.
fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit_once(')').context("stat")?.1.split_whitespace().collect();
    let ticks = |at: usize| -> anyhow::Result<f64> { Ok(fields.get(at).context("stat")?.parse()?) };
    Ok((ticks(11)? + ticks(12)?) / 100.0)
}

/// The first engine's share of a core in percent, over a minute.
async fn minute(plane: &Plane) -> anyhow::Result<f64> {
    let engine = plane.engines.first().context("an engine")?.pid();
    let (cpu, begun) = (cpu_seconds(engine)?, Instant::now());
    tokio::time::sleep(Duration::from_secs(SECONDS)).await;
    Ok(100.0 * (cpu_seconds(engine)? - cpu) / begun.elapsed().as_secs_f64())
}

/// The same, and the statements a second.
async fn counted_minute(plane: &Plane) -> anyhow::Result<(f64, f64)> {
    let (asked, begun) = (statements(plane).await?, Instant::now());
    let share = minute(plane).await?;
    let asked = statements(plane).await? - asked;
    Ok((share, asked / begun.elapsed().as_secs_f64()))
}

/// One cluster of these hosts, made in pools. `spare`: URLs that the profiles
/// know beside, which no host takes.
pub(crate) async fn hosts(plane: &Plane, urls: &[String], spare: &[String]) -> anyhow::Result<String> {
    let client = &plane.client;
    let mut clusters = Vec::new();
    for (n, pool) in urls.chunks(POOL).enumerate() {
        let endpoints: Vec<_> = pool.iter().chain(spare).map(|url| json!({"url": url})).collect();
        let properties = json!({"endpoints": endpoints});
        let name = format!("hosts-{n}");
        let profile = client
            .profile(&name, "host.dockerinc.engine", "1.0", properties)
            .await?;
        clusters.push((
            client.cluster(&name, &profile, pool.len().try_into()?).await?,
            pool.len(),
        ));
    }
    for (cluster, size) in &clusters {
        client.active(cluster, *size, Duration::from_secs(120)).await?;
    }
    let (first, _) = clusters.first().cloned().context("no hosts")?;
    let all = urls.len();
    plane
        .db
        .execute(&format!(
            "UPDATE nodes SET cluster_id = '{first}' WHERE id IN (SELECT node_id FROM hosts);
            UPDATE clusters SET desired_capacity = {all} WHERE id = '{first}';
            UPDATE clusters SET desired_capacity = 0 WHERE id <> '{first}'"
        ))
        .await?;
    Ok(first)
}

/// What an engine needs to watch 5,000 containers and 100,000, everything that it does unasked included.
pub(crate) async fn sweeps(table: &mut Table) -> anyhow::Result<()> {
    let what = |many: &str| {
        format!("health of {many} simulated containers every 30 s, with heartbeats and measures of 100 hosts")
    };
    let plane = Plane::start(1, SIMULATED).await?;
    watched(&plane, 5).await?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let share = minute(&plane).await?;
    let seen = format!("{share:.1} % of one core");
    table.add(&what("5,000"), seen, "under 20 %", share < 20.0);
    drop(plane);
    let plane = Plane::durable_with_api(1, SIMULATED, MANY).await?;
    watched(&plane, 100).await?;
    // Two rounds of sweeps, until all is as it stays.
    tokio::time::sleep(Duration::from_secs(60)).await;
    let (share, asked) = counted_minute(&plane).await?;
    let seen = format!("{share:.1} % of one core");
    table.add(&what("100,000"), seen, "under one core", share < 100.0);
    table.add(
        "SQL statements meanwhile, when nothing changes",
        format!("{asked:.0}/s"),
        "under 100/s",
        asked < 100.0,
    );
    Ok(())
}

/// So many clusters of 1,000 containers on 100 hosts, with a health policy that looks every 30 s.
async fn watched(plane: &Plane, clusters: i64) -> anyhow::Result<()> {
    let run = uuid::Uuid::new_v4().simple().to_string();
    let urls: Vec<String> = (0..100).map(|n| format!("sim://{run}-{n}")).collect();
    let hosts = hosts(plane, &urls, &[]).await?;
    let client = &plane.client;
    let properties = json!({"image": "busybox", "host_cluster": hosts});
    let profile = client
        .profile("web", "container.dockerinc.docker", "1.1", properties)
        .await?;
    let modes = json!([{"type": "NODE_STATUS_POLLING"}]);
    let policy = policy(plane, json!({"interval": 30, "detection_modes": modes})).await?;
    let mut all = Vec::new();
    for n in 0..clusters {
        all.push(client.cluster(&format!("web-{n}"), &profile, 1000).await?);
    }
    let most = Duration::from_secs(60 + 5 * clusters.unsigned_abs());
    until("all clusters to be ACTIVE", most, || async {
        let left = "SELECT count(*) FROM clusters WHERE status <> 'ACTIVE'";
        let left = plane.db.count(left).await?;
        // A look at 100,000 rows is not for every moment.
        tokio::time::sleep(Duration::from_secs(1)).await;
        ensure!(left == 0, "{left} clusters are not ACTIVE");
        Ok(())
    })
    .await?;
    for cluster in all {
        let body = json!({"policy_attach": {"policy_id": policy, "enabled": true}});
        client.act(&cluster, &body, Duration::from_secs(60)).await?;
    }
    Ok(())
}

/// What heartbeats of 1,000 hosts cost when 100 of them take calls and never answer.
pub(crate) async fn beats(table: &mut Table) -> anyhow::Result<()> {
    // Few at once, for every new host tries the endpoints of its pool in order.
    let settings = format!("engine.slots = 12\n{SIMULATED}");
    let plane = Plane::durable_with_api(1, &settings, MANY).await?;
    let run = uuid::Uuid::new_v4().simple().to_string();
    let light = |n: usize| format!("sim://{run}-{n}");
    let dark = |n: usize| format!("sim://{run}-{n}?hang=info:100,find:100&patience=10");
    let urls: Vec<String> = (0..1000).map(light).collect();
    let spare: Vec<String> = (0..100).map(dark).collect();
    hosts(&plane, &urls, &spare).await?;
    let mut darken = String::new();
    for n in 0..100 {
        darken += &format!(
            "UPDATE hosts SET endpoint = '{}' WHERE endpoint = '{}';",
            dark(n),
            light(n)
        );
    }
    plane.db.execute(&darken).await?;
    until("the dark hosts to be unknown", Duration::from_secs(120), || async {
        let unknown = plane.db.count("SELECT count(*) FROM hosts WHERE state <> 'UP'").await?;
        ensure!(unknown == 100, "{unknown} hosts are unknown");
        Ok(())
    })
    .await?;
    let (share, asked) = counted_minute(&plane).await?;
    let late = "SELECT count(*) FROM hosts WHERE state = 'UP' AND last_seen < now() - interval '10 seconds'";
    let late = plane.db.count(late).await?;
    table.add(
        "heartbeats of 1,000 simulated hosts of which 100 take calls and do not answer, measures included",
        format!("{share:.1} % of one core, {asked:.0} statements/s, {late} of the others late"),
        "under 10 %, none late",
        share < 10.0 && late == 0,
    );
    Ok(())
}

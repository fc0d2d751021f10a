//! Kill storm on real Docker hosts: containers, engines and hosts die at
//! random while clusters are to stay as they were asked for. Prints what was
//! done and what is true when it is quiet again; fails if anything is not.
//!
//! `storm [minutes [kills [engine kills [outages]]]]`; 10, 200, 20 and 10.

#![allow(clippy::print_stdout, reason = "it prints what it did")]

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use rand::{Rng, SeedableRng, rngs::StdRng};
use senlin_testkit::until;
use senlin_tests::{
    hosts::{Engine, Hosts},
    http::text,
    programs::Plane,
};
use serde_json::{Value, json};

const HOSTS: usize = 3;
const ENGINES: usize = 3;
const CLUSTERS: usize = 6;
const MEMBERS: usize = 10;
/// How long it may take to be quiet again; a crash loop waits up to 300 s.
const QUIET: Duration = Duration::from_secs(420);

#[derive(Default)]
struct Done {
    kills: usize,
    engines: usize,
    outages: usize,
    /// Members on a host when it went silent.
    cut_off: usize,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let number = |at: usize, default: usize| std::env::args().nth(at).and_then(|a| a.parse().ok()).unwrap_or(default);
    let (minutes, kills, engine_kills, outages) = (number(1, 10), number(2, 200), number(3, 20), number(4, 10));
    let kinds = [(Engine::Oldest, false), (Engine::Newer, false), (Engine::Oldest, false)];
    let hosts = Hosts::of(&kinds, 47)?;
    let endpoints: Vec<String> = hosts.all.iter().map(|h| h.endpoint()).collect();
    let mut plane = Plane::start(ENGINES, "").await?;
    plane.hosts(&endpoints).await?;
    let clusters = clusters(&plane).await?;
    println!("{CLUSTERS} clusters of {MEMBERS} on {HOSTS} hosts, {ENGINES} engines, {minutes} minutes");

    let mut chance = StdRng::seed_from_u64(7);
    let length = Duration::from_secs(u64::try_from(minutes * 60)?);
    let plan = schedule(&mut chance, length, kills, engine_kills, outages);
    let mut done = Done::default();
    let mut frozen: Option<(usize, Instant)> = None;
    let mut dead: Vec<(usize, Instant)> = Vec::new();
    let begun = Instant::now();
    for (at, blow) in plan {
        while begun.elapsed() < at {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if let Some((host, _)) = frozen.filter(|(_, until)| *until <= Instant::now()) {
                hosts.all.get(host).context("host")?.signal("-CONT");
                frozen = None;
            }
            for (engine, _) in dead.extract_if(.., |(_, until)| *until <= Instant::now()) {
                plane.revive(engine)?;
            }
        }
        match blow {
            Blow::Container => {
                let there = (0..HOSTS)
                    .filter(|h| frozen.is_none_or(|(f, _)| f != *h))
                    .collect::<Vec<_>>();
                let at = *there.get(chance.random_range(0..there.len())).context("host")?;
                let host = hosts.all.get(at).context("host")?;
                let running = host.docker("ps -q --no-trunc --filter label=senlin.node")?;
                let running: Vec<&str> = running.lines().collect();
                if running.is_empty() {
                    continue;
                }
                let victim = running.get(chance.random_range(0..running.len())).context("victim")?;
                let how = if chance.random_bool(0.3) { "rm -f" } else { "kill" };
                // One that has gone meanwhile was somebody else's.
                if host.docker(&format!("{how} {victim}")).is_ok() {
                    done.kills += 1;
                }
            }
            Blow::Engine => {
                let alive: Vec<usize> = (0..ENGINES).filter(|e| dead.iter().all(|(d, _)| d != e)).collect();
                if alive.is_empty() {
                    continue;
                }
                let at = *alive.get(chance.random_range(0..alive.len())).context("engine")?;
                plane.engines.get_mut(at).context("engine")?.kill();
                dead.push((at, Instant::now() + Duration::from_secs(chance.random_range(1..20))));
                done.engines += 1;
            }
            Blow::Host => {
                if frozen.is_some() {
                    continue;
                }
                let at = chance.random_range(0..HOSTS);
                let host = hosts.all.get(at).context("host")?;
                done.cut_off += host.docker("ps -q --filter label=senlin.node")?.lines().count();
                host.signal("-STOP");
                frozen = Some((at, Instant::now() + Duration::from_secs(chance.random_range(15..53))));
                done.outages += 1;
            }
        }
    }
    for (engine, _) in dead {
        plane.revive(engine)?;
    }
    hosts.all.iter().for_each(|h| h.signal("-CONT"));
    println!(
        "storm of {:.0} s: {} containers killed, {} engines killed, {} host outages that cut {} members off",
        begun.elapsed().as_secs_f64(),
        done.kills,
        done.engines,
        done.outages,
        done.cut_off
    );
    let quiet = Instant::now();
    until("quiet", QUIET, || calm(&plane, &hosts, &clusters)).await?;
    println!("quiet after {:.0} s", quiet.elapsed().as_secs_f64());
    // And it stays so: nothing is still on its way.
    tokio::time::sleep(Duration::from_secs(15)).await;
    calm(&plane, &hosts, &clusters).await?;
    account(&plane, &done).await
}

enum Blow {
    Container,
    Engine,
    Host,
}

/// Blows over the whole time, in order; no outage in the last minute.
fn schedule(
    chance: &mut StdRng,
    length: Duration,
    kills: usize,
    engines: usize,
    outages: usize,
) -> Vec<(Duration, Blow)> {
    let mut plan = Vec::new();
    plan.extend((0..kills).map(|_| (length.mul_f64(chance.random_range(0.0..1.0)), Blow::Container)));
    plan.extend((0..engines).map(|_| (length.mul_f64(chance.random_range(0.0..1.0)), Blow::Engine)));
    // Evenly, so that each outage finds the hosts whole.
    let slice = length.saturating_sub(Duration::from_secs(60)) / u32::try_from(outages.max(1)).unwrap_or(1);
    plan.extend((0..u32::try_from(outages).unwrap_or(0)).map(|n| (slice * n + Duration::from_secs(1), Blow::Host)));
    plan.push((length, Blow::Container));
    plan.sort_by_key(|(at, _)| *at);
    plan
}

async fn clusters(plane: &Plane) -> anyhow::Result<Vec<String>> {
    let client = &plane.client;
    let properties = json!({"image": "senlin/busybox:latest", "pull_policy": "never", "command": ["sleep", "100000"],
        "stop_grace_period": 0, "host_cluster": "hosts"});
    let profile = client
        .profile("web", "container.dockerinc.docker", "1.1", properties)
        .await?;
    let spec = json!({"type": "senlin.policy.health", "version": "1.2", "properties": {
        "detection": {"interval": 5, "detection_modes": [{"type": "LIFECYCLE_EVENTS"}]},
        "recovery": {"actions": [{"name": "RESTART"}, {"name": "RECREATE"}], "budget": 1000, "host_grace": 30}}});
    let made = client
        .post("/v1/policies", &json!({"policy": {"name": "heal", "spec": spec}}))
        .await?;
    let policy = text(&made, "/policy/id")?;
    let mut all = Vec::new();
    for n in 0..CLUSTERS {
        let cluster = client
            .cluster(&format!("web-{n}"), &profile, MEMBERS.try_into()?)
            .await?;
        client.active(&cluster, MEMBERS, Duration::from_secs(120)).await?;
        let body = json!({"policy_attach": {"policy_id": policy, "enabled": true}});
        client.act(&cluster, &body, Duration::from_secs(60)).await?;
        all.push(cluster);
    }
    Ok(all)
}

/// Every cluster is as it was asked for, every container has its node and
/// every node one container, running.
async fn calm(plane: &Plane, hosts: &Hosts, clusters: &[String]) -> anyhow::Result<()> {
    let mut known = BTreeMap::new();
    for cluster in clusters {
        plane.client.active(cluster, MEMBERS, Duration::from_millis(1)).await?;
        let nodes = plane.client.get(&format!("/v1/nodes?cluster_id={cluster}")).await?;
        for node in nodes.pointer("/nodes").and_then(Value::as_array).context("nodes")? {
            known.insert(text(node, "/id")?, text(node, "/physical_id")?);
        }
    }
    ensure!(known.len() == CLUSTERS * MEMBERS, "{} nodes", known.len());
    let open = "SELECT count(*) FROM actions WHERE status NOT IN ('SUCCEEDED', 'FAILED', 'CANCELLED')";
    ensure!(plane.db.count(open).await? == 0, "actions are open");
    let mut seen = BTreeSet::new();
    for host in &hosts.all {
        let lines = host.docker(
            "ps -a --no-trunc --filter label=senlin.node --format '{{.ID}} {{.State}} {{.Label \"senlin.node\"}}'",
        )?;
        for line in lines.lines() {
            let mut parts = line.split(' ');
            let (id, state, node) = (parts.next(), parts.next(), parts.next());
            let (id, node) = (id.context("id")?, node.context("node")?);
            ensure!(seen.insert(node.to_owned()), "node {node} has two containers");
            ensure!(known.get(node).is_some_and(|k| k == id), "container {id} is an orphan");
            ensure!(state == Some("running"), "container {id} is {state:?}");
        }
    }
    ensure!(
        seen.len() == known.len(),
        "{} containers for {} nodes",
        seen.len(),
        known.len()
    );
    Ok(())
}

/// Recoveries against losses.
async fn account(plane: &Plane, done: &Done) -> anyhow::Result<()> {
    let count = async |what: &str| {
        let query =
            format!("SELECT count(*) FROM actions WHERE action = 'NODE_RECOVER' AND cause = 'Health Manager' {what}");
        plane.db.count(&query).await
    };
    let all = count("").await?;
    let failed = count("AND status <> 'SUCCEEDED'").await?;
    let idle = count("AND status_reason LIKE '%nothing%'").await?;
    let silent = count("AND inputs->>'because' LIKE '%silent%'").await?;
    let dead = all - silent;
    println!(
        "recoveries: {all}: {dead} of dead containers, {silent} of silent hosts; {idle} found nothing to do, {failed} failed"
    );
    let kills = i64::try_from(done.kills)?;
    let cut_off = i64::try_from(done.cut_off)?;
    ensure!(
        dead <= kills,
        "more recoveries ({dead}) than containers killed ({kills})"
    );
    ensure!(
        silent <= cut_off,
        "more recoveries ({silent}) than members cut off ({cut_off})"
    );
    println!("every cluster at its desired capacity, no container twice, none orphaned, at most one recovery per loss");
    Ok(())
}

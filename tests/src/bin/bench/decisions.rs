//! How fast it is decided, noticed and mended.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bollard::{
    Docker,
    models::ContainerCreateBody,
    query_parameters::{CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, StartContainerOptions},
};
use senlin_core::{action::ActionKind, ids::*};
use senlin_policies::{
    engine::{AttachedPolicy, ClusterSnapshot, Request, decide},
    size::Bounds,
    victims::Candidate,
};
use senlin_testkit::until;
use senlin_tests::{
    hosts::Hosts,
    http::{raw, text},
    programs::Plane,
};
use serde_json::{Value, json};

use crate::Table;

const EVALUATIONS: u32 = 10_000;
const TRIES: usize = 10;

fn bound(full: &str, properties: &Value) -> anyhow::Result<AttachedPolicy> {
    let kind = senlin_policies::all().find(full).context("a type")?.clone();
    let properties = kind.schema().check(properties.as_object().context("a map")?)?;
    Ok(AttachedPolicy {
        name: full.to_owned(),
        kind,
        properties,
        last_op: None,
        binding: BindingId::random(),
    })
}

/// Four policies over a cluster of 1,000, again and again, one thread.
pub(crate) fn evaluations(table: &mut Table) -> anyhow::Result<()> {
    let policies = [
        bound(
            "senlin.policy.scaling-1.0",
            &json!({"event": "CLUSTER_SCALE_IN", "adjustment": {"number": 10}}),
        )?,
        bound(
            "senlin.policy.zone_placement-1.0",
            &json!({"zones": [{"name": "a"}, {"name": "b", "weight": 50}]}),
        )?,
        bound("senlin.policy.deletion-1.1", &json!({"criteria": "OLDEST_FIRST"}))?,
        bound("senlin.policy.host_placement-1.0", &json!({}))?,
    ];
    let created: senlin_core::Time = "2026-01-01T00:00:00Z".parse()?;
    let member = |n: u128| Candidate {
        id: NodeId(uuid::Uuid::from_u128(n)),
        bad: n.is_multiple_of(50),
        created_at: Some(created),
        profile_created_at: Some(created),
        occupied: false,
        protected: false,
        zone: Some(if n.is_multiple_of(3) { "b" } else { "a" }.to_owned()),
        region: None,
    };
    let view = ClusterSnapshot {
        size: 1000,
        bounds: Bounds {
            min: 0,
            max: -1,
            desired: 1000,
            limit: 1000,
        },
        members: (0..1000).map(member).collect(),
        hosts: Vec::new(),
        now: created,
    };
    let begun = Instant::now();
    for seed in 0..EVALUATIONS {
        let request = Request {
            kind: ActionKind::ClusterScaleIn,
            shrinks: true,
            count: None,
            candidates: Vec::new(),
            seed: u64::from(seed),
        };
        let decision = decide(&policies, &view, &request)?;
        ensure!(decision.victims.len() == 10, "ten go");
    }
    let took = begun.elapsed().as_secs_f64();
    table.add(
        "10,000 evaluations of four policies over 1,000 members",
        format!("{took:.2} s"),
        "under 2 s",
        took < 2.0,
    );
    Ok(())
}

pub(crate) async fn policy(plane: &Plane, detection: Value) -> anyhow::Result<String> {
    let spec = json!({"type": "senlin.policy.health", "version": "1.2", "properties": {
        "detection": detection, "recovery": {"budget": 1000}}});
    let made = plane
        .client
        .post("/v1/policies", &json!({"policy": {"name": "heal", "spec": spec}}))
        .await?;
    text(&made, "/policy/id")
}

fn median(mut list: Vec<f64>) -> f64 {
    list.sort_by(f64::total_cmp);
    list.get(list.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Docker's own create and start of the same container, in seconds.
async fn alone(docker: &Docker, n: usize) -> anyhow::Result<f64> {
    let name = format!("alone-{n}");
    let options = CreateContainerOptionsBuilder::new().name(&name).build();
    let body = ContainerCreateBody {
        image: Some("senlin/busybox:latest".to_owned()),
        cmd: Some(vec!["sleep".to_owned(), "100000".to_owned()]),
        ..ContainerCreateBody::default()
    };
    let begun = Instant::now();
    docker.create_container(Some(options), body).await?;
    docker.start_container(&name, None::<StartContainerOptions>).await?;
    let took = begun.elapsed().as_secs_f64();
    let options = RemoveContainerOptionsBuilder::new().force(true).build();
    docker.remove_container(&name, Some(options)).await?;
    Ok(took)
}

/// Real containers: from a call to one that runs, and from a kill to ACTIVE.
pub(crate) async fn real(table: &mut Table) -> anyhow::Result<()> {
    let hosts = Hosts::start(1, 48)?;
    let host = hosts.all.first().context("a host")?;
    let plane = Plane::start(1, "").await?;
    plane.hosts(&[host.endpoint()]).await?;
    let client = &plane.client;
    let properties = json!({"image": "senlin/busybox:latest", "pull_policy": "never", "command": ["sleep", "100000"],
        "stop_grace_period": 0, "host_cluster": "hosts"});
    let profile = client
        .profile("web", "container.dockerinc.docker", "1.1", properties)
        .await?;
    let cluster = client.cluster("web", &profile, 1).await?;
    client.active(&cluster, 1, Duration::from_secs(30)).await?;
    let receiver = json!({"receiver": {"name": "out", "type": "webhook", "cluster_id": cluster,
        "action": "CLUSTER_SCALE_OUT"}});
    let made = client.post("/v1/receivers", &receiver).await?;
    let door = text(&made, "/receiver/channel/alarm_url")?;
    let docker = Docker::connect_with_unix(
        host.endpoint().trim_start_matches("unix://"),
        30,
        bollard::API_DEFAULT_VERSION,
    )?;
    let (mut calls, mut own) = (Vec::new(), Vec::new());
    for n in 0..TRIES {
        own.push(alone(&docker, n).await?);
        let begun = Instant::now();
        let (status, _, body) = raw(hyper::Method::POST, &door, &[], None).await?;
        ensure!(status == 202, "the call: {status} {body}");
        let running = n + 2;
        loop {
            let label = format!("senlin.cluster={cluster}");
            let filters = std::collections::HashMap::from([("label".to_owned(), vec![label])]);
            let options = bollard::query_parameters::ListContainersOptionsBuilder::new()
                .filters(&filters)
                .build();
            if docker.list_containers(Some(options)).await?.len() == running {
                break;
            }
            ensure!(begun.elapsed() < Duration::from_secs(30), "no container came");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        calls.push(begun.elapsed().as_secs_f64());
        client.active(&cluster, running, Duration::from_secs(30)).await?;
    }
    let (call, docker_alone) = (median(calls), median(own));
    table.add(
        "webhook to a new container that runs, on a warm host (median of 10)",
        format!("{call:.2} s, Docker alone {docker_alone:.2} s"),
        "under 1 s more than Docker alone",
        call - docker_alone < 1.0,
    );
    mended(table, &plane, host, &cluster).await
}

async fn mended(
    table: &mut Table,
    plane: &Plane,
    host: &senlin_tests::hosts::Host,
    cluster: &str,
) -> anyhow::Result<()> {
    let policy = policy(plane, json!({"detection_modes": [{"type": "LIFECYCLE_EVENTS"}]})).await?;
    let body = json!({"policy_attach": {"policy_id": policy, "enabled": true}});
    plane.client.act(cluster, &body, Duration::from_secs(30)).await?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (mut noticed, mut back) = (Vec::new(), Vec::new());
    let all = host.labelled(&format!("senlin.cluster={cluster}"))?;
    for id in all.iter().take(TRIES) {
        let begun = Instant::now();
        host.docker(&format!("kill {id}"))?;
        let killed = begun.elapsed().as_secs_f64();
        let node = format!("SELECT id::text FROM nodes WHERE physical_id = '{id}'");
        let node = plane.db.column(&node).await?.pop().context("its node")?;
        let recovery = format!("SELECT count(*) FROM actions WHERE target = '{node}' AND cause = 'Health Manager'");
        let active = format!(
            "SELECT count(*) FROM nodes n WHERE id = '{node}' AND status = 'ACTIVE' AND EXISTS
            (SELECT 1 FROM actions a WHERE a.target = n.id AND a.cause = 'Health Manager' AND a.status = 'SUCCEEDED')"
        );
        until("it to be noticed", Duration::from_secs(30), || async {
            ensure!(plane.db.count(&recovery).await? == 1, "not noticed");
            Ok(())
        })
        .await?;
        noticed.push(begun.elapsed().as_secs_f64() - killed);
        until("it to be back", Duration::from_secs(30), || async {
            ensure!(plane.db.count(&active).await? == 1, "not back");
            Ok(())
        })
        .await?;
        back.push(begun.elapsed().as_secs_f64() - killed);
    }
    let worst = |list: &[f64]| list.iter().copied().fold(0.0, f64::max);
    table.add(
        "a killed container is noticed (worst of 10)",
        format!("{:.2} s", worst(&noticed)),
        "under 1 s",
        worst(&noticed) < 1.0,
    );
    table.add(
        "and its node ACTIVE again (worst of 10)",
        format!("{:.2} s", worst(&back)),
        "under 3 s",
        worst(&back) < 3.0,
    );
    Ok(())
}

//! What the control plane adds to Docker.

use std::time::{Duration, Instant};

use anyhow::Context;
use bollard::{
    Docker,
    models::{ContainerCreateBody, HostConfig},
    query_parameters::{CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, StartContainerOptions},
};
use futures_util::{StreamExt, TryStreamExt, stream};
use senlin_tests::{hosts::Hosts, programs::Plane};
use serde_json::json;

use crate::Table;

const REAL: usize = 40;

/// The same 40 containers through the API, and through bollard alone.
pub(crate) async fn real_docker(table: &mut Table) -> anyhow::Result<()> {
    let hosts = Hosts::start(1, 43)?;
    let host = hosts.all.first().context("no host")?;
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

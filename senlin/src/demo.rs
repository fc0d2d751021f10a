//! A visible demonstration: a cluster comes up, scales, heals and shrinks.

use std::{net::SocketAddr, path::PathBuf, process::Command, time::Duration};

use anyhow::{Context, bail, ensure};
use senlin_core::secret::Secret;
use senlin_runtime::secrets;
use serde_json::{Value, json};

use crate::{client::Client, standalone::token_file, tools::say};

/// What `senlin demo` can be told.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The data folder of `senlin standalone`.
    #[arg(long, default_value = "/var/lib/senlin")]
    data: PathBuf,
    /// Where it listens.
    #[arg(long, default_value = "127.0.0.1:8777")]
    listen: SocketAddr,
    /// Image of the containers; must be on the host, or fetchable.
    #[arg(long, default_value = "senlin/busybox:latest")]
    image: String,
    /// The engine's socket, to kill a container behind Senlin's back.
    #[arg(long, default_value = "unix:///var/run/docker.sock")]
    docker: String,
}

const NAME: &str = "demo";

/// Shows it.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let token = token(&args)
        .await
        .context("read the token: is 'senlin standalone' running?")?;
    let client = Client::new(args.listen, token);
    wait(&client, "hosts", "ACTIVE")
        .await
        .context("wait for the first host")?;
    let there = client.get(&format!("/v1/clusters?name={NAME}")).await?;
    if there.pointer("/clusters/0").is_none() {
        create(&client, &args).await?;
    } else {
        say("\nThe cluster of an earlier run is still here:");
    }
    show(&client, "A cluster of 3 containers").await?;
    act(
        &client,
        json!({"resize": {"adjustment_type": "EXACT_CAPACITY", "number": 5}}),
    )
    .await?;
    show(&client, "Scaled to 5").await?;
    kill_one(&client, &args).await?;
    act(&client, json!({"check": {}})).await.ok();
    show(&client, "One container was killed; a check has found it").await?;
    act(&client, json!({"recover": {"operation": "RECREATE"}})).await?;
    show(&client, "Recovered").await?;
    act(
        &client,
        json!({"resize": {"adjustment_type": "EXACT_CAPACITY", "number": 2}}),
    )
    .await?;
    show(&client, "Scaled to 2").await?;
    let (url, file) = (format!("http://{}/v1", args.listen), token_file(&args.data));
    say(&format!("
It goes on running. To go on yourself:
  URL    {url}
  token  {file}

  T=$(cat {file})
  curl -s -H \"X-Auth-Token: $T\" {url}/clusters/{NAME}
  curl -s -H \"X-Auth-Token: $T\" '{url}/nodes?cluster_id={NAME}'
  curl -s -H \"X-Auth-Token: $T\" -H 'Content-Type: application/json' -d '{{\"scale_out\": {{\"count\": 1}}}}' {url}/clusters/{NAME}/actions
  curl -s -H \"X-Auth-Token: $T\" '{url}/events?cluster_id={NAME}'
  curl -s -H \"X-Auth-Token: $T\" -X DELETE {url}/clusters/{NAME}

Ctrl-C stops it; containers are left alone, and starting it again finds them.", file = file.display()));
    Ok(())
}

/// The first start makes a database and a token; that takes some seconds.
async fn token(args: &Args) -> anyhow::Result<Secret> {
    let file = token_file(&args.data);
    for _ in 0..300 {
        if file.exists() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(secrets::read(&file)?)
}

async fn create(client: &Client, args: &Args) -> anyhow::Result<()> {
    let spec = json!({"type": "container.dockerinc.docker", "version": "1.1", "properties": {
        "image": args.image, "pull_policy": "missing", "command": ["sleep", "1000000"], "stop_grace_period": 1,
        "memory": "32m", "host_cluster": "hosts"}});
    let profile = client
        .post("/v1/profiles", &json!({"profile": {"name": NAME, "spec": spec}}))
        .await?;
    let cluster = json!({"cluster": {"name": NAME, "profile_id": profile.pointer("/profile/id"),
        "desired_capacity": 3, "max_size": 10, "config": {"node.name.format": "demo-$2I"}}});
    client.post("/v1/clusters", &cluster).await?;
    wait(client, NAME, "ACTIVE").await
}

async fn wait(client: &Client, cluster: &str, status: &str) -> anyhow::Result<()> {
    let mut last = Value::Null;
    for _ in 0..600 {
        if let Ok(shown) = client.get(&format!("/v1/clusters/{cluster}")).await {
            if shown.pointer("/cluster/status").and_then(Value::as_str) == Some(status) {
                return Ok(());
            }
            last = shown.pointer("/cluster/status_reason").cloned().unwrap_or_default();
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    bail!("cluster '{cluster}' is not {status}: {last}")
}

/// Runs a cluster action to its end.
async fn act(client: &Client, body: Value) -> anyhow::Result<()> {
    let accepted = client.post(&format!("/v1/clusters/{NAME}/actions"), &body).await?;
    let id = accepted
        .pointer("/action")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    for _ in 0..600 {
        let shown = client.get(&format!("/v1/actions/{id}")).await?;
        let text = |key: &str| {
            shown
                .pointer(key)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        match text("/action/status").as_str() {
            "SUCCEEDED" => return Ok(()),
            "FAILED" | "CANCELLED" => bail!("{}: {}", text("/action/action"), text("/action/status_reason")),
            _ => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
    bail!("action {id} has not ended within a minute")
}

async fn kill_one(client: &Client, args: &Args) -> anyhow::Result<()> {
    let nodes = client.get(&format!("/v1/nodes?cluster_id={NAME}&limit=1")).await?;
    let id = nodes
        .pointer("/nodes/0/physical_id")
        .and_then(Value::as_str)
        .unwrap_or_default();
    ensure!(!id.is_empty(), "the first node has no container");
    say(&format!("\n$ docker kill {}", id.get(..12).unwrap_or(id)));
    let killed = Command::new("docker")
        .args(["-H", &args.docker, "kill", id])
        .output()
        .context("run docker kill")?;
    ensure!(
        killed.status.success(),
        "docker kill: {}",
        String::from_utf8_lossy(&killed.stderr)
    );
    Ok(())
}

/// The members as a table.
async fn show(client: &Client, title: &str) -> anyhow::Result<()> {
    let cluster = client.get(&format!("/v1/clusters/{NAME}")).await?;
    let nodes = client.get(&format!("/v1/nodes?cluster_id={NAME}&sort=index")).await?;
    let text = |v: &Value, key: &str| match v.pointer(key) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    };
    say(&format!(
        "\n== {title}: cluster {} (desired {})",
        text(&cluster, "/cluster/status"),
        text(&cluster, "/cluster/desired_capacity")
    ));
    say(&format!(
        "   {:<10} {:<8} {:<13} {}",
        "node", "status", "container", "reason"
    ));
    for node in nodes.pointer("/nodes").and_then(Value::as_array).into_iter().flatten() {
        let container = text(node, "/physical_id");
        say(&format!(
            "   {:<10} {:<8} {:<13} {}",
            text(node, "/name"),
            text(node, "/status"),
            container.get(..12).unwrap_or(&container),
            text(node, "/status_reason")
        ));
    }
    Ok(())
}

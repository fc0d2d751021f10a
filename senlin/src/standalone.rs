//! One process: API, engine, the bus between them, and a private PostgreSQL.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use prometheus_client::registry::Registry;
use senlin_api::{Api, auth::TokenFile, rbac::Rbac};
use senlin_bus::LocalBus;
use senlin_core::{profile_type::SpecRules, secret::Secret};
use senlin_db::Db;
use senlin_drivers::Connector;
use senlin_engine::{Engine, metrics::Metrics};
use senlin_runtime::{
    log::{self, Log},
    secrets, signal,
};
use serde_json::json;

use crate::{
    client::Client,
    postgres::Postgres,
    tools::{new_token, say, token_lines, write_private},
};

/// What `senlin standalone` can be told.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where everything is kept.
    #[arg(long, default_value = "/var/lib/senlin")]
    data: PathBuf,
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8777")]
    listen: SocketAddr,
    /// The first host's engine; empty for none.
    #[arg(long, default_value = "unix:///var/run/docker.sock")]
    docker: String,
    /// Such as info, debug or info,senlin_engine=debug.
    #[arg(long, default_value = "info")]
    log: String,
}

/// Where the token of the first user is.
pub(crate) fn token_file(data: &Path) -> PathBuf {
    data.join("token")
}

/// Runs until SIGTERM or SIGINT.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    log::init(&Log {
        level: args.log.clone(),
        ..Log::default()
    })?;
    fs::create_dir_all(&args.data).with_context(|| format!("create '{}'", args.data.display()))?;
    // PostgreSQL's own user must be able to enter; what is secret is in private files.
    fs::set_permissions(&args.data, fs::Permissions::from_mode(0o711))?;
    let listener = TcpListener::bind(args.listen).with_context(|| format!("listen on {}", args.listen))?;
    let shutdown = signal::shutdown()?;
    let postgres = Postgres::start(&args.data)?;
    let outcome = serve(&args, &postgres, listener, shutdown).await;
    postgres.stop()?;
    outcome
}

async fn serve(
    args: &Args,
    postgres: &Postgres,
    listener: TcpListener,
    shutdown: tokio_util::sync::CancellationToken,
) -> anyhow::Result<()> {
    senlin_db::migrate(&postgres.url()).await?;
    let db = Db::connect(&postgres.url(), 24)?;
    let token = identity(&args.data)?;
    let key = args.data.join("key");
    if !key.exists() {
        write_private(&key, senlin_core::seal::Sealer::generate_key().expose())?;
    }
    let sealer = secrets::Secrets { key_file: key }.sealer()?;
    let bus = Arc::new(LocalBus::default());
    let mut registry = Registry::default();
    let metrics = Metrics::registered(&mut registry);
    db.register(&mut registry);
    let engine = Engine::new(senlin_engine::Parts {
        db: db.clone(),
        bus: bus.clone(),
        registry: senlin_profiles::all(),
        connector: Arc::new(Connector::new(senlin_drivers::Settings::default())),
        sealer: sealer.clone(),
        settings: senlin_engine::Settings::default(),
        metrics,
    })
    .await?;
    let api = Api::new(senlin_api::Parts {
        db: db.clone(),
        bus,
        registry: senlin_profiles::all(),
        sealer,
        auth: Arc::new(TokenFile::read(&args.data.join("tokens.toml"))?),
        rbac: Rbac::from_settings(None)?,
        settings: senlin_api::Settings::default(),
        rules: SpecRules::default(),
        metrics: registry,
    });
    let working = tokio::spawn(engine.run(shutdown.clone()));
    if !args.docker.is_empty() {
        tokio::spawn(first_host(Client::new(args.listen, token), args.docker.clone()));
    }
    say(&format!(
        "Senlin is at http://{}/v1; its token is in {}",
        args.listen,
        token_file(&args.data).display()
    ));
    let served = api.serve(listener, shutdown.clone()).await;
    shutdown.cancel();
    working.await??;
    db.close();
    served
}

/// The first user's token, made once.
fn identity(data: &Path) -> anyhow::Result<Secret> {
    let file = token_file(data);
    if file.exists() {
        return Ok(secrets::read(&file)?);
    }
    let token = new_token();
    let roles = ["admin".to_owned(), "member".to_owned()];
    let tokens = data.join("tokens.toml");
    if tokens.exists() {
        fs::remove_file(&tokens)?;
    }
    write_private(&tokens, &token_lines(&token, "admin", "demo", &roles))?;
    write_private(&file, token.expose())?;
    Ok(token)
}

/// The local engine as the first host: cluster `hosts`, for every project.
async fn first_host(client: Client, endpoint: String) {
    for _ in 0..100 {
        if client.get("/readyz").await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    if let Err(error) = add_first_host(&client, &endpoint).await {
        tracing::warn!(%error, "the local Docker Engine is not a host yet");
    }
}

async fn add_first_host(client: &Client, endpoint: &str) -> anyhow::Result<()> {
    let clusters = client.get("/v1/clusters?name=hosts").await?;
    if clusters.pointer("/clusters/0").is_some() {
        return Ok(());
    }
    let properties = json!({"endpoints": [{"url": endpoint, "allow_insecure": endpoint.starts_with("tcp://")}]});
    let spec = json!({"type": "host.dockerinc.engine", "version": "1.0", "properties": properties});
    let profile = client
        .post(
            "/v1/profiles",
            &json!({"profile": {"name": "local-docker", "spec": spec}}),
        )
        .await?;
    let cluster = json!({"cluster": {"name": "hosts", "profile_id": profile.pointer("/profile/id"),
        "desired_capacity": 1}});
    let made = client.post("/v1/clusters", &cluster).await?;
    let id = made
        .pointer("/cluster/id")
        .and_then(|v| v.as_str())
        .unwrap_or_default()
        .to_owned();
    client
        .patch(
            &format!("/v1/clusters/{id}"),
            &json!({"cluster": {"shared_with": ["*"]}}),
        )
        .await?;
    Ok(())
}

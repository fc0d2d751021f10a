//! Wires the API from its settings, and runs it.

use std::{net::TcpListener, path::PathBuf, sync::Arc};

use anyhow::Context;
use senlin_api::{
    Api, Parts, Settings,
    auth::{self, KeystoneSettings},
    rbac::Rbac,
};
use senlin_bus::{AmqpBus, AmqpSettings};
use senlin_core::profile_type::SpecRules;
use senlin_db::{Db, Servers, Unusable, usable};
use senlin_runtime::{
    log::{self, Log},
    ops,
    secrets::{Bus, Database, Secrets},
    settings, signal,
    start::{Hold, Waiting},
};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct All {
    database: Database,
    bus: Bus,
    secrets: Secrets,
    #[serde(default)]
    log: Log,
    #[serde(default)]
    api: Settings,
    /// Tokens are Keystone's.
    keystone: Option<KeystoneSettings>,
    #[serde(default)]
    rules: SpecRules,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let file = std::env::args()
        .nth(1)
        .or_else(|| std::env::var("SENLIN_CONFIG").ok())
        .map(PathBuf::from);
    let all: All = settings::load(file.as_deref())?;
    log::init(&all.log)?;
    let shutdown = signal::shutdown()?;
    let database = all.database.resolve()?;
    let servers = Servers::parse(&database)?;
    let db = Db::connect(&database, all.database.pool_size)?;
    let broker = AmqpSettings::new(&all.bus.resolve()?, &all.bus.prefix, all.bus.quorum)?;
    let sealer = all.secrets.sealer()?;
    let auth = auth::from_settings(all.keystone, &all.api.tokens_file)?;
    let rbac = Rbac::from_settings(all.api.policy_file.as_deref())?;
    let listener =
        TcpListener::bind(all.api.listen).with_context(|| format!("listen on api.listen {}", all.api.listen))?;
    let ask = || async { usable(&servers, &db).await.map_err(hold) };
    if !wait(&listener, ask, &shutdown).await? {
        return Ok(());
    }
    let mut metrics = prometheus_client::registry::Registry::default();
    db.register(&mut metrics);
    let api = Api::new(Parts {
        db: db.clone(),
        bus: Arc::new(AmqpBus::start(broker)),
        registry: senlin_profiles::all(),
        sealer,
        auth,
        rbac,
        settings: all.api,
        rules: all.rules,
        metrics,
    });
    api.serve(listener, shutdown).await
}

fn hold(why: Unusable) -> Hold {
    match why {
        Unusable::Passing(why) => Hold::Passing(why),
        Unusable::Lasting(why) => Hold::Lasting(why),
    }
}

/// Answers health checks while it waits for the database. False: told to stop.
async fn wait<F>(listener: &TcpListener, ask: impl FnMut() -> F, shutdown: &CancellationToken) -> anyhow::Result<bool>
where
    F: Future<Output = Result<(), Hold>>,
{
    let (waiting, done) = (Waiting::default(), CancellationToken::new());
    let twin = listener.try_clone()?;
    twin.set_nonblocking(true)?;
    let twin = tokio::net::TcpListener::from_std(twin)?;
    let held = tokio::spawn(ops::hold(twin, waiting.clone(), done.clone()));
    let there = waiting.for_all("the database", ask, shutdown).await;
    done.cancel();
    held.await?;
    Ok(there?)
}

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
use senlin_db::{Db, schema_state};
use senlin_runtime::{
    log::{self, Log},
    secrets::{Bus, Database, Secrets},
    settings, signal,
};
use serde::Deserialize;

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
    let db = Db::connect(&all.database.resolve()?, all.database.pool_size)?;
    let state = schema_state(&mut *db.get().await.context("reach the database")?).await?;
    anyhow::ensure!(state.is_usable(), "{state}");
    let auth = auth::from_settings(all.keystone, &all.api.tokens_file)?;
    let rbac = Rbac::from_settings(all.api.policy_file.as_deref())?;
    let listener =
        TcpListener::bind(all.api.listen).with_context(|| format!("listen on api.listen {}", all.api.listen))?;
    let bus = AmqpBus::start(AmqpSettings {
        url: all.bus.resolve()?,
        prefix: all.bus.prefix,
        prefetch: 16,
    });
    let api = Api::new(Parts {
        db,
        bus: Arc::new(bus),
        registry: senlin_profiles::all(),
        sealer: all.secrets.sealer()?,
        auth,
        rbac,
        settings: all.api,
        rules: all.rules,
        metrics: prometheus_client::registry::Registry::default(),
    });
    api.serve(listener, shutdown).await
}

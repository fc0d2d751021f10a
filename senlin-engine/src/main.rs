//! Wires the engine from its settings, and runs it.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use anyhow::Context;
use prometheus_client::registry::Registry;
use senlin_bus::{AmqpBus, AmqpSettings, Bus as _};
use senlin_core::profile_type::SpecRules;
use senlin_db::{Db, schema_state};
use senlin_drivers::Connector;
use senlin_engine::{Engine, Parts, Settings, metrics::Metrics, web};
use senlin_runtime::{
    log::{self, Log},
    ops,
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
    engine: Settings,
    #[serde(default)]
    rules: SpecRules,
    #[serde(default)]
    ops: Ops,
}

/// Where /healthz, /readyz and /metrics are served.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Ops {
    listen: SocketAddr,
}

impl Default for Ops {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8778)),
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let file = std::env::args()
        .nth(1)
        .or_else(|| std::env::var("SENLIN_CONFIG").ok())
        .map(PathBuf::from);
    let mut all: All = settings::load(file.as_deref())?;
    log::init(&all.log)?;
    all.engine.rules = all.rules.clone();
    all.engine.check().map_err(anyhow::Error::msg)?;
    let shutdown = signal::shutdown()?;
    let (database, broker) = (all.database.resolve()?, all.bus.resolve()?);
    all.engine.barred = web::addresses(&[&database, &broker]);
    let db = Db::connect(&database, all.database.pool_size)?;
    let state = schema_state(&mut *db.get().await.context("reach the database")?).await?;
    anyhow::ensure!(state.is_usable(), "{state}");
    let bus = Arc::new(AmqpBus::start(AmqpSettings {
        url: broker,
        prefix: all.bus.prefix,
        prefetch: 16,
    }));
    let mut registry = Registry::default();
    let metrics = Metrics::registered(&mut registry);
    let connector = Connector::new(senlin_drivers::Settings {
        allow_simulated: all.rules.allow_simulated,
    });
    let parts = Parts {
        db: db.clone(),
        bus: bus.clone(),
        registry: senlin_profiles::all(),
        connector: Arc::new(connector),
        sealer: all.secrets.sealer()?,
        settings: all.engine,
        metrics,
    };
    let engine = Engine::new(parts).await?;
    let (checked_db, checked_bus) = (db.clone(), bus.clone());
    let ready: ops::Ready = Arc::new(move || {
        let (db, bus) = (checked_db.clone(), checked_bus.clone());
        Box::pin(async move {
            drop(db.get().await.map_err(|e| e.to_string())?);
            if bus.connected() {
                Ok(())
            } else {
                Err("the message bus is not connected".to_owned())
            }
        })
    });
    let ops = tokio::spawn(ops::serve(all.ops.listen, Arc::new(registry), ready, shutdown.clone()));
    engine.run(shutdown).await?;
    bus.close().await;
    ops.await?
        .with_context(|| format!("listen on ops.listen {}", all.ops.listen))
}

//! Wires the engine from its settings, and runs it.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use anyhow::Context;
use prometheus_client::registry::Registry;
use senlin_bus::{AmqpBus, AmqpSettings, Bus as _};
use senlin_core::profile_type::SpecRules;
use senlin_db::{Db, Servers, Unusable, usable};
use senlin_drivers::Connector;
use senlin_engine::{Engine, Parts, Settings, metrics::Metrics, outbound};
use senlin_runtime::{
    log::{self, Log},
    ops,
    secrets::{Bus, Database, Secrets},
    settings, signal,
    start::{Hold, Waiting},
};
use serde::Deserialize;
use tokio::net::TcpListener;

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
    let servers = Servers::parse(&database)?;
    let broker = AmqpSettings::new(&broker, &all.bus.prefix, all.bus.quorum)?;
    all.engine.blocked = outbound::addresses(&[servers.places(), broker.brokers.places()].concat());
    let sealer = all.secrets.sealer()?;
    let listener = TcpListener::bind(all.ops.listen)
        .await
        .with_context(|| format!("listen on ops.listen {}", all.ops.listen))?;
    let db = Db::connect(&database, all.database.pool_size)?;
    let bus = Arc::new(AmqpBus::start(broker));
    let mut registry = Registry::default();
    let metrics = Metrics::registered(&mut registry);
    db.register(&mut registry);
    let waiting = Waiting::default();
    let ready = ready(&waiting, &db, &bus);
    let ops = tokio::spawn(ops::serve(listener, Arc::new(registry), ready, shutdown.clone()));
    let ask = || async { usable(&servers, &db).await.map_err(hold) };
    if !waiting.for_all("the database", ask, &shutdown).await? {
        return Ok(());
    }
    let connector = Connector::new(senlin_drivers::Settings {
        allow_simulated: all.rules.allow_simulated,
    });
    let parts = Parts {
        db,
        bus: bus.clone(),
        registry: senlin_profiles::all(),
        connector: Arc::new(connector),
        sealer,
        settings: all.engine,
        metrics,
    };
    Engine::new(parts).await?.run(shutdown).await?;
    bus.close().await;
    ops.await??;
    Ok(())
}

fn hold(why: Unusable) -> Hold {
    match why {
        Unusable::Passing(why) => Hold::Passing(why),
        Unusable::Lasting(why) => Hold::Lasting(why),
    }
}

/// Whether the engine can work just now.
fn ready(waiting: &Waiting, db: &Db, bus: &Arc<AmqpBus>) -> ops::Ready {
    let (waiting, db, bus) = (waiting.clone(), db.clone(), bus.clone());
    Arc::new(move || {
        let (waiting, db, bus) = (waiting.clone(), db.clone(), bus.clone());
        Box::pin(async move {
            if let Some(reason) = waiting.reason() {
                return Err(reason);
            }
            db.ping().await.map_err(|e| e.to_string())?;
            if bus.connected() {
                Ok(())
            } else {
                Err("the message bus is not connected".to_owned())
            }
        })
    })
}

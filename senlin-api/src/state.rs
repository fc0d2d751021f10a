//! What handlers may use, shared by all workers.

use std::{sync::Arc, time::Duration};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry as Metrics,
};
use senlin_bus::{Bus, Request};
use senlin_core::{
    Map,
    ids::{ActionId, ServiceId},
    profile_type::{Registry, SpecRules},
    seal::Sealer,
};
use senlin_db::{Db, services};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::{
    Settings,
    auth::Authenticator,
    error::{ApiError, Result},
    rate_limit::RateLimiter,
    rbac::Rbac,
};

/// What a server is made of.
pub struct Parts {
    /// The truth.
    pub db: Db,
    /// The hints.
    pub bus: Arc<dyn Bus>,
    /// Every profile type.
    pub registry: Registry,
    /// Seals the secrets in specs.
    pub sealer: Sealer,
    /// Who is let in.
    pub auth: Arc<dyn Authenticator>,
    /// Who may do what.
    pub rbac: Rbac,
    /// What the operator set.
    pub settings: Settings,
    /// What specs may ask for.
    pub rules: SpecRules,
    /// Where the server's metrics go, beside those that are there.
    pub metrics: Metrics,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Served {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) status: u16,
}

/// The server's state, shared by its workers.
pub struct Api {
    pub(crate) db: Db,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) registry: Registry,
    pub(crate) sealer: Sealer,
    pub(crate) auth: Arc<dyn Authenticator>,
    pub(crate) rbac: Rbac,
    pub(crate) policies: senlin_policies::engine::Registry,
    pub(crate) rate_limiter: RateLimiter,
    pub(crate) settings: Settings,
    pub(crate) rules: SpecRules,
    pub(crate) metrics: Metrics,
    pub(crate) served: Family<Served, Counter>,
    pub(crate) seconds: Histogram,
    pub(crate) stopping: CancellationToken,
    pub(crate) id: ServiceId,
}

impl Api {
    /// A server that is not listening yet.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let mut metrics = parts.metrics;
        let served = Family::<Served, Counter>::default();
        let seconds = Histogram::new([0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0]);
        metrics.register("senlin_api_requests", "Requests answered", served.clone());
        metrics.register("senlin_api_request_seconds", "How long answers took", seconds.clone());
        Self {
            db: parts.db,
            bus: parts.bus,
            registry: parts.registry,
            sealer: parts.sealer,
            auth: parts.auth,
            rbac: parts.rbac,
            policies: senlin_policies::all(),
            rate_limiter: RateLimiter::default(),
            settings: parts.settings,
            rules: parts.rules,
            metrics,
            served,
            seconds,
            stopping: CancellationToken::new(),
            id: ServiceId::random(),
        }
    }

    /// Wakes workers for an action that is recorded.
    pub(crate) fn wake(&self, actions: &[ActionId], request_id: &str) {
        self.bus.wake(actions, request_id);
    }

    /// Asks an engine.
    ///
    /// # Errors
    /// When there is none, it does not answer, or it says no.
    pub(crate) async fn ask(&self, verb: &str, body: Map, request_id: &str) -> Result<Value> {
        let request = Request {
            request_id: request_id.to_owned(),
            verb: verb.to_owned(),
            body,
        };
        let deadline = Duration::from_secs(self.settings.engine_timeout);
        self.bus
            .call(request, deadline)
            .await?
            .map_err(|fault| ApiError::Engine {
                status: fault.status,
                message: fault.message,
            })
    }

    /// Whether requests can be served.
    pub(crate) async fn ready(&self) -> Result<(), String> {
        if self.stopping.is_cancelled() {
            return Err("stopping".to_owned());
        }
        let mut conn = self.db.session();
        services::list(&mut conn, 60.0)
            .await
            .map_err(|_source| "the database does not answer".to_owned())?;
        if self.bus.connected() {
            Ok(())
        } else {
            Err("the message bus is not connected".to_owned())
        }
    }
}

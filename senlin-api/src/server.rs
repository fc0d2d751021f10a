//! Who binds the port, answers, and ends in good order.

use std::{net::TcpListener, time::Duration};

use actix_web::{HttpServer, web::Data};
use senlin_db::{idempotency, services};
use tokio_util::sync::CancellationToken;

use crate::{router, state::Api};

impl Api {
    /// Serves until `shutdown`, then ends in good order: readiness fails, no
    /// more connections, requests finish.
    ///
    /// # Errors
    /// When the server cannot run.
    pub async fn serve(self, listener: TcpListener, shutdown: CancellationToken) -> anyhow::Result<()> {
        let api = Data::new(self);
        let address = listener.local_addr()?;
        let workers = api.settings.workers.max(1);
        let for_workers = api.clone();
        let server = HttpServer::new(move || router::app(for_workers.clone()))
            .workers(workers)
            .shutdown_timeout(30)
            .disable_signals()
            .listen(listener)?
            .run();
        let handle = server.handle();
        tracing::info!(%address, "API is serving");
        let heartbeat = tokio::spawn(heartbeat(api.clone(), shutdown.clone()));
        let stopper = tokio::spawn({
            let api = api.clone();
            async move {
                shutdown.cancelled().await;
                api.stopping.cancel();
                handle.stop(true).await;
            }
        });
        server.await?;
        stopper.await?;
        heartbeat.await?;
        api.bus.close().await;
        tracing::info!("API has stopped");
        Ok(())
    }
}

/// Hours that an answer is kept under its `Idempotency-Key`.
const KEPT: i32 = 24;

/// Announces this server in the list of services.
async fn heartbeat(api: Data<Api>, shutdown: CancellationToken) {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let mut timer = tokio::time::interval(Duration::from_secs(20));
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            _ = timer.tick() => {}
        }
        let said =
            async { services::register(&mut api.db.session(), api.id, host.trim(), "senlin-api", "senlin-api").await };
        if let Err(error) = said.await {
            tracing::debug!(%error, "the list of services could not be told");
        }
        let forgotten = async { idempotency::purge(&mut api.db.session(), KEPT).await };
        if let Err(error) = forgotten.await {
            tracing::debug!(%error, "old idempotency keys could not be forgotten");
        }
    }
    if let Err(error) = services::unregister(&mut api.db.session(), api.id).await {
        tracing::debug!(%error, "the list of services could not be told");
    }
}

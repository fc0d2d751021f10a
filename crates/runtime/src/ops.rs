//! `/healthz`, `/readyz`, `/metrics` for a program that serves nothing else.

use std::{convert::Infallible, future::Future, pin::Pin, sync::Arc, time::Duration};

use http_body_util::Full;
use hyper::{Request, Response, StatusCode, body::Bytes, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::start::Waiting;

/// Answers whether the program can do its work, or why not.
pub type Ready = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

/// The metrics as Prometheus reads them.
#[must_use]
pub fn render(registry: &Registry) -> String {
    let mut text = String::new();
    if let Err(error) = prometheus_client::encoding::text::encode(&mut text, registry) {
        tracing::error!(%error, "metrics cannot be written");
    }
    text
}

/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(5);

/// Serves until `shutdown`.
///
/// # Errors
/// When the listener cannot be used.
pub async fn serve(
    listener: TcpListener,
    registry: Arc<Registry>,
    ready: Ready,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let address = listener.local_addr()?;
    tracing::info!(%address, "serving /healthz, /readyz and /metrics");
    accept(&listener, &shutdown, move |path: String| {
        let (registry, ready) = (registry.clone(), ready.clone());
        async move {
            match path.as_str() {
                "/metrics" => (StatusCode::OK, render(&registry)),
                "/healthz" => alive(),
                "/readyz" => readiness(ready().await),
                _ => (
                    StatusCode::NOT_FOUND,
                    "there are /healthz, /readyz and /metrics\n".to_owned(),
                ),
            }
        }
    })
    .await;
    Ok(())
}

/// Answers in place of a server that still waits for something: it lives, and
/// serves nothing. Ends with `done`; a twin of the listener goes on from there.
pub async fn hold(listener: TcpListener, waiting: Waiting, done: CancellationToken) {
    accept(&listener, &done, move |path: String| {
        let reason = waiting.reason().unwrap_or_else(|| "starting".to_owned());
        async move {
            match path.as_str() {
                "/healthz" => alive(),
                _ => readiness(Err(reason)),
            }
        }
    })
    .await;
}

fn alive() -> (StatusCode, String) {
    (StatusCode::OK, "ok\n".to_owned())
}

fn readiness(ready: Result<(), String>) -> (StatusCode, String) {
    match ready {
        Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

async fn accept<F>(
    listener: &TcpListener,
    stop: &CancellationToken,
    answer: impl Fn(String) -> F + Clone + Send + Sync + 'static,
) where
    F: Future<Output = (StatusCode, String)> + Send + 'static,
{
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::debug!(%error, "a connection was not accepted");
                    // Such as too many open files: it does not pass at once.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        let answer = answer.clone();
        tokio::spawn(async move {
            let service = service_fn(|request: Request<hyper::body::Incoming>| {
                let answer = answer(request.uri().path().to_owned());
                async move {
                    let (status, text) = answer.await;
                    let mut response = Response::new(Full::new(Bytes::from(text)));
                    *response.status_mut() = status;
                    Ok::<_, Infallible>(response)
                }
            });
            // One request each: the next one may be for the server to come.
            let served = http1::Builder::new()
                .keep_alive(false)
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = served.await {
                tracing::debug!(%error, "a connection ended badly");
            }
        });
    }
}

//! The whole API in one file.

use std::time::Instant;

use actix_web::{
    App, Error, HttpMessage, HttpResponse,
    body::{BoxBody, MessageBody, to_bytes},
    dev::{ServiceFactory, ServiceRequest, ServiceResponse},
    http::{
        Uri,
        header::{self, HeaderName, HeaderValue},
    },
    middleware::{Next, from_fn},
    web::{self, Data, get},
};
use senlin_db::idempotency::{self, Claim, Stored};
use tracing::Instrument;

use crate::{
    error::ApiError,
    openapi,
    operations::give_operations,
    request::RequestId,
    resources::*,
    state::{Api, Served},
};

/// The application of one worker.
pub fn app(
    api: Data<Api>,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = Error,
        InitError = (),
    >,
> {
    App::new()
        .app_data(api)
        .wrap(from_fn(middleware))
        .configure(probes)
        .configure(operations)
        .default_service(web::to(|| async { Err::<HttpResponse, _>(ApiError::UnknownPath) }))
}

macro_rules! routes {
    ($($method:ident $path:literal => $handler:path, $_rule:literal $_since:literal $_status:literal $_tag:literal $_summary:literal
        [$($_body:literal)?] [$($_answer:literal)?] [$($_query:literal)*];)*) => {
        /// A route for each operation.
        fn operations(config: &mut web::ServiceConfig) {
            $(config.route($path, web::$method().to($handler));)*
        }
    };
}
give_operations!(routes);

/// What is no operation: it needs no token, has no version, and is in no document.
fn probes(config: &mut web::ServiceConfig) {
    config
        .route("/healthz", get().to(HttpResponse::Ok))
        .route("/readyz", get().to(ready))
        .route("/metrics", get().to(metrics))
        .route("/v1/openapi.json", get().to(openapi::serve))
        .route("/v1/docs", get().to(openapi::to_page))
        .route("/v1/docs/{file:.*}", get().to(openapi::page));
}

async fn ready(api: Data<Api>) -> HttpResponse {
    match api.ready().await {
        Ok(()) => HttpResponse::Ok().body("ready\n"),
        Err(why) => HttpResponse::ServiceUnavailable().body(format!("{why}\n")),
    }
}

async fn metrics(api: Data<Api>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/openmetrics-text; version=1.0.0; charset=utf-8")
        .body(senlin_runtime::ops::render(&api.metrics))
}

/// What names version 1 where the path does not.
const V1: &str = "application/vnd.openstack.clustering-v1";

/// `GET /clusters` with that type in `Accept` is `GET /v1/clusters`.
fn version_of_accept(request: &mut ServiceRequest) {
    let accept = request.headers().get(header::ACCEPT).and_then(|a| a.to_str().ok());
    let path = request.uri().path();
    let bare = path.len() > 1 && path != "/versions" && !path.starts_with("/v1");
    if !bare || !accept.is_some_and(|a| a.starts_with(V1)) {
        return;
    }
    if let Ok(uri) = format!("/v1{}", request.uri()).parse::<Uri>() {
        request.match_info_mut().get_mut().update(&uri);
        request.head_mut().uri = uri;
    }
}

/// Around every request: its id, its log line, its counters.
async fn middleware(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    version_of_accept(&mut request);
    let id = format!("req-{}", uuid::Uuid::new_v4());
    request.extensions_mut().insert(RequestId(id.clone()));
    let (method, path) = (request.method().to_string(), request.path().to_owned());
    let api = request.app_data::<Data<Api>>().cloned();
    let begun = Instant::now();
    let span = tracing::info_span!("request", id, method, path);
    let mut response = next.call(request).instrument(span.clone()).await?;
    let status = response.status().as_u16();
    tracing::debug!(parent: &span, status, ms = begun.elapsed().as_millis(), "answered");
    if let Some(api) = &api {
        if status == 401
            && let Ok(value) = HeaderValue::from_str(&api.auth.challenge())
        {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
        }
        let path = response
            .request()
            .match_pattern()
            .unwrap_or_else(|| "unknown".to_owned());
        api.served.get_or_create(&Served { method, path, status }).inc();
        api.seconds.observe(begun.elapsed().as_secs_f64());
    }
    let claim = response.request().extensions().get::<Claim>().cloned();
    let mut response = match (claim, api) {
        (Some(claim), Some(api)) => store_response(&api, &claim, response).await?,
        _ => response.map_into_boxed_body(),
    };
    if let Ok(value) = HeaderValue::from_str(&id) {
        response
            .headers_mut()
            .insert(HeaderName::from_static("x-openstack-request-id"), value);
    }
    Ok(response)
}

/// Keeps an answer for whoever sends the same request again; not one that
/// says that nothing was done. What was recorded with the work itself stays.
async fn store_response(
    api: &Api,
    claim: &Claim,
    response: ServiceResponse<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let (request, response) = response.into_parts();
    let (response, body) = response.into_parts();
    let bytes = to_bytes(body)
        .await
        .map_err(|_gone| ApiError::Internal("an answer has no body".to_owned()))?;
    let location = response.headers().get(header::LOCATION);
    let answer = Stored {
        status: response.status().as_u16(),
        location: location.and_then(|l| l.to_str().ok()).map(str::to_owned),
        body: serde_json::from_slice(&bytes).unwrap_or_default(),
    };
    let kept = async {
        let mut conn = api.db.session();
        if answer.status < 500 {
            idempotency::finish(&mut conn, claim, &answer).await.map(drop)
        } else {
            idempotency::forget(&mut conn, claim).await
        }
    };
    if let Err(error) = kept.await {
        tracing::warn!(%error, "an answer could not be kept under its Idempotency-Key");
    }
    Ok(ServiceResponse::new(
        request,
        response.set_body(bytes).map_into_boxed_body(),
    ))
}

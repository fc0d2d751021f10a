//! What each call brings: identity, microversion, query, body.

use std::{collections::HashMap, future::Future, pin::Pin};

use actix_web::{
    FromRequest, HttpMessage, HttpRequest, HttpResponse, HttpResponseBuilder,
    dev::Payload,
    http::{
        Method, StatusCode,
        header::{self, HeaderMap},
    },
    web::Data,
};
use futures_util::StreamExt;
use senlin_core::{
    Map,
    caller::{Caller, Scope},
    document::{self, Flaw},
    ids::ActionId,
};
use senlin_db::{
    Conn,
    idempotency::{Claim, Keep, Stored},
};
use senlin_openapi::{MAX, MIN, Microversion, SENLIN_MAX, accepted, versions};
use serde::Serialize;
use serde_json::Value;

use crate::{
    error::{ApiError, Result},
    idempotency::check_idempotency,
    operations,
    state::Api,
};

/// The request's id, put there by the router's first layer.
#[derive(Clone)]
pub struct RequestId(pub String);

/// A call that needs no token: whoever it is has no rights yet.
pub struct PublicCall(pub Call);

impl FromRequest for PublicCall {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let call = Call::from_request(request, payload);
        Box::pin(async move { call.await.map(Self) })
    }
}

/// A call whose operation's rule has let the caller in.
pub struct Call {
    /// The server.
    pub api: Data<Api>,
    /// Who asks.
    pub caller: Caller,
    /// In which version.
    pub version: Microversion,
    /// Query parameters, in order.
    pub query: Vec<(String, String)>,
    /// The body, when it is a JSON object.
    pub body: Option<Map>,
    /// Path segment after the resource's name, still as it came.
    pub identity: String,
    /// What the path names below that resource, if it does.
    pub sub: String,
    /// The body as it came, for signatures.
    pub raw: Vec<u8>,
    /// The `Idempotency-Key` that it holds, if it came with one.
    claim: Option<Claim>,
    headers: HeaderMap,
    base: String,
}

impl FromRequest for Call {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let payload = payload.take();
        Box::pin(async move { Self::read(&request, payload).await })
    }
}

impl Call {
    async fn read(request: &HttpRequest, payload: Payload) -> Result<Self> {
        let api = request
            .app_data::<Data<Api>>()
            .cloned()
            .ok_or_else(|| ApiError::Internal("the server is not set up".to_owned()))?;
        let request_id = request
            .extensions()
            .get::<RequestId>()
            .map(|r| r.0.clone())
            .unwrap_or_default();
        let version = version(request)?;
        let token = request
            .headers()
            .get("x-auth-token")
            .and_then(|t| t.to_str().ok())
            // For those that can only send this, such as Prometheus.
            .or_else(|| bearer(request))
            .unwrap_or_default();
        let operation = request
            .match_pattern()
            .and_then(|pattern| operations::find(request.method().as_str(), &pattern))
            .ok_or(ApiError::UnknownPath)?;
        let caller = if operation.rule.is_empty() {
            Caller::nobody(request_id)
        } else {
            let mut caller = api.auth.authenticate(token, &request_id).await?;
            caller.is_admin = api.rbac.is_admin(&caller);
            if !api.rbac.allows(operation.rule, &caller) {
                return Err(ApiError::Forbidden);
            }
            caller
        };
        if version < Microversion(1, operation.since) {
            return Err(ApiError::MethodVersion(version));
        }
        let query = form(request.query_string());
        let bytes = read(payload, api.settings.max_json_body_size).await?;
        let body = body(request, &bytes)?;
        reject_flaws(request, &query, body.as_ref())?;
        let claim =
            if version >= versions::IDEMPOTENCY_KEY && request.method() == Method::POST && !operation.rule.is_empty() {
                check_idempotency(&api, request, &caller, version, &bytes).await?
            } else {
                None
            };
        let info = request.connection_info();
        let base = format!("{}://{}", info.scheme(), info.host());
        drop(info);
        let segment = |name: &str| request.match_info().get(name).unwrap_or_default().to_owned();
        let (identity, sub) = (segment("id"), segment("sub"));
        Ok(Self {
            api,
            caller,
            version,
            query,
            body,
            identity,
            sub,
            raw: bytes,
            claim,
            headers: request.headers().clone(),
            base,
        })
    }

    /// Whether the caller may do what a rule is about.
    #[must_use]
    pub fn may(&self, rule: &str) -> bool {
        self.api.rbac.allows(rule, &self.caller)
    }

    /// A header of the call, if it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }

    /// How clients reach this API.
    #[must_use]
    pub fn base(&self) -> &str {
        let public = self.api.settings.public_url.as_deref();
        public.map_or(self.base.as_str(), |url| {
            url.trim_end_matches('/').trim_end_matches("/v1")
        })
    }

    /// Refuses query parameters, for a call that has none.
    ///
    /// # Errors
    /// Names the first.
    pub fn no_query(&self) -> Result<()> {
        match self.query.first() {
            Some((key, _)) => Err(ApiError::BadRequest(format!("Invalid parameter {key}"))),
            None => Ok(()),
        }
    }

    /// Refuses a call below the version that brought it.
    ///
    /// # Errors
    /// [`ApiError::MethodVersion`].
    pub fn since(&self, minor: u32) -> Result<()> {
        if self.version >= Microversion(1, minor) {
            Ok(())
        } else {
            Err(ApiError::MethodVersion(self.version))
        }
    }

    /// What statements run on; it holds no connection.
    #[must_use]
    pub fn conn(&self) -> Conn {
        self.api.db.session()
    }

    /// What the caller may look up by identity.
    #[must_use]
    pub fn scope(&self) -> Scope {
        self.caller.scope()
    }

    /// 200 with a body.
    #[must_use]
    pub fn ok(&self, body: &Value) -> HttpResponse {
        self.with(HttpResponse::Ok(), body)
    }

    /// 200 with a list of its own name.
    pub fn list(&self, name: &'static str, items: impl Iterator<Item: Serialize>) -> HttpResponse {
        self.with(HttpResponse::Ok(), &HashMap::from([(name, items.collect::<Vec<_>>())]))
    }

    /// 201 with a body.
    #[must_use]
    pub fn created(&self, body: Value) -> Stored {
        Stored {
            status: 201,
            location: None,
            body,
        }
    }

    /// 202 with a body and where the action is.
    #[must_use]
    pub fn accepted(&self, action: ActionId, body: Value) -> Stored {
        Stored {
            status: 202,
            location: Some(format!("{}/v1/actions/{action}", self.base)),
            body,
        }
    }

    /// 202 with the action's id.
    #[must_use]
    pub fn started(&self, action: ActionId) -> Stored {
        self.accepted(action, accepted(action))
    }

    /// An answer as it goes out.
    #[must_use]
    pub fn answer(&self, stored: &Stored) -> HttpResponse {
        let status = StatusCode::from_u16(stored.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = HttpResponse::build(status);
        if let Some(location) = &stored.location {
            response.insert_header((header::LOCATION, location.as_str()));
        }
        self.with(response, &stored.body)
    }

    /// The answer that is recorded together with what the call does, for
    /// whoever sends it again with its key.
    pub fn store_response<'a, T: ?Sized>(&'a self, answer: &'a (dyn Fn(&T) -> Stored + Sync)) -> Keep<'a, T> {
        Keep::new(self.claim.as_ref(), answer)
    }

    fn with(&self, mut response: HttpResponseBuilder, body: &impl Serialize) -> HttpResponse {
        response
            .insert_header(("OpenStack-API-Version", format!("clustering {}", self.version)))
            .insert_header((header::VARY, "OpenStack-API-Version"))
            .json(body)
    }
}

fn bearer(request: &HttpRequest) -> Option<&str> {
    let header = request.headers().get(header::AUTHORIZATION)?;
    header.to_str().ok()?.strip_prefix("Bearer ")
}

/// Decodes a query string.
#[must_use]
pub fn form(query: &str) -> Vec<(String, String)> {
    actix_web::web::Query::<Vec<(String, String)>>::from_query(query)
        .map(|q| q.into_inner())
        .unwrap_or_default()
}

fn version(request: &HttpRequest) -> Result<Microversion> {
    let Some(value) = request
        .headers()
        .get("openstack-api-version")
        .and_then(|v| v.to_str().ok())
    else {
        return Ok(MIN);
    };
    // "clustering 1.5", among those of other services.
    let ours = value.split(',').find_map(|part| {
        let (service, version) = part.trim().split_once(' ')?;
        (service == "clustering").then(|| version.trim())
    });
    let Some(text) = ours else { return Ok(MIN) };
    if text.eq_ignore_ascii_case("latest") {
        return Ok(SENLIN_MAX);
    }
    let number = |t: &str| t.parse::<u32>().ok().filter(|n| t == n.to_string());
    let parsed = text
        .split_once('.')
        .and_then(|(a, b)| Some(Microversion(number(a).filter(|n| *n > 0)?, number(b)?)));
    match parsed {
        None => Err(ApiError::BadRequest(format!(
            "API Version String '{text}' is of invalid format. It must be of format 'major.minor'."
        ))),
        Some(version) if (MIN..=MAX).contains(&version) => Ok(version),
        Some(_) => Err(ApiError::Version(text.to_owned())),
    }
}

/// Refuses what the database cannot keep, wherever it is.
fn reject_flaws(request: &HttpRequest, query: &[(String, String)], body: Option<&Map>) -> Result<()> {
    let refuse = |place: &str| {
        Err(ApiError::BadRequest(format!(
            "The character U+0000 is not allowed; it is in {place}."
        )))
    };
    if request.match_info().iter().any(|(_, segment)| segment.contains('\0')) {
        return refuse("the path");
    }
    if let Some((key, _)) = query.iter().find(|(k, v)| k.contains('\0') || v.contains('\0')) {
        return refuse(&format!("the parameter '{}'", key.replace('\0', "")));
    }
    for (key, value) in body.into_iter().flatten() {
        let place = format!("'{}' of the body", key.replace('\0', ""));
        match document::flaw(value) {
            Some(Flaw::Depth) => {
                return Err(ApiError::BadRequest(format!(
                    "Maps and lists may be nested {} levels deep; {place} has more.",
                    document::MAX_DEPTH
                )));
            }
            Some(Flaw::Nul) => return refuse(&place),
            None if key.contains('\0') => return refuse(&place),
            None => {}
        }
    }
    Ok(())
}

async fn read(mut payload: Payload, most: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|e| ApiError::BadRequest(format!("The body cannot be read: {e}")))?;
        if bytes.len() + chunk.len() > most {
            return Err(ApiError::TooLarge(most));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// The contract's rule: an object, of a type that may be JSON, or no body.
fn body(request: &HttpRequest, bytes: &[u8]) -> Result<Option<Map>> {
    let kind = request.content_type();
    let json = kind.is_empty() || kind.starts_with("text/plain") || kind == "JSON" || kind == "application/json";
    if bytes.is_empty() || !json || bytes.first() != Some(&b'{') {
        return Ok(None);
    }
    serde_json::from_slice(bytes)
        .map(Some)
        .map_err(|e| ApiError::BadRequest(format!("The body is not JSON: {e}")))
}

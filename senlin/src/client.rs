//! A small client of our own API.

use std::net::SocketAddr;

use anyhow::bail;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, body::Bytes};
use hyper_util::{client::legacy, rt::TokioExecutor};
use senlin_core::secret::Secret;
use serde_json::Value;

/// A client with a token.
#[derive(Clone)]
pub(crate) struct Client {
    address: SocketAddr,
    token: Secret,
    http: legacy::Client<legacy::connect::HttpConnector, Full<Bytes>>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr, token: Secret) -> Self {
        Self {
            address,
            token,
            http: legacy::Client::builder(TokioExecutor::new()).build_http(),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.call(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.call(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.call(Method::PATCH, path, Some(body)).await
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let text = body.map(ToString::to_string).unwrap_or_default();
        let request = Request::builder()
            .method(method.clone())
            .uri(format!("http://{}{path}", self.address))
            .header("X-Auth-Token", self.token.expose())
            .header("OpenStack-API-Version", "clustering 1.15")
            .header("Content-Type", "application/json")
            .body(Full::new(Bytes::from(text)))?;
        let response = self.http.request(request).await?;
        let status = response.status();
        let bytes = response.into_body().collect().await?.to_bytes();
        let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if !status.is_success() {
            let message = value
                .pointer("/error/message")
                .and_then(Value::as_str)
                .unwrap_or_default();
            bail!("{method} {path}: {status}: {message}");
        }
        Ok(value)
    }
}

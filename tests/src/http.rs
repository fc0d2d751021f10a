//! A plain client of the API, as any user's.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, body::Bytes};
use hyper_util::{
    client::legacy::{Client as Legacy, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};

/// A client with a token.
#[derive(Clone)]
pub struct Client {
    base: String,
    token: String,
    http: Legacy<HttpConnector, Full<Bytes>>,
}

impl Client {
    /// A client of `http://host:port`.
    #[must_use]
    pub fn new(base: &str, token: &str) -> Self {
        let http = Legacy::builder(TokioExecutor::new()).build_http();
        Self {
            base: base.to_owned(),
            token: token.to_owned(),
            http,
        }
    }

    /// The same client with another token.
    #[must_use]
    pub fn with(&self, token: &str) -> Self {
        Self {
            token: token.to_owned(),
            ..self.clone()
        }
    }

    /// Where the API is.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Status and body of any call.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<(u16, Value)> {
        let (status, _, answer) = self.answer(method, path, body).await?;
        Ok((status, answer))
    }

    /// Status, headers and body of any call.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn answer(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(u16, hyper::HeaderMap, Value)> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("X-Auth-Token", &self.token)
            .header("OpenStack-API-Version", "clustering 1.15")
            .header("Content-Type", "application/json")
            .body(Full::new(Bytes::from(
                body.map(ToString::to_string).unwrap_or_default(),
            )))?;
        let response = self.http.request(request).await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.into_body().collect().await?.to_bytes();
        Ok((status, headers, serde_json::from_slice(&bytes).unwrap_or_default()))
    }

    /// The body of a GET that must succeed.
    ///
    /// # Errors
    /// Anything but 200.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let (status, body) = self.call(Method::GET, path, None).await?;
        if status != 200 {
            bail!("GET {path}: {status} {body}");
        }
        Ok(body)
    }

    /// The body of a POST that must succeed.
    ///
    /// # Errors
    /// Anything but 2xx.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let (status, answer) = self.call(Method::POST, path, Some(body)).await?;
        if !(200..300).contains(&status) {
            bail!("POST {path}: {status} {answer}");
        }
        Ok(answer)
    }

    /// Makes a profile; returns its id.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn profile(&self, name: &str, kind: &str, version: &str, properties: Value) -> anyhow::Result<String> {
        let spec = json!({"type": kind, "version": version, "properties": properties});
        let made = self
            .post("/v1/profiles", &json!({"profile": {"name": name, "spec": spec}}))
            .await?;
        text(&made, "/profile/id")
    }

    /// Makes a cluster; does not wait.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn cluster(&self, name: &str, profile: &str, size: i64) -> anyhow::Result<String> {
        let cluster = json!({"cluster": {"name": name, "profile_id": profile, "desired_capacity": size}});
        text(&self.post("/v1/clusters", &cluster).await?, "/cluster/id")
    }

    /// Waits until a cluster is ACTIVE with so many members.
    ///
    /// # Errors
    /// When it is not in time; says what it was.
    pub async fn active(&self, cluster: &str, size: usize, within: Duration) -> anyhow::Result<()> {
        senlin_testkit::until(&format!("cluster {cluster} of {size}"), within, || async {
            let shown = self.get(&format!("/v1/clusters/{cluster}")).await?;
            let members = shown
                .pointer("/cluster/nodes")
                .and_then(Value::as_array)
                .map_or(0, Vec::len);
            let status = text(&shown, "/cluster/status")?;
            if status == "ACTIVE" && members == size {
                return Ok(());
            }
            bail!("{status} with {members}: {}", text(&shown, "/cluster/status_reason")?)
        })
        .await
    }

    /// Acts on a cluster and waits for the end of the action.
    ///
    /// # Errors
    /// When it does not succeed.
    pub async fn act(&self, cluster: &str, body: &Value, within: Duration) -> anyhow::Result<()> {
        let accepted = self.post(&format!("/v1/clusters/{cluster}/actions"), body).await?;
        self.ended(&text(&accepted, "/action")?, within).await
    }

    /// Waits for the end of an action.
    ///
    /// # Errors
    /// When it does not succeed.
    pub async fn ended(&self, action: &str, within: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + within;
        loop {
            let shown = self.get(&format!("/v1/actions/{action}")).await.ok();
            let status = shown
                .as_ref()
                .and_then(|s| text(s, "/action/status").ok())
                .unwrap_or_default();
            match status.as_str() {
                "SUCCEEDED" => return Ok(()),
                "FAILED" | "CANCELLED" => bail!("{status}: {:?}", shown),
                _ if Instant::now() > end => bail!("not ended within {within:?}: {shown:?}"),
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Deletes a cluster and waits until it is gone.
    ///
    /// # Errors
    /// When it is not in time.
    pub async fn delete_cluster(&self, cluster: &str, within: Duration) -> anyhow::Result<()> {
        let (status, body) = self
            .call(Method::DELETE, &format!("/v1/clusters/{cluster}?force=true"), None)
            .await?;
        anyhow::ensure!(status == 202, "DELETE: {status} {body}");
        senlin_testkit::until("the cluster to go", within, || async {
            let (status, body) = self.call(Method::GET, &format!("/v1/clusters/{cluster}"), None).await?;
            anyhow::ensure!(status == 404, "still there: {body}");
            Ok(())
        })
        .await
    }
}

/// Status, headers and body of one request to any URL; a body that is no JSON is its text.
///
/// # Errors
/// When there is no answer.
pub async fn raw(
    method: Method,
    url: &str,
    headers: &[(&str, &str)],
    body: Option<&Value>,
) -> anyhow::Result<(u16, hyper::HeaderMap, Value)> {
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if body.is_some() {
        request = request.header("Content-Type", "application/json");
    }
    let text = body.map(ToString::to_string).unwrap_or_default();
    let request = request.body(Full::new(Bytes::from(text)))?;
    let client: Legacy<HttpConnector, Full<Bytes>> = Legacy::builder(TokioExecutor::new()).build_http();
    let response = client.request(request).await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let bytes = response.into_body().collect().await?.to_bytes();
    let body = serde_json::from_slice(&bytes).unwrap_or_else(|_text| String::from_utf8_lossy(&bytes).into());
    Ok((status, headers, body))
}

/// A text in a document.
///
/// # Errors
/// When it is not there.
pub fn text(value: &Value, pointer: &str) -> anyhow::Result<String> {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .map(str::to_owned)
        .with_context(|| format!("no {pointer} in {value}"))
}

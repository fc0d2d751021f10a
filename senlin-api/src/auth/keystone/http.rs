//! The few requests that Keystone gets, over connections that are kept.

use std::{path::Path, time::Duration};

use anyhow::Context;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, body::Bytes};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, pem::PemObject},
};
use senlin_core::secret::Secret;
use serde_json::Value;

use crate::auth::AuthError;

/// Bytes of an answer at most.
const MAX_ANSWER_BYTES: usize = 1 << 20;

pub(super) struct Http {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    timeout: Duration,
}

pub(super) struct Answer {
    pub(super) status: u16,
    /// `X-Subject-Token`.
    pub(super) subject: Option<Secret>,
    pub(super) body: Value,
}

impl Http {
    pub(super) fn new(cafile: Option<&Path>, timeout: Duration) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        match cafile {
            Some(path) => {
                let list = CertificateDer::pem_file_iter(path)
                    .with_context(|| format!("read keystone.cafile '{}'", path.display()))?;
                for ca in list {
                    roots.add(ca.with_context(|| format!("read keystone.cafile '{}'", path.display()))?)?;
                }
            }
            None => {
                let system = rustls_native_certs::load_native_certs();
                roots.add_parsable_certificates(system.certs);
            }
        }
        let config = ClientConfig::builder_with_provider(std::sync::Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self {
            client: Client::builder(TokioExecutor::new())
                .pool_idle_timeout(Duration::from_secs(30))
                .build(connector),
            timeout,
        })
    }

    /// Whatever keeps Keystone from answering is [`AuthError::Unavailable`].
    pub(super) async fn send(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &Secret)],
        body: Option<&Value>,
    ) -> Result<Answer, AuthError> {
        let unavailable = |why: String| {
            tracing::warn!(url, why, "Keystone does not answer");
            AuthError::Unavailable
        };
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, value.expose());
        }
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let body = body.map(ToString::to_string).unwrap_or_default();
        // A token that no header can hold is none that Keystone has given.
        let request = request
            .body(Full::new(Bytes::from(body)))
            .map_err(|_source| AuthError::Denied)?;
        let exchange = async {
            let response = self.client.request(request).await.map_err(|e| e.to_string())?;
            let status = response.status().as_u16();
            let subject = response.headers().get("x-subject-token");
            let subject = subject.and_then(|s| s.to_str().ok()).map(Secret::new);
            let bytes = Limited::new(response.into_body(), MAX_ANSWER_BYTES)
                .collect()
                .await
                .map_err(|e| e.to_string())?
                .to_bytes();
            Ok(Answer {
                status,
                subject,
                body: serde_json::from_slice(&bytes).unwrap_or_default(),
            })
        };
        match tokio::time::timeout(self.timeout, exchange).await {
            Ok(answer) => answer.map_err(unavailable),
            Err(_) => Err(unavailable(format!("no answer within {} s", self.timeout.as_secs()))),
        }
    }
}

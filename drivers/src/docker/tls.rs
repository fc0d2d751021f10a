//! Mutual TLS with nothing but what the endpoint names: no system CAs, and no
//! key on disk.

use std::sync::Arc;

use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker, errors::Error};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use senlin_core::host::Tls;

/// A client of `tcp://host:port`. The outer error says which of the PEM texts
/// is wrong, and never shows it.
pub(super) fn connect(url: &str, tls: &Tls, longest: u64) -> Result<Result<Docker, Error>, String> {
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(config(tls)?)
        .https_only()
        .enable_http1()
        .build();
    // As bollard's own: a kept connection that the daemon has closed would fail a POST.
    let client = Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(0)
        .build(connector);
    let client = Arc::new(client);
    let transport = move |request: BollardRequest| {
        let client = client.clone();
        Box::pin(async move { client.request(request).await.map_err(Error::from) })
    };
    let address = url.replacen("tcp://", "https://", 1);
    Ok(Docker::connect_with_custom_transport(
        transport,
        Some(address),
        longest,
        API_DEFAULT_VERSION,
    ))
}

fn config(tls: &Tls) -> Result<ClientConfig, String> {
    let chain = |name: &str, pem: &str| -> Result<Vec<CertificateDer<'static>>, String> {
        let all: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|_pem| format!("tls.{name} is not PEM"))?;
        if all.is_empty() {
            return Err(format!("tls.{name} holds no certificate"));
        }
        Ok(all)
    };
    let mut roots = RootCertStore::empty();
    for ca in chain("ca", &tls.ca)? {
        roots.add(ca).map_err(|e| format!("tls.ca cannot be used: {e}"))?;
    }
    let key = PrivateKeyDer::from_pem_slice(tls.key.expose().as_bytes())
        .map_err(|_pem| "tls.key holds no private key in PEM".to_owned())?;
    ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain("cert", &tls.cert)?, key)
        .map_err(|e| format!("tls.cert and tls.key cannot be used: {e}"))
}

//! The API on a real PostgreSQL: what is asked, and what is answered.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it counted"
)]

use std::{net::TcpListener, sync::Arc};

use senlin_api::{
    Api, Parts, Settings,
    auth::{TokenFile, hash},
    rbac::Rbac,
};
use senlin_bus::LocalBus;
use senlin_core::{profile_type::SpecRules, seal::Sealer};
use senlin_testkit::TestDb;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

mod alerts;
mod asked;
mod bad_input;
mod contract;
mod document;
mod history;
mod keys;
mod newer;
mod quotas;
mod receivers;
mod roles;
mod unaccounted;

/// A server with these users: `admin`, `member` and `second` of p1, `other` of p2.
struct Server {
    db: TestDb,
    base: String,
    stop: CancellationToken,
    http: wire::Http,
}

mod wire {
    //! A client of a few lines.

    use http_body_util::{BodyExt, Full};
    use hyper::body::Bytes;
    use hyper_util::{
        client::legacy::{Client, connect::HttpConnector},
        rt::TokioExecutor,
    };

    pub(crate) type Http = Client<HttpConnector, Full<Bytes>>;

    pub(crate) fn http() -> Http {
        Client::builder(TokioExecutor::new()).build_http()
    }

    pub(crate) async fn send(http: &Http, request: hyper::Request<Full<Bytes>>) -> (u16, hyper::HeaderMap, String) {
        let response = http.request(request).await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, headers, String::from_utf8_lossy(&bytes).into_owned())
    }
}

struct Answer {
    status: u16,
    headers: hyper::HeaderMap,
    body: Value,
}

impl Answer {
    fn message(&self) -> &str {
        self.body
            .pointer("/error/message")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    fn kind(&self) -> &str {
        self.body
            .pointer("/error/type")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    fn text(&self, pointer: &str) -> String {
        self.body
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    }
}

impl Server {
    async fn start() -> Self {
        Self::with(Settings {
            max_clusters_per_project: 5,
            max_nodes_per_project: 50,
            ..Settings::default()
        })
        .await
    }

    async fn with(settings: Settings) -> Self {
        let db = TestDb::new().await.unwrap();
        let line = |token: &str, project: &str, role: &str| {
            format!(
                "[[tokens]]\nsha256 = \"{}\"\nuser = \"{token}\"\nproject = \"{project}\"\nroles = [\"{role}\"]\n",
                hash(token)
            )
        };
        let tokens = [
            line("admin", "p0", "admin"),
            line("member", "p1", "member"),
            line("second", "p1", "member"),
            line("other", "p2", "member"),
            line("reader", "p1", "reader"),
            line("guest", "p1", "guest"),
            line("expired", "p1", "member") + "expires_at = \"2020-01-01T00:00:00Z\"\n",
        ];
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let api = Api::new(Parts {
            db: db.db.clone(),
            bus: Arc::new(LocalBus::default()),
            registry: senlin_profiles::all(),
            sealer: Sealer::new(&Sealer::generate_key()).unwrap(),
            auth: Arc::new(TokenFile::parse(&tokens.concat()).unwrap()),
            rbac: Rbac::parse("").unwrap(),
            settings,
            rules: SpecRules {
                allow_simulated: true,
                ..SpecRules::default()
            },
            metrics: prometheus_client::registry::Registry::default(),
        });
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        tokio::spawn(async move { api.serve(listener, stopped).await.unwrap() });
        Self {
            db,
            base,
            stop,
            http: wire::http(),
        }
    }

    async fn call(&self, token: &str, version: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.call_with(token, version, method, path, body, &[]).await
    }

    async fn call_with(
        &self,
        token: &str,
        version: &str,
        method: &str,
        path: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = hyper::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("Content-Type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !token.is_empty() {
            request = request.header("X-Auth-Token", token);
        }
        if !version.is_empty() {
            request = request.header("OpenStack-API-Version", format!("clustering {version}"));
        }
        let text = body.map(|b| b.to_string()).unwrap_or_default();
        let request = request.body(http_body_util::Full::new(text.into())).unwrap();
        let (status, headers, text) = wire::send(&self.http, request).await;
        Answer {
            status,
            headers,
            body: serde_json::from_str(&text).unwrap_or(Value::Null),
        }
    }

    /// As `member`, in the newest of Senlin's versions.
    async fn member(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.call("member", "1.14", method, path, body).await
    }

    /// A profile of hosts and an (empty) cluster of it.
    async fn with_hosts(&self) -> String {
        let spec = json!({"type": "host.dockerinc.engine", "version": "1.0",
            "properties": {"endpoints": [{"url": "sim://a"}]}});
        let made = self
            .member(
                "POST",
                "/v1/profiles",
                Some(json!({"profile": {"name": "hp", "spec": spec}})),
            )
            .await;
        assert_eq!(made.status, 201, "{}", made.body);
        let cluster = json!({"cluster": {"name": "hosts", "profile_id": "hp"}});
        let made = self.member("POST", "/v1/clusters", Some(cluster)).await;
        assert_eq!(made.status, 202, "{}", made.body);
        made.text("/cluster/id")
    }

    async fn container_profile(&self, name: &str) -> Answer {
        let spec = json!({"type": "container.dockerinc.docker", "version": 1.1,
            "properties": {"image": "busybox", "host_cluster": "hosts",
                "environment": {"PASSWORD": {"value": "swordfish", "secret": true}, "PLAIN": "x"}}});
        self.member(
            "POST",
            "/v1/profiles",
            Some(json!({"profile": {"name": name, "spec": spec}})),
        )
        .await
    }

    async fn close(self) {
        self.stop.cancel();
        self.db.close().await.unwrap();
    }
}

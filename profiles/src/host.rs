//! `host.dockerinc.engine`: a node is a machine that runs Docker Engine.

use std::collections::BTreeMap;

use senlin_core::{
    Map,
    driver::ContainerDriver,
    host::{Endpoint, Tls},
    ids::NodeId,
    profile_type::{Demand, Health, HostRefs, Job, Made, Operation, ProfileError, ProfileType, Seen, SpecRules},
    secret::Secret,
    spec::{SpecError, SpecSchema},
    steps::step,
    types::{Meta, SpecType, Support},
};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// PEM texts for mutual TLS.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsSpec {
    /// Certificate of whom to trust.
    pub ca: String,
    /// Our certificate.
    pub cert: String,
    /// Our private key.
    #[schema(value_type = String, extensions(("x-secret" = json!(true))))]
    pub key: Secret,
}

/// One engine of the pool.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EndpointSpec {
    /// unix:///path, tcp://host:port, ssh://user@host.
    pub url: String,
    /// Mutual TLS for tcp://.
    pub tls: Option<TlsSpec>,
    /// Private key for ssh://.
    #[schema(value_type = Option<String>, extensions(("x-secret" = json!(true))))]
    pub ssh_key: Option<Secret>,
    /// Allow tcp:// without TLS: whoever reaches the port owns the machine.
    #[schema(default = false)]
    pub allow_insecure: Option<bool>,
}

/// `host.dockerinc.engine-1.0`.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct V1_0 {
    /// Engines; creating a node takes the next that is free.
    #[schema(min_items = 1)]
    pub endpoints: Vec<EndpointSpec>,
    /// Zone that the hosts are in.
    pub zone: Option<String>,
    /// Labels of the hosts, beside their engines' own.
    pub labels: Option<BTreeMap<String, String>>,
    /// URL of the hosts' prometheus-node-exporter, such as http://{host}:9100/metrics, where {host} stands for the
    /// address of the endpoint. Their load is then what it measures, not the sum of their containers.
    pub node_exporter: Option<String>,
}

/// The type.
pub struct Engine {
    schema: SpecSchema,
}

impl Engine {
    /// The type.
    #[must_use]
    pub fn new() -> Self {
        Self {
            schema: SpecSchema::of::<V1_0>(),
        }
    }
}

impl Default for Engine {
    fn default() -> Self {
        Self::new()
    }
}

fn parse(properties: &Map) -> Result<V1_0, SpecError> {
    serde_json::from_value(Value::Object(properties.clone()))
        .map_err(|e| SpecError(format!("The properties cannot be understood: {e}")))
}

fn check_endpoint(endpoint: &EndpointSpec, rules: &SpecRules) -> Result<(), SpecError> {
    let url = &endpoint.url;
    let refuse = |why: &str| Err(SpecError(format!("Endpoint '{url}' is refused: {why}")));
    let (scheme, rest) = url.split_once("://").unwrap_or(("", ""));
    if rest.is_empty() || url.contains(char::is_whitespace) {
        return refuse("it is not one of unix:///path, tcp://host:port, ssh://user@host");
    }
    match scheme {
        "unix" if rest.starts_with('/') => Ok(()),
        "unix" => refuse("the path of a socket must be absolute"),
        "tcp" if endpoint.tls.is_some() || endpoint.allow_insecure == Some(true) => Ok(()),
        "tcp" => refuse("tcp:// needs 'tls', or 'allow_insecure: true' for a network that is safe"),
        "ssh" => Ok(()),
        "sim" if rules.allow_simulated => Ok(()),
        "sim" => refuse("simulated hosts are not enabled here (engine.rules.allow_simulated)"),
        _ => refuse("it is not one of unix:///path, tcp://host:port, ssh://user@host"),
    }
}

const META: Meta = Meta {
    name: "host.dockerinc.engine",
    version: "1.0",
    support: &[Support::supported("2026.11")],
    since: (1, 0),
};

impl SpecType for Engine {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn schema(&self) -> &SpecSchema {
        &self.schema
    }
}

#[async_trait::async_trait]
impl ProfileType for Engine {
    fn operations(&self) -> Vec<Operation> {
        Vec::new()
    }

    fn is_host(&self) -> bool {
        true
    }

    fn validate(&self, properties: &Map, rules: &SpecRules) -> Result<(), SpecError> {
        let spec = parse(properties)?;
        if let Some(url) = &spec.node_exporter
            && !url.starts_with("http://")
            && !url.starts_with("https://")
        {
            return Err(SpecError(format!(
                "'node_exporter' must begin with http:// or https://, not '{url}'"
            )));
        }
        let mut seen = std::collections::BTreeSet::new();
        for endpoint in &spec.endpoints {
            check_endpoint(endpoint, rules)?;
            if !seen.insert(&endpoint.url) {
                return Err(SpecError(format!("Endpoint '{}' is listed twice", endpoint.url)));
            }
        }
        Ok(())
    }

    fn host_refs(&self, _: &Map) -> HostRefs {
        HostRefs::default()
    }

    fn demand(&self, properties: &Map) -> Result<Demand, SpecError> {
        let spec = parse(properties)?;
        let endpoint = |e: EndpointSpec| Endpoint {
            url: e.url,
            tls: e.tls.map(|t| Tls {
                ca: t.ca,
                cert: t.cert,
                key: t.key,
            }),
            allow_insecure: e.allow_insecure.unwrap_or(false),
            ssh_key: e.ssh_key,
        };
        Ok(Demand::Endpoint(spec.endpoints.into_iter().map(endpoint).collect()))
    }

    async fn create(&self, job: &Job<'_>) -> Result<String, ProfileError> {
        step(job.steps, "reach", async {
            Ok::<_, ProfileError>(job.driver.info().await?)
        })
        .await?;
        Ok(job.driver.endpoint().to_owned())
    }

    async fn delete(&self, _: &Job<'_>) -> Result<(), ProfileError> {
        // Nothing of ours is on it, and nothing else on it is ours to touch.
        Ok(())
    }

    async fn check(&self, job: &Job<'_>) -> Result<Seen, ProfileError> {
        match job.driver.info().await {
            Ok(_) => Ok(Health::Healthy.into()),
            Err(error) if error.is_unknown() => Ok(Health::Unknown(error.to_string()).into()),
            Err(error) => Err(error.into()),
        }
    }

    async fn update(&self, job: &Job<'_>, new: &Map) -> Result<Made, ProfileError> {
        let url = job.driver.endpoint();
        if !parse(new)?.endpoints.iter().any(|e| e.url == url) {
            return Err(ProfileError::State(format!(
                "The new profile does not list this host's endpoint '{url}'."
            )));
        }
        Ok(Made {
            physical_id: url.to_owned(),
            generation: job.node.generation,
        })
    }

    async fn operate(&self, _: &Job<'_>, operation: &str, _: &Map) -> Result<Seen, ProfileError> {
        Err(ProfileError::Unsupported(format!(
            "A host has no operation '{operation}'."
        )))
    }

    async fn details(&self, job: &Job<'_>) -> Result<Value, ProfileError> {
        Ok(serde_json::to_value(job.driver.info().await?).unwrap_or_default())
    }

    fn adopted(&self, identity: &str, overrides: &Map) -> Result<Map, SpecError> {
        let mut endpoint = overrides.clone();
        let mut properties = Map::new();
        for shared in ["zone", "labels"] {
            if let Some(value) = endpoint.remove(shared) {
                properties.insert(shared.to_owned(), value);
            }
        }
        endpoint.insert("url".to_owned(), identity.into());
        properties.insert("endpoints".to_owned(), json!([endpoint]));
        self.schema.check(&properties)
    }

    async fn adopt(
        &self,
        _: &dyn ContainerDriver,
        _: &str,
        _: &Map,
        _: Option<NodeId>,
    ) -> Result<(String, Map), ProfileError> {
        Err(ProfileError::Unsupported(
            "A host is adopted by its endpoint.".to_owned(),
        ))
    }
}

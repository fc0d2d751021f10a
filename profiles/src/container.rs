//! `container.dockerinc.docker`: a node is a container.
//!
//! 1.0 is what Senlin's schema had; 1.1 is what a container user expects. Both
//! become one [`parse::ContainerSpec`], and live one life: one verb, one file.

use std::collections::BTreeMap;

use senlin_core::{
    Map,
    driver::{
        ContainerDriver, ContainerSummary, DriverError, LABEL_ACTION, LABEL_ATTEMPT, LABEL_CLUSTER, LABEL_GENERATION,
        LABEL_NODE, LABEL_OWNER, LABEL_PROJECT,
    },
    profile_type::{
        Demand, Health, HostRefs, Job, Operation, ProfileError, ProfileType, SpecRules, Started, Support, Updated,
    },
    spec::{SpecError, SpecSchema},
};
use serde_json::Value;

mod adopt;
mod check;
mod config;
mod create;
mod delete;
mod operate;
mod rules;
mod started;
mod update;

pub mod parse;
pub mod spec;

use parse::ContainerSpec;
use spec::{V1_0, V1_1};

/// The type, in one of its versions.
pub struct Docker {
    version: &'static str,
    schema: SpecSchema,
    support: &'static [Support],
}

impl Docker {
    /// Senlin's own schema.
    #[must_use]
    pub fn v1_0() -> Self {
        Self {
            version: "1.0",
            schema: SpecSchema::of::<V1_0>(),
            support: &[Support {
                status: "EXPERIMENTAL",
                since: "2017.02",
            }],
        }
    }

    /// What a container user expects.
    #[must_use]
    pub fn v1_1() -> Self {
        Self {
            version: "1.1",
            schema: SpecSchema::of::<V1_1>(),
            support: &[Support {
                status: "SUPPORTED",
                since: "2026.11",
            }],
        }
    }

    fn parse(&self, properties: &Map) -> Result<ContainerSpec, SpecError> {
        parse::parse(self.version, properties)
    }
}

/// The labels that say whose a container is.
fn labels(job: &Job<'_>, generation: i32) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::from([
        (LABEL_OWNER.to_owned(), job.owner.to_owned()),
        (LABEL_NODE.to_owned(), job.node.id.to_string()),
        (LABEL_PROJECT.to_owned(), job.node.project.clone()),
        (LABEL_GENERATION.to_owned(), generation.to_string()),
        (LABEL_ACTION.to_owned(), job.action.to_string()),
        (LABEL_ATTEMPT.to_owned(), job.attempt.to_string()),
    ]);
    if let Some(cluster) = job.node.cluster_id {
        labels.insert(LABEL_CLUSTER.to_owned(), cluster.to_string());
    }
    labels
}

/// The containers of the job's node on its host, whatever their state. One
/// that was adopted carries no label: its recorded id tells it.
async fn ours(job: &Job<'_>) -> Result<Vec<ContainerSummary>, ProfileError> {
    let id = job.node.id.to_string();
    let found = job.driver.find(&[(LABEL_OWNER, job.owner), (LABEL_NODE, &id)]).await?;
    let Some(recorded) = job.node.physical_id.as_deref().filter(|_| found.is_empty()) else {
        return Ok(found);
    };
    match job.driver.inspect(recorded).await {
        Ok(state) if !state.labels.contains_key(LABEL_NODE) => Ok(vec![ContainerSummary {
            id: state.id,
            name: state.name,
            state: state.status,
            health: state.health,
            address: None,
            ports: Vec::new(),
            labels: state.labels,
        }]),
        Ok(_) | Err(DriverError::NotFound(_)) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// The generation that a container's label tells.
fn generation_of(container: &ContainerSummary) -> i32 {
    container
        .labels
        .get(LABEL_GENERATION)
        .and_then(|g| g.parse().ok())
        .unwrap_or(0)
}

/// The container that the node has now: by label, newest generation.
async fn current(job: &Job<'_>) -> Result<Option<ContainerSummary>, ProfileError> {
    let all = ours(job).await?;
    Ok(all
        .into_iter()
        .filter(|c| generation_of(c) <= job.node.generation)
        .max_by_key(generation_of))
}

#[async_trait::async_trait]
impl ProfileType for Docker {
    fn name(&self) -> &'static str {
        "container.dockerinc.docker"
    }

    fn version(&self) -> &'static str {
        self.version
    }

    fn support(&self) -> &'static [Support] {
        self.support
    }

    fn schema(&self) -> &SpecSchema {
        &self.schema
    }

    fn operations(&self) -> Vec<Operation> {
        operate::operations(self.version)
    }

    fn validate(&self, properties: &Map, rules: &SpecRules) -> Result<(), SpecError> {
        rules::validate(&self.parse(properties)?, rules)
    }

    fn host_refs(&self, properties: &Map) -> HostRefs {
        let text = |key: &str| properties.get(key).and_then(Value::as_str).map(str::to_owned);
        HostRefs {
            host_node: text("host_node"),
            host_cluster: text("host_cluster"),
        }
    }

    fn demand(&self, properties: &Map) -> Result<Demand, SpecError> {
        Ok(Demand::Host(self.parse(properties)?.requirements()?))
    }

    async fn create(&self, job: &Job<'_>) -> Result<String, ProfileError> {
        create::create(job, &self.parse(job.properties)?).await
    }

    fn settles(&self, properties: &Map, rules: &SpecRules) -> Result<f64, SpecError> {
        Ok(started::first_look(&self.parse(properties)?, rules))
    }

    async fn started(&self, job: &Job<'_>, physical_id: &str, since: f64) -> Result<Started, ProfileError> {
        started::look(job, &self.parse(job.properties)?, physical_id, since).await
    }

    async fn delete(&self, job: &Job<'_>) -> Result<(), ProfileError> {
        delete::delete(job, &self.parse(job.properties)?).await
    }

    async fn check(&self, job: &Job<'_>) -> Result<Health, ProfileError> {
        check::check(job).await
    }

    async fn update(&self, job: &Job<'_>, new: &Map) -> Result<Updated, ProfileError> {
        update::update(job, &self.parse(job.properties)?, &self.parse(new)?).await
    }

    async fn operate(&self, job: &Job<'_>, operation: &str, params: &Map) -> Result<Health, ProfileError> {
        operate::operate(job, operation, params).await
    }

    async fn details(&self, job: &Job<'_>) -> Result<Value, ProfileError> {
        match current(job).await? {
            Some(container) => Ok(job.driver.inspect(&container.id).await?.document),
            None => Ok(Value::Object(Map::new())),
        }
    }

    async fn adopt(
        &self,
        driver: &dyn ContainerDriver,
        identity: &str,
        overrides: &Map,
    ) -> Result<(String, Map), ProfileError> {
        adopt::adopt(driver, identity, overrides, self.version).await
    }
}

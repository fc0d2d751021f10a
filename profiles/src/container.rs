//! `container.dockerinc.docker`: a node is a container.
//!
//! 1.0 is what Senlin's schema had; 1.1 is what a container user expects. Both
//! become one [`parse::ContainerSpec`], and live one life: one verb, one file.

use std::collections::BTreeMap;

use senlin_core::{
    Map,
    driver::{
        ContainerDriver, LABEL_ACTION, LABEL_ATTEMPT, LABEL_CLUSTER, LABEL_GENERATION, LABEL_NODE, LABEL_OWNER,
        LABEL_PROFILE, LABEL_PROJECT,
    },
    ids::NodeId,
    profile_type::{
        Demand, HostRefs, Job, Made, Operation, ProfileError, ProfileType, Seen, Settled, SpecRules, Started,
    },
    spec::{SpecError, SpecSchema},
    types::{Meta, SpecType, Support},
};
use serde_json::Value;

mod adopt;
mod check;
mod config;
mod create;
mod delete;
mod find;
mod operate;
mod rules;
mod settle;
mod started;
mod update;

pub mod parse;
pub mod spec;

use find::find;
use parse::ContainerSpec;
use spec::{V1_0, V1_1};

/// The type, in one of its versions.
pub struct Docker {
    meta: &'static Meta,
    schema: SpecSchema,
}

const V1_0_META: Meta = Meta {
    name: "container.dockerinc.docker",
    version: "1.0",
    support: &[Support::experimental("2017.02")],
    since: (1, 0),
};

const V1_1_META: Meta = Meta {
    version: "1.1",
    support: &[Support::supported("2026.11")],
    ..V1_0_META
};

impl Docker {
    /// Senlin's own schema.
    #[must_use]
    pub fn v1_0() -> Self {
        Self {
            meta: &V1_0_META,
            schema: SpecSchema::of::<V1_0>(),
        }
    }

    /// What a container user expects.
    #[must_use]
    pub fn v1_1() -> Self {
        Self {
            meta: &V1_1_META,
            schema: SpecSchema::of::<V1_1>(),
        }
    }

    fn parse(&self, properties: &Map) -> Result<ContainerSpec, SpecError> {
        parse::parse(self.meta.version, properties)
    }
}

/// The labels that say whose a container is.
fn labels(job: &Job<'_>, generation: i32) -> BTreeMap<String, String> {
    let attempt = job.node.attempt.filter(|a| a.generation == generation);
    let profile = attempt.map_or(job.node.profile_id, |a| a.profile_id);
    let mut labels = BTreeMap::from([
        (LABEL_OWNER.to_owned(), job.owner.to_owned()),
        (LABEL_NODE.to_owned(), job.node.id.to_string()),
        (LABEL_PROJECT.to_owned(), job.node.project.clone()),
        (LABEL_PROFILE.to_owned(), profile.to_string()),
        (LABEL_GENERATION.to_owned(), generation.to_string()),
        (LABEL_ACTION.to_owned(), job.action.to_string()),
        (LABEL_ATTEMPT.to_owned(), job.attempt.to_string()),
    ]);
    if let Some(cluster) = job.node.cluster_id {
        labels.insert(LABEL_CLUSTER.to_owned(), cluster.to_string());
    }
    labels
}

impl SpecType for Docker {
    fn meta(&self) -> &'static Meta {
        self.meta
    }

    fn schema(&self) -> &SpecSchema {
        &self.schema
    }
}

#[async_trait::async_trait]
impl ProfileType for Docker {
    fn operations(&self) -> Vec<Operation> {
        operate::operations(self.meta.version)
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

    async fn check(&self, job: &Job<'_>) -> Result<Seen, ProfileError> {
        check::check(job).await
    }

    async fn update(&self, job: &Job<'_>, new: &Map) -> Result<Made, ProfileError> {
        update::update(job, &self.parse(job.properties)?, &self.parse(new)?).await
    }

    async fn settle(&self, job: &Job<'_>, new: &Map) -> Result<Settled, ProfileError> {
        settle::settle(job, &self.parse(job.properties)?, &self.parse(new)?).await
    }

    async fn operate(&self, job: &Job<'_>, operation: &str, params: &Map) -> Result<Seen, ProfileError> {
        operate::operate(job, operation, params).await
    }

    async fn details(&self, job: &Job<'_>) -> Result<Value, ProfileError> {
        match find(job).await?.current() {
            Some(container) => Ok(job.driver.inspect(&container.id).await?.document),
            None => Ok(Value::Object(Map::new())),
        }
    }

    async fn adopt(
        &self,
        driver: &dyn ContainerDriver,
        identity: &str,
        overrides: &Map,
        of: Option<NodeId>,
    ) -> Result<(String, Map), ProfileError> {
        adopt::adopt(driver, identity, overrides, self.meta.version, of).await
    }
}

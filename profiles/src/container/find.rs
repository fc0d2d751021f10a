//! Find: the containers of a node on its host, by what its record says of them.

use senlin_core::{
    driver::{ContainerSummary, DriverError, LABEL_GENERATION, LABEL_NODE, LABEL_OWNER},
    profile_type::{Job, Made, ProfileError},
};

/// A node's containers, whatever their state.
#[derive(Debug, Default)]
pub(super) struct Ours {
    /// Of its generation or an earlier one. The one that it has comes first:
    /// the recorded one, else one that runs, else the newest.
    pub(super) own: Vec<ContainerSummary>,
    /// Of a generation that was begun later: what an attempted update made.
    pub(super) begun: Vec<ContainerSummary>,
    /// Newer than anything that the record tells of, as after the restoring of
    /// a backup. Never taken, never removed.
    pub(super) unaccounted: Vec<ContainerSummary>,
}

impl Ours {
    /// The container that the node has.
    pub(super) fn current(&self) -> Option<&ContainerSummary> {
        self.own.first()
    }

    /// Why nothing can be made beside what the record does not tell of.
    pub(super) fn conflict(&self, job: &Job<'_>) -> Option<String> {
        let newer = self.unaccounted.first()?;
        Some(format!(
            "Container '{}' of this node is of generation {}, and the node's record knows {} at most: \
             'senlin reconcile' takes it back or removes it.",
            newer.id,
            generation_of(job, newer),
            job.node.generations
        ))
    }

    /// Refuses to go on beside what the record does not tell of.
    pub(super) fn accounted(self, job: &Job<'_>) -> Result<Self, ProfileError> {
        match self.conflict(job) {
            Some(why) => Err(ProfileError::State(why)),
            None => Ok(self),
        }
    }
}

/// Finds them by label. One that was adopted carries none: its recorded id tells it.
pub(super) async fn find(job: &Job<'_>) -> Result<Ours, ProfileError> {
    let id = job.node.id.to_string();
    let mut all = job.driver.find(&[(LABEL_OWNER, job.owner), (LABEL_NODE, &id)]).await?;
    let recorded = job.node.physical_id.as_deref();
    if let Some(recorded) = recorded.filter(|r| all.iter().all(|c| c.id != *r)) {
        all.extend(adopted(job, recorded).await?);
    }
    let mut ours = Ours::default();
    for container in all {
        match generation_of(job, &container) {
            g if g <= job.node.generation => ours.own.push(container),
            g if g <= job.node.generations => ours.begun.push(container),
            _ => ours.unaccounted.push(container),
        }
    }
    ours.own.sort_by_key(|c| {
        let first = (
            Some(c.id.as_str()) == recorded,
            c.state == "running",
            generation_of(job, c),
        );
        std::cmp::Reverse(first)
    });
    Ok(ours)
}

async fn adopted(job: &Job<'_>, recorded: &str) -> Result<Option<ContainerSummary>, ProfileError> {
    match job.driver.inspect(recorded).await {
        Ok(state) if !state.labels.contains_key(LABEL_NODE) => Ok(Some(ContainerSummary {
            id: state.id,
            name: state.name,
            state: state.status,
            health: state.health,
            address: None,
            ports: Vec::new(),
            created: 0,
            labels: state.labels,
        })),
        Ok(_) | Err(DriverError::NotFound(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The generation that a container's label tells; an adopted one is of the
/// node's own, for it carries none.
pub(super) fn generation_of(job: &Job<'_>, container: &ContainerSummary) -> i32 {
    match container.labels.get(LABEL_GENERATION) {
        Some(told) => told.parse().unwrap_or(0),
        None if container.labels.contains_key(LABEL_NODE) => 0,
        None => job.node.generation,
    }
}

/// The container as the node's record names it.
pub(super) fn made(job: &Job<'_>, container: &ContainerSummary) -> Made {
    Made {
        physical_id: container.id.clone(),
        generation: generation_of(job, container),
    }
}

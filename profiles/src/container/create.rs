//! Create: find by label, reuse or clean, pull, create, start.

use senlin_core::{
    driver::{ContainerConfig, DriverError, LABEL_GENERATION, LABEL_NODE, LABEL_OWNER},
    profile_type::{Job, ProfileError},
    steps::step,
};

use super::{
    config::config,
    delete::remove,
    find::{find, generation_of},
    parse::ContainerSpec,
    spec::PullPolicy,
};

/// Makes the node's container in its present generation; returns its full id.
pub(super) async fn create(job: &Job<'_>, spec: &ContainerSpec) -> Result<String, ProfileError> {
    let generation = job.node.generation;
    if let Some(id) = reuse(job, generation).await? {
        return Ok(id);
    }
    fetch(job, spec).await?;
    run(job, spec, generation).await
}

/// A try before this one may have come some way. What runs is taken as it is;
/// what never started, or is of another generation, makes room.
async fn reuse(job: &Job<'_>, generation: i32) -> Result<Option<String>, ProfileError> {
    let mut found = None;
    let ours = find(job).await?.accounted(job)?;
    for container in ours.own.into_iter().chain(ours.begun) {
        if generation_of(job, &container) == generation && container.state == "running" && found.is_none() {
            found = Some(container.id);
        } else {
            remove(job, &container.id, "clean up").await?;
        }
    }
    Ok(found)
}

/// Gets the image onto the host as the spec's policy says.
pub(super) async fn fetch(job: &Job<'_>, spec: &ContainerSpec) -> Result<(), ProfileError> {
    let pull = match spec.pull {
        PullPolicy::Always => true,
        PullPolicy::Missing => !job.driver.has_image(&spec.image).await?,
        PullPolicy::Never => {
            if job.driver.has_image(&spec.image).await? {
                false
            } else {
                return Err(ProfileError::State(format!(
                    "Image '{}' is not on the host, and pull_policy is never.",
                    spec.image
                )));
            }
        }
    };
    if pull {
        step(job.steps, "pull", async {
            Ok::<_, ProfileError>(job.driver.pull(&spec.image, spec.registry.as_ref()).await?)
        })
        .await?;
    }
    Ok(())
}

/// Creates and starts; a start that fails leaves nothing behind.
pub(super) async fn run(job: &Job<'_>, spec: &ContainerSpec, generation: i32) -> Result<String, ProfileError> {
    let config = config(job, spec, generation);
    let id = make(job, &config).await?;
    let started = step(job.steps, "start", async {
        Ok::<_, ProfileError>(job.driver.start(&id).await?)
    })
    .await;
    match started {
        Ok(()) => Ok(id),
        // Whether it has started is not known: the next try finds it by label.
        Err(error) if error.is_transient() || matches!(error, ProfileError::Interrupt(_)) => Err(error),
        Err(error) => {
            job.driver.remove(&id).await?;
            Err(error)
        }
    }
}

/// Creates it. What an earlier try of ours left under its name makes room, once.
async fn make(job: &Job<'_>, config: &ContainerConfig) -> Result<String, ProfileError> {
    match create_once(job, config).await {
        Err(ProfileError::Driver(DriverError::Conflict(text))) => {
            free_name(job, &config.name, &text).await?;
            create_once(job, config).await.map_err(|error| match error {
                ProfileError::Driver(DriverError::Conflict(text)) => ProfileError::State(text),
                other => other,
            })
        }
        other => other,
    }
}

async fn create_once(job: &Job<'_>, config: &ContainerConfig) -> Result<String, ProfileError> {
    step(job.steps, "create", async {
        Ok::<_, ProfileError>(job.driver.create(config).await?)
    })
    .await
}

/// Looks who has the name. A container of this node that its record accounts
/// for, and is not the one that it has, is removed; any other is final.
pub(super) async fn free_name(job: &Job<'_>, name: &str, conflict: &str) -> Result<(), ProfileError> {
    let holder = match job.driver.inspect(name).await {
        Err(DriverError::NotFound(_)) => return Ok(()),
        other => other?,
    };
    if holder.name != name {
        // Found by an id that begins so: the conflict is about something else.
        return Err(ProfileError::State(conflict.to_owned()));
    }
    let label = |key| holder.labels.get(key).map(String::as_str);
    let node = job.node.id.to_string();
    let ours = label(LABEL_OWNER) == Some(job.owner) && label(LABEL_NODE) == Some(node.as_str());
    let generation: Option<i32> = label(LABEL_GENERATION).and_then(|g| g.parse().ok());
    if ours
        && generation.is_some_and(|g| g <= job.node.generations)
        && Some(&holder.id) != job.node.physical_id.as_ref()
    {
        return remove(job, &holder.id, "free the name").await;
    }
    let whose = if ours {
        "a container of this node"
    } else {
        "a container that is not ours"
    };
    Err(ProfileError::State(format!(
        "The container name '{name}' is taken by {whose}: '{}'.",
        holder.id
    )))
}

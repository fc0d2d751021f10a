//! Create: find by label, reuse or clean, pull, create, start.

use senlin_core::{
    driver::DriverError,
    profile_type::{Job, ProfileError},
    steps::step,
};

use super::{config::config, generation_of, ours, parse::ContainerSpec, spec::PullPolicy};

/// Makes the node's container in its present generation; answers its full id.
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
    for container in ours(job).await? {
        if generation_of(&container) == generation && container.state == "running" && found.is_none() {
            found = Some(container.id);
        } else {
            step(job.steps, "clean up", async {
                Ok::<_, ProfileError>(job.driver.remove(&container.id).await?)
            })
            .await?;
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
    let id = step(job.steps, "create", async {
        Ok::<_, ProfileError>(job.driver.create(&config).await?)
    })
    .await
    .map_err(|error| name_taken(error, &config.name))?;
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

fn name_taken(error: ProfileError, name: &str) -> ProfileError {
    match error {
        ProfileError::Driver(DriverError::Conflict(text)) => ProfileError::State(format!(
            "The container name '{name}' is taken by a container that is not ours: {text}"
        )),
        other => other,
    }
}

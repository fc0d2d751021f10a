//! Delete: every container of the node on this host that its record accounts
//! for, whatever its generation.

use senlin_core::{
    driver::{ContainerSummary, DriverError},
    profile_type::{Job, ProfileError},
    steps::step,
};

use super::{find::find, parse::ContainerSpec};

/// Asks it to end within its grace, if it runs. One that cannot be asked is
/// removed all the same.
pub(super) async fn stop(
    job: &Job<'_>,
    container: &ContainerSummary,
    grace: Option<i64>,
    name: &'static str,
) -> Result<(), ProfileError> {
    if !matches!(container.state.as_str(), "running" | "restarting") {
        return Ok(());
    }
    let stopped = step(job.steps, name, async {
        Ok::<_, ProfileError>(job.driver.stop(&container.id, grace).await?)
    });
    match stopped.await {
        Err(ProfileError::Driver(DriverError::NotFound(_) | DriverError::Conflict(_) | DriverError::Busy(_))) => Ok(()),
        other => other,
    }
}

/// Removes it, as a step of that name.
pub(super) async fn remove(job: &Job<'_>, id: &str, name: &'static str) -> Result<(), ProfileError> {
    step(job.steps, name, async {
        Ok::<_, ProfileError>(job.driver.remove(id).await?)
    })
    .await
}

/// Asks each to stop within its grace, then removes it. Gone is gone.
pub(super) async fn delete(job: &Job<'_>, spec: &ContainerSpec) -> Result<(), ProfileError> {
    let ours = find(job).await?;
    for container in ours.own.iter().chain(&ours.begun) {
        stop(job, container, spec.stop_grace, "stop").await?;
        remove(job, &container.id, "remove").await?;
    }
    Ok(())
}

//! Check: what is true of the node's container. Changes nothing.

use senlin_core::{
    driver::{ContainerState, DriverError},
    profile_type::{Health, Job, ProfileError},
};

use super::current;

/// Running, exited, unhealthy, gone, or unknown.
pub(super) async fn check(job: &Job<'_>) -> Result<Health, ProfileError> {
    let found = match current(job).await {
        Err(ProfileError::Driver(error)) if error.is_transient() => return Ok(Health::Unknown(error.to_string())),
        other => other?,
    };
    let Some(container) = found else {
        return Ok(Health::Gone("The container is gone from its host.".to_owned()));
    };
    match job.driver.inspect(&container.id).await {
        Ok(state) => Ok(health_of(&state)),
        Err(DriverError::NotFound(_)) => Ok(Health::Gone("The container is gone from its host.".to_owned())),
        Err(error) if error.is_transient() => Ok(Health::Unknown(error.to_string())),
        Err(error) => Err(error.into()),
    }
}

/// What a container's state means for its node.
pub(super) fn health_of(state: &ContainerState) -> Health {
    let code = Some(state.exit_code.unwrap_or(0));
    Health::of(&state.status, state.health.as_deref(), code, state.error.as_deref())
}

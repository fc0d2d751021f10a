//! Check: what is true of the node's container. Changes nothing.

use senlin_core::{
    driver::{ContainerState, ContainerSummary, DriverError},
    profile_type::{Health, Job, ProfileError, Seen},
};

use super::find::{find, made};

const GONE: &str = "The container is gone from its host.";

/// Running, exited, unhealthy, gone, or unknown.
pub(super) async fn check(job: &Job<'_>) -> Result<Seen, ProfileError> {
    let ours = match find(job).await {
        Err(ProfileError::Driver(error)) if error.is_transient() => {
            return Ok(Health::Unknown(error.to_string()).into());
        }
        other => other?,
    };
    match (ours.current(), ours.conflict(job)) {
        (Some(container), unaccounted) => Ok(Seen {
            unaccounted,
            ..look(job, container).await?
        }),
        // What the record has is gone, and something newer is there.
        (None, Some(why)) => Ok(Seen {
            unaccounted: Some(why.clone()),
            ..Health::Unknown(why).into()
        }),
        (None, None) => Ok(gone()),
    }
}

/// Nothing is there.
pub(super) fn gone() -> Seen {
    Health::Gone(GONE.to_owned()).into()
}

/// What is true of this container.
pub(super) async fn look(job: &Job<'_>, container: &ContainerSummary) -> Result<Seen, ProfileError> {
    match job.driver.inspect(&container.id).await {
        Ok(state) => Ok(Seen {
            found: Some(made(job, container)),
            ..rested(job, &state).into()
        }),
        Err(DriverError::NotFound(_)) => Ok(gone()),
        // It was listed a moment ago.
        Err(error) if error.is_transient() => Ok(Seen {
            found: Some(made(job, container)),
            ..Health::Unknown(error.to_string()).into()
        }),
        Err(error) => Err(error.into()),
    }
}

/// As [`health_of`]; the end of one that was stopped on purpose is no failure.
fn rested(job: &Job<'_>, state: &ContainerState) -> Health {
    let ended = matches!(state.status.as_str(), "exited" | "dead" | "created");
    match health_of(state) {
        Health::Exited(why) | Health::Unhealthy(why) if job.node.at_rest && ended => Health::Suspended(why),
        health => health,
    }
}

/// What a container's state means for its node.
pub(super) fn health_of(state: &ContainerState) -> Health {
    let code = Some(state.exit_code.unwrap_or(0));
    Health::of(&state.status, state.health.as_deref(), code, state.error.as_deref())
}

//! Delete: every container of the node on this host that its record accounts
//! for, whatever its generation.

use senlin_core::{
    driver::DriverError,
    profile_type::{Job, ProfileError},
    steps::step,
};

use super::{find::find, parse::ContainerSpec};

/// Asks each to stop within its grace, then removes it. Gone is gone.
pub(super) async fn delete(job: &Job<'_>, spec: &ContainerSpec) -> Result<(), ProfileError> {
    let ours = find(job).await?;
    for container in ours.own.iter().chain(&ours.begun) {
        if matches!(container.state.as_str(), "running" | "restarting") {
            let stopped = step(job.steps, "stop", async {
                Ok::<_, ProfileError>(job.driver.stop(&container.id, spec.stop_grace).await?)
            })
            .await;
            match stopped {
                Ok(())
                | Err(ProfileError::Driver(
                    DriverError::NotFound(_) | DriverError::Conflict(_) | DriverError::Busy(_),
                )) => {}
                Err(error) => return Err(error),
            }
        }
        step(job.steps, "remove", async {
            Ok::<_, ProfileError>(job.driver.remove(&container.id).await?)
        })
        .await?;
    }
    Ok(())
}

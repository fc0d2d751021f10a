//! Settle: after an attempted update one container is left, the old or the new.

use senlin_core::{
    driver::ContainerSummary,
    profile_type::{Health, Job, ProfileError, Seen, Settled},
    steps::step,
};

use super::{
    check::{gone, look},
    delete::remove,
    find::{find, generation_of},
    parse::ContainerSpec,
    update::{in_place, needs_another, share_ports},
};

/// The old one stays if it runs, or was only stopped to make room; the new
/// one stays if it is well and the old one does not run, or is gone.
pub(super) async fn settle(job: &Job<'_>, old: &ContainerSpec, new: &ContainerSpec) -> Result<Settled, ProfileError> {
    let ours = find(job).await?;
    let target = job.node.attempt.map_or(job.node.generations, |a| a.generation);
    let runs = ours
        .current()
        .is_some_and(|c| matches!(c.state.as_str(), "running" | "paused"));
    let candidate = ours.begun.iter().find(|c| generation_of(job, c) == target);
    if let Some(candidate) = candidate.filter(|_| !runs) {
        let seen = look(job, candidate).await?;
        let well = seen.health == Health::Healthy && candidate.health.as_deref() != Some("starting");
        // With nothing to go back to, it is kept whatever its state.
        if well || ours.current().is_none() {
            let rest = ours.begun.iter().filter(|c| c.id != candidate.id);
            remove_all(job, ours.own.iter().chain(rest), "remove the old").await?;
            return Ok(Settled { updated: true, seen });
        }
    }
    remove_all(job, ours.begun.iter(), "remove the new").await?;
    let seen = match ours.current() {
        Some(container) => put_back(job, old, new, container, candidate.is_some()).await?,
        None => gone(),
    };
    Ok(Settled { updated: false, seen })
}

/// The old one as it was before the attempt.
async fn put_back(
    job: &Job<'_>,
    old: &ContainerSpec,
    new: &ContainerSpec,
    container: &ContainerSummary,
    was_replaced: bool,
) -> Result<Seen, ProfileError> {
    // Only then may the update have stopped it.
    let was_stopped = !job.node.at_rest && (was_replaced || share_ports(old, new));
    if !needs_another(job, old, new) {
        in_place(job, old, container).await?;
    } else if was_stopped && matches!(container.state.as_str(), "exited" | "created") {
        step(job.steps, "start the old", async {
            Ok::<_, ProfileError>(job.driver.start(&container.id).await?)
        })
        .await?;
    }
    look(job, container).await
}

async fn remove_all(
    job: &Job<'_>,
    containers: impl Iterator<Item = &ContainerSummary> + Send,
    name: &'static str,
) -> Result<(), ProfileError> {
    for container in containers {
        remove(job, &container.id, name).await?;
    }
    Ok(())
}

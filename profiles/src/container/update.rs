//! Update: in place what Docker can, else a new container before the old goes.

use senlin_core::{
    driver::{ContainerSummary, DriverError, LABEL_NODE},
    profile_type::{Job, Made, ProfileError},
    steps::{Interrupt, step},
};

use super::{
    config::{config, name},
    create::{fetch, free_name, run},
    delete::{remove, stop},
    find::{Ours, find, generation_of, made},
    parse::ContainerSpec,
    started,
};

/// Brings the node's container from one spec to the other.
pub(super) async fn update(job: &Job<'_>, old: &ContainerSpec, new: &ContainerSpec) -> Result<Made, ProfileError> {
    let ours = find(job).await?.accounted(job)?;
    match ours.current() {
        Some(_) if needs_another(job, old, new) => replace(job, old, new, &ours).await,
        Some(container) => in_place(job, new, container).await,
        None => finish(job, new, &ours).await,
    }
}

/// The generation that this update makes.
fn target(job: &Job<'_>) -> i32 {
    job.node.attempt.map_or(job.node.generations, |a| a.generation)
}

/// A try before this one replaced the container and did not get to say so.
async fn finish(job: &Job<'_>, spec: &ContainerSpec, ours: &Ours) -> Result<Made, ProfileError> {
    let new = ours.begun.iter().find(|c| generation_of(job, c) == target(job));
    let new = new.ok_or_else(|| ProfileError::State("The container is gone from its host.".to_owned()))?;
    started::wait(job, spec, &new.id).await?;
    Ok(made(job, new))
}

/// Whether anything differs beyond name, limits and restart policy.
pub(super) fn needs_another(job: &Job<'_>, old: &ContainerSpec, new: &ContainerSpec) -> bool {
    let essence = |spec: &ContainerSpec| {
        let mut c = config(job, spec, job.node.generation);
        c.name.clear();
        c.resources = senlin_core::driver::Resources::default();
        c.restart = None;
        // Made anew each time, and means the same.
        c.env.retain(|(name, _)| name != senlin_core::interface::KEY);
        c
    };
    let removes_limit = (old.resources.cpus.is_some() && new.resources.cpus.is_none())
        || (old.resources.memory.is_some() && new.resources.memory.is_none());
    essence(old) != essence(new) || removes_limit
}

/// Limits, restart policy and name, on the container that is there.
pub(super) async fn in_place(
    job: &Job<'_>,
    spec: &ContainerSpec,
    container: &ContainerSummary,
) -> Result<Made, ProfileError> {
    let generation = generation_of(job, container);
    let wanted = config(job, spec, generation);
    step(job.steps, "update", async {
        Ok::<_, ProfileError>(
            job.driver
                .update(&container.id, &wanted.resources, wanted.restart.as_ref())
                .await?,
        )
    })
    .await?;
    let named = name(job, spec, generation);
    if container.name != named {
        match rename(job, &container.id, &named).await {
            Err(ProfileError::Driver(DriverError::Conflict(text))) => {
                free_name(job, &named, &text).await?;
                rename(job, &container.id, &named).await?;
            }
            other => other?,
        }
    }
    Ok(made(job, container))
}

async fn rename(job: &Job<'_>, id: &str, name: &str) -> Result<(), ProfileError> {
    step(job.steps, "rename", async {
        Ok::<_, ProfileError>(job.driver.rename(id, name).await?)
    })
    .await
}

/// Whether both publish a port of the host, so that they cannot run side by side.
pub(super) fn share_ports(old: &ContainerSpec, new: &ContainerSpec) -> bool {
    let taken = |s: &ContainerSpec| -> Vec<_> {
        let ports = s.ports.iter();
        ports.filter_map(|p| Some((p.host?, p.protocol.clone()))).collect()
    };
    let new = taken(new);
    taken(old).iter().any(|p| new.contains(p))
}

/// The new one first where ports allow; the old one goes only when the new one
/// is well. Whatever fails on the way is settled by the caller.
async fn replace(job: &Job<'_>, old: &ContainerSpec, new: &ContainerSpec, ours: &Ours) -> Result<Made, ProfileError> {
    let generation = target(job);
    // One that an earlier try of this update started is looked at, not made again.
    let is_ours = |c: &&ContainerSummary| generation_of(job, c) == generation && c.state == "running";
    let started = ours.begun.iter().find(is_ours);
    if started.is_none() {
        fetch(job, new).await?;
    }
    for half_made in ours.begun.iter().filter(|c| started.is_none_or(|s| s.id != c.id)) {
        remove(job, &half_made.id, "clean up").await?;
    }
    let first = share_ports(old, new);
    if first {
        for container in &ours.own {
            step(job.steps, "stop the old", async {
                Ok::<_, ProfileError>(job.driver.stop(&container.id, old.stop_grace).await?)
            })
            .await?;
        }
    }
    let physical_id = match started {
        Some(started) => started.id.clone(),
        None => run(job, new, generation).await?,
    };
    started::wait(job, new, &physical_id).await?;
    for container in &ours.own {
        let Err(error) = end(job, old, container, first).await else {
            continue;
        };
        // There is no way back once it was asked to end: one that is left goes
        // by its generation. One that was adopted has none.
        let is_lost = matches!(error, ProfileError::Interrupt(Interrupt::LeaseLost));
        if is_lost || !container.labels.contains_key(LABEL_NODE) {
            return Err(error);
        }
    }
    Ok(Made {
        physical_id,
        generation,
    })
}

/// Ends an old one, as gently as it asks for.
async fn end(
    job: &Job<'_>,
    old: &ContainerSpec,
    container: &ContainerSummary,
    is_stopped: bool,
) -> Result<(), ProfileError> {
    if !is_stopped {
        stop(job, container, old.stop_grace, "stop the old").await?;
    }
    remove(job, &container.id, "remove the old").await
}

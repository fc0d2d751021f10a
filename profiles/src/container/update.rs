//! Update: in place what Docker can, else a new container before the old goes.

use senlin_core::{
    driver::{ContainerSummary, LABEL_ACTION},
    profile_type::{Job, ProfileError, Updated},
    steps::{Interrupt, step},
};

use super::{
    config::{config, name},
    create::{fetch, run},
    current, generation_of,
    parse::ContainerSpec,
    started,
};

/// Brings the node's container from one spec to the other.
pub(super) async fn update(job: &Job<'_>, old: &ContainerSpec, new: &ContainerSpec) -> Result<Updated, ProfileError> {
    let Some(container) = current(job).await? else {
        return finished_before(job).await;
    };
    if needs_another(job, old, new) {
        replace(job, old, new, container).await
    } else {
        in_place(job, new, container).await
    }
}

/// A try before this one may have replaced the container and died before it
/// could say so.
async fn finished_before(job: &Job<'_>) -> Result<Updated, ProfileError> {
    let made_here = |c: &ContainerSummary| c.labels.get(LABEL_ACTION) == Some(&job.action.to_string());
    match super::ours(job).await?.into_iter().find(made_here) {
        Some(new) => Ok(Updated::Done {
            generation: generation_of(&new),
            physical_id: new.id,
        }),
        None => Err(ProfileError::State("The container is gone from its host.".to_owned())),
    }
}

/// Whether anything differs beyond name, limits and restart policy.
fn needs_another(job: &Job<'_>, old: &ContainerSpec, new: &ContainerSpec) -> bool {
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

async fn in_place(job: &Job<'_>, new: &ContainerSpec, container: ContainerSummary) -> Result<Updated, ProfileError> {
    let generation = generation_of(&container);
    let wanted = config(job, new, generation);
    step(job.steps, "update", async {
        Ok::<_, ProfileError>(
            job.driver
                .update(&container.id, &wanted.resources, wanted.restart.as_ref())
                .await?,
        )
    })
    .await?;
    let named = name(job, new, generation);
    if container.name != named {
        step(job.steps, "rename", async {
            Ok::<_, ProfileError>(job.driver.rename(&container.id, &named).await?)
        })
        .await?;
    }
    Ok(Updated::Done {
        physical_id: container.id,
        generation,
    })
}

/// The new one first where ports allow; the old one goes only when the new one
/// is well, and comes back when it is not.
async fn replace(
    job: &Job<'_>,
    old: &ContainerSpec,
    new: &ContainerSpec,
    container: ContainerSummary,
) -> Result<Updated, ProfileError> {
    fetch(job, new).await?;
    let generation = job.node.generation + 1;
    let ports = |s: &ContainerSpec| {
        s.ports
            .iter()
            .filter_map(|p| Some((p.host?, p.protocol.clone())))
            .collect::<Vec<_>>()
    };
    let clash = ports(old).iter().any(|p| ports(new).contains(p));
    clean_newer(job, generation).await?;
    if clash {
        step(job.steps, "stop the old", async {
            Ok::<_, ProfileError>(job.driver.stop(&container.id, old.stop_grace).await?)
        })
        .await?;
    }
    match make_well(job, new, generation).await {
        Ok(physical_id) => {
            step(job.steps, "remove the old", async {
                Ok::<_, ProfileError>(job.driver.remove(&container.id).await?)
            })
            .await?;
            Ok(Updated::Done {
                physical_id,
                generation,
            })
        }
        // A silent host is asked again; what is not ours any more is not touched.
        Err(error) if error.is_transient() || matches!(error, ProfileError::Interrupt(Interrupt::LeaseLost)) => {
            Err(error)
        }
        Err(error) => {
            for container in super::ours(job).await? {
                if generation_of(&container) >= generation {
                    job.driver.remove(&container.id).await?;
                }
            }
            if clash {
                job.driver.start(&container.id).await?;
            }
            Err(error)
        }
    }
}

/// What an update before this one left half made.
async fn clean_newer(job: &Job<'_>, generation: i32) -> Result<(), ProfileError> {
    for container in super::ours(job).await? {
        if generation_of(&container) >= generation {
            step(job.steps, "clean up", async {
                Ok::<_, ProfileError>(job.driver.remove(&container.id).await?)
            })
            .await?;
        }
    }
    Ok(())
}

/// Makes the new one and waits until it counts.
async fn make_well(job: &Job<'_>, new: &ContainerSpec, generation: i32) -> Result<String, ProfileError> {
    let id = run(job, new, generation).await?;
    started::wait(job, new, &id).await?;
    Ok(id)
}

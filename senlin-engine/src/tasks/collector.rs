//! The collector: what goes from a host that answers, and what does not. A
//! container with our label goes only for a reason that is recorded; one that
//! nothing tells of is listed for an operator. Foreign ones are never listed.

use senlin_core::{
    driver::{
        ContainerDriver, ContainerSummary, DriverError, LABEL_ACTION, LABEL_ATTEMPT, LABEL_CLUSTER, LABEL_GENERATION,
        LABEL_NODE, LABEL_OWNER, LABEL_PROFILE, LABEL_PROJECT,
    },
    ids::NodeId,
    profile_type::ProfileError,
};
use senlin_db::{
    attempts, health,
    hosts::{self, Leftover},
    unaccounted::{self, Labelled},
};

use crate::{
    Engine,
    failure::{self, Failure},
};

/// Letters kept of a name or project that a host tells.
const LETTERS: usize = 255;

/// Every container with our label on a host.
async fn ours(engine: &Engine, driver: &dyn ContainerDriver) -> Result<Vec<ContainerSummary>, Failure> {
    let owner = [(LABEL_OWNER, engine.installation.as_str())];
    Ok(driver.find(&owner).await.map_err(ProfileError::from)?)
}

/// The host was silent: what runs on it is known again.
pub(crate) async fn known_again(engine: &Engine, driver: &dyn ContainerDriver, host: NodeId) -> Result<(), Failure> {
    let seen = ours(engine, driver).await?;
    let running = seen.into_iter().filter(|c| c.state == "running").map(|c| c.id);
    let running: Vec<String> = running.collect();
    health::known_again(&mut engine.db.session(), host, &running).await?;
    Ok(())
}

/// Removes what nodes left on this host while it was silent, and what an
/// operator wants removed.
pub(crate) async fn leftovers(engine: &Engine, driver: &dyn ContainerDriver, host: NodeId) -> Result<(), Failure> {
    let leftovers = hosts::leftovers(&mut engine.db.session(), host).await?;
    for leftover in leftovers {
        let gone = async {
            match leftover {
                Leftover::Node(node, generation, had) => {
                    clear(engine, driver, host, node, generation, had.as_deref()).await
                }
                Leftover::Container(id) => {
                    remove(engine, driver, host, &id, "an operator asked for it").await?;
                    Ok(unaccounted::removed(&mut engine.db.session(), host, &id).await?)
                }
            }
        };
        go_on(host, gone.await)?;
    }
    Ok(())
}

async fn clear(
    engine: &Engine,
    driver: &dyn ContainerDriver,
    host: NodeId,
    node: NodeId,
    generation: i32,
    had: Option<&str>,
) -> Result<(), Failure> {
    let id = node.to_string();
    let labels = [(LABEL_OWNER, engine.installation.as_str()), (LABEL_NODE, id.as_str())];
    for container in driver.find(&labels).await.map_err(ProfileError::from)? {
        if self::generation(&container) <= generation {
            remove(engine, driver, host, &container.id, "its node left this host").await?;
        }
    }
    if let Some(had) = had {
        // One that was adopted carries no label.
        match driver.inspect(had).await {
            Ok(state) if !state.labels.contains_key(LABEL_NODE) => {
                remove(engine, driver, host, had, "its node left this host").await?;
            }
            Ok(_) | Err(DriverError::NotFound(_)) => {}
            Err(error) => return Err(ProfileError::from(error).into()),
        }
    }
    Ok(hosts::cleared(&mut engine.db.session(), host, node, generation).await?)
}

/// Holds what carries our label against the record. The look at the host comes
/// first, then the question to the database: what is made in between is not
/// seen at all.
pub(crate) async fn collect(engine: &Engine, driver: &dyn ContainerDriver, host: NodeId) -> Result<(), Failure> {
    let seen: Vec<Labelled> = ours(engine, driver).await?.iter().filter_map(labelled).collect();
    let mut conn = engine.db.session();
    let checks = attempts::check_open(&mut conn, host).await?;
    let verdict = unaccounted::judge(&mut conn, host, &seen).await?;
    if !checks.is_empty() {
        engine.work.notify_one();
        engine.bus.wake(&checks, "");
    }
    if !verdict.new.is_empty() {
        engine.metrics.unaccounted(verdict.new.len());
        tracing::warn!(%host, containers = ?verdict.new,
            "containers that the record does not account for are left alone; see 'senlin reconcile'");
    }
    for container in &verdict.remove {
        go_on(
            host,
            remove(engine, driver, host, container, "its node has gone, or has another").await,
        )?;
    }
    Ok(())
}

/// One that cannot be removed keeps no other from it; a host that does not
/// answer, or a database, does.
fn go_on(host: NodeId, removed: Result<(), Failure>) -> Result<(), Failure> {
    match removed {
        Err(failure) if !failure::host_unknown(&failure) && !matches!(failure, Failure::Db(_)) => {
            tracing::warn!(%host, error = %failure::chain(&failure), "a container could not be removed; trying again");
            Ok(())
        }
        other => other,
    }
}

/// A container as its labels tell it; none without a node's.
fn labelled(container: &ContainerSummary) -> Option<Labelled> {
    let label = |key: &str| container.labels.get(key);
    Some(Labelled {
        container: container.id.clone(),
        node: label(LABEL_NODE)?.parse().ok()?,
        generation: generation(container),
        action: label(LABEL_ACTION).and_then(|id| id.parse().ok()),
        attempt: label(LABEL_ATTEMPT).and_then(|n| n.parse().ok()),
        project: label(LABEL_PROJECT).map(|p| shortened(p)),
        cluster: label(LABEL_CLUSTER).and_then(|id| id.parse().ok()),
        profile: label(LABEL_PROFILE).and_then(|id| id.parse().ok()),
        name: shortened(&container.name),
        running: container.state == "running",
        created: container.created,
    })
}

fn shortened(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(LETTERS).collect()
}

fn generation(container: &ContainerSummary) -> i32 {
    let told = container.labels.get(LABEL_GENERATION);
    told.and_then(|g| g.parse().ok()).unwrap_or(0)
}

async fn remove(
    engine: &Engine,
    driver: &dyn ContainerDriver,
    host: NodeId,
    container: &str,
    reason: &str,
) -> Result<(), Failure> {
    tracing::warn!(%host, container, reason, "removing a container");
    engine.metrics.collected();
    match driver.remove(container).await {
        Ok(()) | Err(DriverError::NotFound(_)) => Ok(()),
        Err(error) => Err(ProfileError::from(error).into()),
    }
}

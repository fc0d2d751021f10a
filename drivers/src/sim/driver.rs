//! The verbs of a simulated host.

use std::time::Duration;

use senlin_core::{
    driver::{
        ContainerConfig, ContainerDriver, ContainerEvent, ContainerState, ContainerSummary, DriverError, RegistryAuth,
        Resources, RestartPolicy, Usage,
    },
    host::HostInfo,
};
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;

use super::{SimHost, Simulated, health, summary};

#[async_trait::async_trait]
impl ContainerDriver for SimHost {
    fn endpoint(&self) -> &str {
        &self.url
    }

    async fn pause_between_looks(&self, time: Duration) {
        tokio::time::sleep(time.min(Duration::from_millis(20))).await;
    }

    async fn info(&self) -> Result<HostInfo, DriverError> {
        self.enter("info", "").await?;
        Ok(HostInfo {
            engine_version: "simulated".to_owned(),
            api_version: "1.41".to_owned(),
            hostname: self.sim.name.clone(),
            os: "linux".to_owned(),
            arch: "x86_64".to_owned(),
            cpus: self.knobs.cpus,
            memory: self.knobs.memory,
            labels: self.knobs.labels.clone(),
        })
    }

    async fn find(&self, labels: &[(&str, &str)]) -> Result<Vec<ContainerSummary>, DriverError> {
        self.enter("find", "").await?;
        let world = self.sim.world();
        let has = |c: &&Simulated| {
            labels
                .iter()
                .all(|(k, v)| c.config.labels.get(*k).is_some_and(|have| have == v))
        };
        // A node's containers carry its id at the end of their key: none is scanned twice.
        Ok(world.containers.values().filter(has).map(summary).collect())
    }

    async fn has_image(&self, image: &str) -> Result<bool, DriverError> {
        self.enter("inspect image", image).await?;
        Ok(!image.contains("missing"))
    }

    async fn pull(&self, image: &str, auth: Option<&RegistryAuth>) -> Result<(), DriverError> {
        self.enter("pull", image).await?;
        let refuse = |reason: &str| DriverError::Pull {
            image: image.to_owned(),
            reason: reason.to_owned(),
        };
        if image.contains("missing") {
            return Err(refuse("manifest unknown"));
        }
        if image.contains("private") && auth.is_none_or(|a| a.password.expose() == "wrong") {
            return Err(refuse("unauthorized: authentication required"));
        }
        Ok(())
    }

    async fn create(&self, config: &ContainerConfig) -> Result<String, DriverError> {
        self.enter("create", &config.name).await?;
        let mut world = self.sim.world();
        if config.image.contains("missing") {
            return Err(DriverError::NotFound(format!("No such image: {}", config.image)));
        }
        if let Some(id) = world.by_name.get(&config.name) {
            return Err(DriverError::Conflict(format!(
                "Conflict. The container name \"/{}\" is already in use by container \"{id}\"",
                config.name
            )));
        }
        let id = format!(
            "{:0>64}",
            format!("{:x}", world.count) + &format!("{:016x}", hash(&config.name))
        );
        let born = world.count;
        world.by_name.insert(config.name.clone(), id.clone());
        world.containers.insert(
            id.clone(),
            Simulated {
                id: id.clone(),
                config: config.clone(),
                status: "created",
                exit_code: 0,
                restarts: 0,
                checked: None,
                born,
                created: now(),
            },
        );
        Ok(id)
    }

    async fn start(&self, id: &str) -> Result<(), DriverError> {
        self.enter("start", id).await?;
        let mut world = self.sim.world();
        let wanted = world.get(id)?.config.clone();
        let own = world.get(id)?.id.clone();
        let taken = wanted.ports.iter().filter(|p| p.host.is_some()).find(|p| {
            world.containers.values().any(|c| {
                c.id != own
                    && matches!(c.status, "running" | "paused")
                    && c.config
                        .ports
                        .iter()
                        .any(|q| q.host == p.host && q.protocol == p.protocol)
            })
        });
        if let Some(port) = taken {
            return Err(DriverError::Conflict(format!(
                "start container: port is already allocated: {}",
                port.host.unwrap_or(0)
            )));
        }
        let container = world.get(id)?;
        if container
            .config
            .command
            .as_deref()
            .is_some_and(|c| c.first().is_some_and(|w| w == "/nonexistent"))
        {
            return Err(DriverError::Refused(
                "start container: exec: \"/nonexistent\": no such file".to_owned(),
            ));
        }
        if container.status == "paused" {
            return Err(DriverError::Conflict("cannot start a paused container".to_owned()));
        }
        container.status = "running";
        world.count_alive(&wanted);
        world.exit_if_told(&own);
        Ok(())
    }

    async fn stop(&self, id: &str, _: Option<i64>) -> Result<(), DriverError> {
        self.enter("stop", id).await?;
        let mut world = self.sim.world();
        world.get(id)?;
        world.end(id, 143);
        Ok(())
    }

    async fn restart(&self, id: &str, _: Option<i64>) -> Result<(), DriverError> {
        self.enter("restart", id).await?;
        let mut world = self.sim.world();
        let container = world.get(id)?;
        container.status = "running";
        let own = container.id.clone();
        world.exit_if_told(&own);
        Ok(())
    }

    async fn kill(&self, id: &str, _: Option<&str>) -> Result<(), DriverError> {
        self.enter("kill", id).await?;
        let mut world = self.sim.world();
        let container = world.get(id)?;
        if container.status != "running" {
            return Err(DriverError::Conflict(format!(
                "kill container: Container {id} is not running"
            )));
        }
        world.end(id, 137);
        Ok(())
    }

    async fn pause(&self, id: &str) -> Result<(), DriverError> {
        self.enter("pause", id).await?;
        let mut world = self.sim.world();
        let container = world.get(id)?;
        match container.status {
            "running" | "paused" => container.status = "paused",
            _ => {
                return Err(DriverError::Conflict(format!(
                    "pause container: Container {id} is not running"
                )));
            }
        }
        Ok(())
    }

    async fn unpause(&self, id: &str) -> Result<(), DriverError> {
        self.enter("unpause", id).await?;
        let mut world = self.sim.world();
        let container = world.get(id)?;
        if container.status == "paused" {
            container.status = "running";
        }
        Ok(())
    }

    async fn rename(&self, id: &str, name: &str) -> Result<(), DriverError> {
        self.enter("rename", id).await?;
        let mut world = self.sim.world();
        if world.by_name.contains_key(name) {
            return Err(DriverError::Conflict(format!(
                "rename container: the name {name} is already in use"
            )));
        }
        let (id, old) = {
            let container = world.get(id)?;
            let old = std::mem::replace(&mut container.config.name, name.to_owned());
            (container.id.clone(), old)
        };
        world.by_name.remove(&old);
        world.by_name.insert(name.to_owned(), id);
        Ok(())
    }

    async fn update(
        &self,
        id: &str,
        resources: &Resources,
        restart: Option<&RestartPolicy>,
    ) -> Result<(), DriverError> {
        self.enter("update", id).await?;
        let mut world = self.sim.world();
        let config = &mut world.get(id)?.config;
        config.resources = resources.clone();
        if let Some(policy) = restart {
            config.restart = Some(policy.clone());
        }
        Ok(())
    }

    async fn remove(&self, id: &str) -> Result<(), DriverError> {
        self.enter("remove", id).await?;
        let mut world = self.sim.world();
        let key = world.by_name.get(id).cloned().unwrap_or_else(|| id.to_owned());
        if let Some(container) = world.containers.remove(&key) {
            world.by_name.remove(&container.config.name);
            world.emit(&container, "destroy");
        }
        Ok(())
    }

    async fn usage(&self) -> Result<Vec<Usage>, DriverError> {
        self.enter("usage", "").await?;
        Ok(self.sim.world().usage())
    }

    async fn watch(
        &self,
        (key, value): (&str, &str),
        _: Option<i64>,
        tell: &(dyn Fn(ContainerEvent) + Send + Sync),
    ) -> Result<(), DriverError> {
        self.enter("watch", "").await?;
        let mut events = self.sim.listen();
        loop {
            match tokio::time::timeout(Duration::from_millis(200), events.recv()).await {
                Ok(Ok(event)) if event.labels.get(key).is_some_and(|v| v == value) => tell(event),
                Ok(Ok(_)) | Ok(Err(RecvError::Lagged(_))) => {}
                Ok(Err(RecvError::Closed)) => return Ok(()),
                // A host that goes down cuts its listeners off.
                Err(_) => self.enter("watch", "").await?,
            }
        }
    }

    async fn inspect(&self, id: &str) -> Result<ContainerState, DriverError> {
        self.enter("inspect", id).await?;
        let mut world = self.sim.world();
        let c = world.get(id)?;
        let env: Vec<String> = c.config.env.iter().map(|(name, _)| format!("{name}=***")).collect();
        Ok(ContainerState {
            id: c.id.clone(),
            name: c.config.name.clone(),
            status: c.status.to_owned(),
            exit_code: matches!(c.status, "exited" | "restarting").then_some(c.exit_code),
            restarts: c.restarts,
            health: health(c).map(str::to_owned),
            error: None,
            labels: c.config.labels.clone(),
            document: json!({
                "Id": c.id, "Name": format!("/{}", c.config.name), "Created": c.born,
                "State": {"Status": c.status, "ExitCode": c.exit_code},
                "Config": {"Image": c.config.image, "Cmd": c.config.command, "Env": env, "Labels": c.config.labels},
                "HostConfig": {"Memory": c.config.resources.memory.unwrap_or(0)},
            }),
        })
    }
}

/// Seconds since 1970.
fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |time| i64::try_from(time.as_secs()).unwrap_or(i64::MAX))
}

fn hash(text: &str) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

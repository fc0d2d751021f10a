//! A machine that runs Docker Engine, through bollard.

use std::{collections::HashMap, future::Future, time::Duration};

use bollard::{
    Docker,
    auth::DockerCredentials,
    models::{ContainerUpdateBody, RestartPolicy as DockerRestart},
    query_parameters::{
        CreateContainerOptionsBuilder, CreateImageOptionsBuilder, EventsOptionsBuilder, InspectContainerOptions,
        KillContainerOptionsBuilder, ListContainersOptionsBuilder, RemoveContainerOptionsBuilder,
        RenameContainerOptionsBuilder, RestartContainerOptionsBuilder, StartContainerOptions, StatsOptionsBuilder,
        StopContainerOptionsBuilder,
    },
};
use futures_util::{StreamExt, TryStreamExt};
use senlin_core::{
    driver::{
        ContainerConfig, ContainerDriver, ContainerEvent, ContainerState, ContainerSummary, DriverError, RegistryAuth,
        Resources, RestartPolicy, Usage,
    },
    host::{Endpoint, HostInfo},
    text::{NAME, clean},
};

mod config;
mod connect;
mod error;
mod inspect;
mod tls;

/// Seconds that a look may take.
const LOOK: u64 = 15;
/// Seconds that a change may take.
const CHANGE: u64 = 120;
/// Seconds that a pull may take.
const PULL: u64 = 600;

/// Containers whose usage is asked for at once.
const MAX_CONCURRENT_STATS: usize = 16;

/// A connected engine.
pub struct DockerHost {
    endpoint: String,
    docker: Docker,
    // Key files live as long as the connection that reads them.
    _keys: Option<connect::Keys>,
}

impl DockerHost {
    /// Connects, and agrees on an API version with the engine.
    ///
    /// # Errors
    /// When it cannot be reached, or is older than API 1.41.
    pub async fn connect(endpoint: &Endpoint) -> Result<Self, DriverError> {
        let (docker, keys) = connect::connect(endpoint).await?;
        Ok(Self {
            endpoint: endpoint.url.clone(),
            docker,
            _keys: keys,
        })
    }

    /// Runs a call within its time, its error in our words.
    async fn call<T>(
        &self,
        verb: &'static str,
        seconds: u64,
        call: impl Future<Output = Result<T, bollard::errors::Error>> + Send,
    ) -> Result<T, DriverError> {
        match tokio::time::timeout(Duration::from_secs(seconds), call).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(error::translate(&self.endpoint, verb, seconds, &error)),
            Err(_) => Err(DriverError::TimedOut {
                endpoint: self.endpoint.clone(),
                verb,
                seconds,
            }),
        }
    }
}

/// "Already so" is success.
fn already(result: Result<(), DriverError>, so: impl Fn(&DriverError) -> bool) -> Result<(), DriverError> {
    match result {
        Err(error) if so(&error) => Ok(()),
        other => other,
    }
}

/// Registries' refusals. Engines pass them on as failures of their own, with
/// nothing but the text to tell them from a registry that is away.
fn denied(reason: &str) -> bool {
    let refusals = [
        "unauthorized",
        "denied",
        "not found",
        "manifest unknown",
        "authentication required",
        "no basic auth credentials",
    ];
    refusals.iter().any(|r| reason.contains(r))
}

fn grace_seconds(grace: Option<i64>) -> u64 {
    u64::try_from(grace.unwrap_or(10)).unwrap_or(10)
}

fn as_i32(seconds: i64) -> i32 {
    i32::try_from(seconds).unwrap_or(i32::MAX)
}

#[async_trait::async_trait]
impl ContainerDriver for DockerHost {
    fn endpoint(&self) -> &str {
        &self.endpoint
    }

    async fn pause_between_looks(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    async fn info(&self) -> Result<HostInfo, DriverError> {
        let said = self.call("version", 5, self.docker.version()).await?;
        let name = |said: Option<String>| clean(&said.unwrap_or_default(), NAME);
        let (version, api) = (name(said.version), name(said.api_version));
        connect::new_enough(&self.endpoint, &version, &api)?;
        let info = self.call("info", 5, self.docker.info()).await?;
        let labels = info.labels.unwrap_or_default();
        Ok(HostInfo {
            engine_version: version,
            api_version: api,
            hostname: name(info.name),
            os: name(info.os_type),
            arch: name(info.architecture),
            cpus: info.ncpu.unwrap_or(0),
            memory: info.mem_total.unwrap_or(0),
            labels: inspect::labels(
                labels
                    .iter()
                    .map(|l| l.split_once('=').unwrap_or((l, "")))
                    .map(|(k, v)| (k.to_owned(), v.to_owned())),
            ),
        })
    }

    async fn find(&self, labels: &[(&str, &str)]) -> Result<Vec<ContainerSummary>, DriverError> {
        let wanted: Vec<String> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let filters = HashMap::from([("label".to_owned(), wanted)]);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        let list = self
            .call("list containers", LOOK, self.docker.list_containers(Some(options)))
            .await?;
        Ok(list.into_iter().filter_map(inspect::summary).collect())
    }

    async fn has_image(&self, image: &str) -> Result<bool, DriverError> {
        match self.call("inspect image", LOOK, self.docker.inspect_image(image)).await {
            Ok(_) => Ok(true),
            Err(DriverError::NotFound(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn pull(&self, image: &str, auth: Option<&RegistryAuth>) -> Result<(), DriverError> {
        let (name, tag) = config::image_and_tag(image);
        let mut options = CreateImageOptionsBuilder::new().from_image(name);
        if let Some(tag) = tag {
            options = options.tag(tag);
        }
        let credentials = auth.map(|a| DockerCredentials {
            username: Some(a.username.clone()),
            password: Some(a.password.expose().to_owned()),
            serveraddress: a.server.clone(),
            ..DockerCredentials::default()
        });
        let stream = self.docker.create_image(Some(options.build()), None, credentials);
        let pulled = self.call("pull", PULL, stream.try_for_each(|_| async { Ok(()) })).await;
        pulled.map_err(|error| match error {
            DriverError::Failed(reason) if !denied(&reason) => {
                DriverError::Failed(format!("image '{image}' could not be pulled: {reason}"))
            }
            error if error.is_unknown() => error,
            other => DriverError::Pull {
                image: image.to_owned(),
                reason: other.to_string(),
            },
        })
    }

    async fn create(&self, config: &ContainerConfig) -> Result<String, DriverError> {
        let options = CreateContainerOptionsBuilder::new().name(&config.name).build();
        let body = config::body(config);
        let made = self
            .call(
                "create container",
                CHANGE,
                self.docker.create_container(Some(options), body),
            )
            .await?;
        Ok(clean(&made.id, NAME))
    }

    async fn start(&self, id: &str) -> Result<(), DriverError> {
        self.call(
            "start container",
            CHANGE,
            self.docker.start_container(id, None::<StartContainerOptions>),
        )
        .await
    }

    async fn stop(&self, id: &str, grace: Option<i64>) -> Result<(), DriverError> {
        let mut options = StopContainerOptionsBuilder::new();
        if let Some(grace) = grace {
            options = options.t(as_i32(grace));
        }
        let seconds = CHANGE + grace_seconds(grace);
        self.call(
            "stop container",
            seconds,
            self.docker.stop_container(id, Some(options.build())),
        )
        .await
    }

    async fn restart(&self, id: &str, grace: Option<i64>) -> Result<(), DriverError> {
        let mut options = RestartContainerOptionsBuilder::new();
        if let Some(grace) = grace {
            options = options.t(as_i32(grace));
        }
        let seconds = CHANGE + grace_seconds(grace);
        self.call(
            "restart container",
            seconds,
            self.docker.restart_container(id, Some(options.build())),
        )
        .await
    }

    async fn kill(&self, id: &str, signal: Option<&str>) -> Result<(), DriverError> {
        let options = KillContainerOptionsBuilder::new()
            .signal(signal.unwrap_or("SIGKILL"))
            .build();
        self.call("kill container", LOOK, self.docker.kill_container(id, Some(options)))
            .await
    }

    async fn pause(&self, id: &str) -> Result<(), DriverError> {
        let paused = self
            .call("pause container", LOOK, self.docker.pause_container(id))
            .await;
        already(
            paused,
            |e| matches!(e, DriverError::Conflict(t) if t.contains("already paused")),
        )
    }

    async fn unpause(&self, id: &str) -> Result<(), DriverError> {
        let thawed = self
            .call("unpause container", LOOK, self.docker.unpause_container(id))
            .await;
        already(
            thawed,
            |e| matches!(e, DriverError::Conflict(t) | DriverError::Failed(t) if t.contains("is not paused")),
        )
    }

    async fn rename(&self, id: &str, name: &str) -> Result<(), DriverError> {
        let options = RenameContainerOptionsBuilder::new().name(name).build();
        self.call("rename container", LOOK, self.docker.rename_container(id, options))
            .await
    }

    async fn update(
        &self,
        id: &str,
        resources: &Resources,
        restart: Option<&RestartPolicy>,
    ) -> Result<(), DriverError> {
        let body = ContainerUpdateBody {
            memory: resources.memory,
            memory_swap: resources.memory.map(|m| m.saturating_mul(2)),
            nano_cpus: resources.cpus.map(config::nano),
            pids_limit: resources.pids,
            restart_policy: restart.map(config::restart).or(None::<DockerRestart>),
            ..ContainerUpdateBody::default()
        };
        self.call("update container", LOOK, self.docker.update_container(id, body))
            .await
            .map(|_| ())
    }

    async fn remove(&self, id: &str) -> Result<(), DriverError> {
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        let removed = self
            .call(
                "remove container",
                CHANGE,
                self.docker.remove_container(id, Some(options)),
            )
            .await;
        already(removed, |e| e.is_not_found() || matches!(e, DriverError::Busy(_)))
    }

    async fn usage(&self) -> Result<Vec<Usage>, DriverError> {
        let filters = HashMap::from([("status".to_owned(), vec!["running".to_owned()])]);
        let options = ListContainersOptionsBuilder::new().filters(&filters).build();
        let list = self
            .call("list containers", LOOK, self.docker.list_containers(Some(options)))
            .await?;
        let each = list
            .into_iter()
            .filter_map(inspect::summary)
            .map(|container| async move {
                let options = StatsOptionsBuilder::new().stream(false).one_shot(true).build();
                let mut stats = self.docker.stats(&container.id, Some(options));
                let first = async { stats.next().await.transpose() };
                match self.call("container stats", LOOK, first).await {
                    Ok(stats) => Ok(stats.map(|s| inspect::usage(&container, &s))),
                    // It has ended since it was listed.
                    Err(DriverError::NotFound(_) | DriverError::Conflict(_)) => Ok(None),
                    Err(error) => Err(error),
                }
            });
        let found = futures_util::stream::iter(each).buffer_unordered(MAX_CONCURRENT_STATS);
        found.try_filter_map(|u| async { Ok(u) }).try_collect().await
    }

    async fn watch(
        &self,
        (key, value): (&str, &str),
        since: Option<i64>,
        tell: &(dyn Fn(ContainerEvent) + Send + Sync),
    ) -> Result<(), DriverError> {
        let filters = HashMap::from([
            ("type".to_owned(), vec!["container".to_owned()]),
            ("label".to_owned(), vec![format!("{key}={value}")]),
        ]);
        let mut options = EventsOptionsBuilder::new().filters(&filters);
        if let Some(since) = since {
            options = options.since(&since.to_string());
        }
        let mut events = self.docker.events(Some(options.build()));
        while let Some(event) = events.next().await {
            match event {
                Ok(message) => inspect::event(message).into_iter().for_each(tell),
                Err(error) => return Err(error::translate(&self.endpoint, "watch events", LOOK, &error)),
            }
        }
        Ok(())
    }

    async fn inspect(&self, id: &str) -> Result<ContainerState, DriverError> {
        let shown = self.call(
            "inspect container",
            LOOK,
            self.docker.inspect_container(id, None::<InspectContainerOptions>),
        );
        Ok(inspect::state(shown.await?))
    }
}

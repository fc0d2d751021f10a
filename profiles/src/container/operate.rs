//! Operations: start, stop, restart, kill, pause, unpause.

use senlin_core::{
    Map,
    profile_type::{Health, Job, Operation, ProfileError, Seen},
    spec::SpecSchema,
    steps::step,
};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    check::health_of,
    find::{find, made},
};

#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct WaitTime {
    /// Number of seconds to wait before killing the container.
    #[schema(minimum = 0)]
    wait_time: Option<i64>,
}

#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct Signal {
    /// Signal to send, such as SIGHUP; KILL if not said.
    signal: Option<String>,
}

/// What users may ask for; 1.0 advertises what Senlin did.
pub(super) fn operations(version: &str) -> Vec<Operation> {
    let operation = |name, description, parameters| Operation {
        name,
        description,
        parameters,
    };
    let mut all = vec![
        operation("pause", "Pause a container.", SpecSchema::empty()),
        operation("restart", "Restart a container.", SpecSchema::of::<WaitTime>()),
        operation("unpause", "Unpause a container.", SpecSchema::empty()),
    ];
    if version != "1.0" {
        all.extend([
            operation("start", "Start a container.", SpecSchema::empty()),
            operation("stop", "Stop a container.", SpecSchema::of::<WaitTime>()),
            operation("kill", "Send a signal to a container.", SpecSchema::of::<Signal>()),
        ]);
    }
    all
}

/// Does it, and answers what is then true.
pub(super) async fn operate(job: &Job<'_>, operation: &str, params: &Map) -> Result<Seen, ProfileError> {
    let ours = find(job).await?;
    let container = ours
        .current()
        .ok_or_else(|| ProfileError::State("The container is gone from its host.".to_owned()))?;
    let id = container.id.as_str();
    let wait = params.get("wait_time").and_then(Value::as_i64);
    let signal = params.get("signal").and_then(Value::as_str);
    let driver = &job.driver;
    step(job.steps, "operate", async {
        match operation {
            "start" => driver.start(id).await?,
            "stop" => driver.stop(id, wait).await?,
            "restart" => driver.restart(id, wait).await?,
            "kill" => driver.kill(id, signal).await?,
            "pause" => driver.pause(id).await?,
            "unpause" => driver.unpause(id).await?,
            other => {
                return Err(ProfileError::Unsupported(format!(
                    "A container has no operation '{other}'."
                )));
            }
        }
        Ok(())
    })
    .await?;
    let health = health_of(&driver.inspect(id).await?);
    // It was asked to end, so its end is no failure.
    let health = match (operation, health) {
        ("stop" | "kill", Health::Exited(why) | Health::Unhealthy(why)) => Health::Suspended(why),
        (_, health) => health,
    };
    Ok(Seen {
        found: Some(made(job, container)),
        ..health.into()
    })
}

//! Started: whether a new container counts. It does when it has run for a while
//! without ending, and its health check, where it has one, passes.

use std::time::Duration;

use senlin_core::{
    driver::{ContainerState, DriverError},
    profile_type::{Health, Job, ProfileError, SpecRules, Started},
    steps::step,
};

use super::{check::health_of, parse::ContainerSpec};

/// Seconds that a container must run for where neither spec nor operator says.
const RUN_FOR: f64 = 2.0;
/// Seconds for its health check to pass where the spec does not say.
const TIMEOUT: f64 = 120.0;
/// Seconds between looks at a health check that has not passed yet, at least and at most.
const BETWEEN: (f64, f64) = (1.0, 10.0);

/// Seconds that a new container must run for.
fn run_for(spec: &ContainerSpec, rules: &SpecRules) -> f64 {
    spec.start.run_for.or(rules.default_run_for).unwrap_or(RUN_FOR)
}

/// Seconds until the first look; 0: it counts as soon as it has started.
pub(super) fn first_look(spec: &ContainerSpec, rules: &SpecRules) -> f64 {
    let least = if spec.health.is_some() { BETWEEN.0 } else { 0.0 };
    run_for(spec, rules).max(least)
}

/// A container that was started `since` seconds ago.
pub(super) async fn look(job: &Job<'_>, spec: &ContainerSpec, id: &str, since: f64) -> Result<Started, ProfileError> {
    let state = match job.driver.inspect(id).await {
        Err(DriverError::NotFound(text)) => {
            return Err(ProfileError::State(format!("The new container went away: {text}")));
        }
        other => other?,
    };
    judge(
        &state,
        since,
        run_for(spec, job.rules),
        spec.start.timeout.unwrap_or(TIMEOUT),
    )
}

/// What its state says after so many seconds.
fn judge(state: &ContainerState, since: f64, run_for: f64, timeout: f64) -> Result<Started, ProfileError> {
    let bad = |why: &str| Err(ProfileError::State(format!("The new container is not well: {why}")));
    match health_of(state) {
        Health::Exited(why)
        | Health::Unhealthy(why)
        | Health::Unresponsive(why)
        | Health::Gone(why)
        | Health::Unknown(why) => bad(&why),
        Health::Healthy if state.restarts > 0 => bad(&format!(
            "its engine had to start it again {} times within {since:.0} s.",
            state.restarts
        )),
        Health::Healthy if state.health.as_deref() == Some("starting") => {
            if since >= timeout {
                return bad(&format!("its health check did not pass within {timeout:.0} s."));
            }
            Ok(Started::NotYet(
                (since / 2.0).clamp(BETWEEN.0, BETWEEN.1).min(timeout - since),
            ))
        }
        // One that says of itself that it is well need not be waited for.
        Health::Healthy if state.health.is_none() && since < run_for => Ok(Started::NotYet(run_for - since)),
        Health::Healthy | Health::Suspended(_) => Ok(Started::Counts),
    }
}

/// Waits in place until a container that has just been started counts: an
/// update, whose old container is there until the new one is well.
pub(super) async fn wait(job: &Job<'_>, spec: &ContainerSpec, id: &str) -> Result<(), ProfileError> {
    let mut since = 0.0;
    while let Started::NotYet(rest) = look(job, spec, id, since).await? {
        let pause = rest.clamp(0.1, BETWEEN.0);
        step(job.steps, "wait until it is well", async {
            job.driver.pause_between_looks(Duration::from_secs_f64(pause)).await;
            Ok::<_, ProfileError>(())
        })
        .await?;
        since += pause;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(status: &str, health: Option<&str>, restarts: i64) -> ContainerState {
        ContainerState {
            id: "c".to_owned(),
            name: "c".to_owned(),
            status: status.to_owned(),
            exit_code: (status == "exited").then_some(3),
            restarts,
            health: health.map(str::to_owned),
            error: (status == "exited").then(|| "no such device".to_owned()),
            labels: std::collections::BTreeMap::new(),
            document: serde_json::Value::Null,
        }
    }

    #[test]
    fn f4_only_what_runs_and_is_healthy_counts() {
        let table = [
            (state("running", None, 0), Ok(Started::Counts)),
            (state("running", Some("healthy"), 0), Ok(Started::Counts)),
            (state("paused", None, 0), Ok(Started::Counts)),
            (state("running", Some("starting"), 0), Ok(Started::NotYet(2.0))),
            (state("exited", None, 0), Err("exited with code 3: no such device")),
            (state("restarting", None, 4), Err("keeps restarting")),
            (state("running", None, 2), Err("start it again 2 times within 4 s")),
            (state("running", Some("unhealthy"), 0), Err("health check fails")),
            (state("created", None, 0), Err("is created")),
        ];
        for (state, expected) in table {
            match (judge(&state, 4.0, 4.0, 10.0), expected) {
                (Ok(seen), Ok(wanted)) => assert_eq!(seen, wanted, "{state:?}"),
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
                (seen, wanted) => panic!("{state:?}: {seen:?}, not {wanted:?}"),
            }
        }
        let early = judge(&state("running", None, 0), 0.5, 2.0, 10.0).unwrap();
        assert_eq!(early, Started::NotYet(1.5));
        let late = judge(&state("running", Some("starting"), 0), 10.0, 2.0, 10.0).unwrap_err();
        assert!(late.to_string().contains("did not pass within 10 s"), "{late}");
    }
}

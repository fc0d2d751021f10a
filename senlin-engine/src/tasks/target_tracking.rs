//! Clusters that hold a measure near a target, and bounds that follow a
//! schedule: the policy decides, an ordinary CLUSTER_RESIZE does it.

use std::{sync::Arc, time::Duration};

use senlin_core::{
    Map, Time,
    action::{
        ActionKind,
        inputs::{self, Resize},
    },
    cluster::Cluster,
};
use senlin_db::{
    bindings::{self, Due},
    clusters, loads, placement, policy_actions,
};
use senlin_policies::{
    size::Bounds,
    types::target_tracking::{Facts, Metric, Prometheus, TargetTracking, Verdict, is_measure},
};
use serde_json::{Value, json};

use super::policy_watch::PolicyWatch;
use crate::{
    Engine,
    failure::Failure,
    outbound::{Ask, OutboundError},
};

/// Looks at targets and schedules.
pub struct TargetTracker;

impl PolicyWatch for TargetTracker {
    const NAME: &'static str = "target_tracking";
    const TYPE: &'static str = "senlin.policy.target_tracking";

    async fn look(engine: &Arc<Engine>, due: &Due) -> Result<(), Failure> {
        look(engine, due).await
    }
}

/// One look at one cluster.
async fn look(engine: &Engine, due: &Due) -> Result<(), Failure> {
    let kind = engine
        .policies
        .find(&due.policy_type)
        .ok_or_else(|| Failure::Refused(format!("This engine does not know {}.", due.policy_type)))?;
    let checked = kind
        .schema()
        .check(&due.properties)
        .map_err(|e| Failure::Refused(e.0))?;
    let policy = TargetTracking::read(&checked).map_err(|e| Failure::Refused(e.0))?;
    let mut conn = engine.db.session();
    let Some(cluster) = clusters::get(&mut conn, due.cluster_id).await? else {
        return Ok(());
    };
    let mut state = due.state.clone();
    let (reason, inputs) = match schedule(&policy, &cluster, due.now) {
        Some(found) => found,
        None => {
            let measure = match measure(engine, &policy, &cluster).await {
                Err(Failure::Refused(why)) => return unmeasured(engine, due, &policy, &why).await,
                other => other?,
            };
            let newest = loads::newest(&mut engine.db.session(), cluster.id).await?;
            let facts = facts(&cluster, &policy, &state, measure, newest, due.now);
            let verdict = policy.decide(&facts);
            record_verdict(&mut state, &facts, &verdict, &policy, due.now);
            let inputs = verdict.size.map(|size| Resize {
                adjustment_type: Some("EXACT_CAPACITY".to_owned()),
                number: Some(f64::from(size)),
                strict: Some(false),
                ..Resize::default()
            });
            (verdict.reason, inputs)
        }
    };
    state.insert("decision".to_owned(), reason.clone().into());
    state.insert("decided_at".to_owned(), json!(due.now));
    let mut conn = engine.db.session();
    if let Some(inputs) = inputs {
        let told = format!("'{}': {reason}", due.policy_name);
        let resize = inputs;
        let inputs = inputs::with_reason(inputs::write(&resize), told);
        match policy_actions::cluster(&mut conn, due.cluster_id, ActionKind::ClusterResize, &inputs).await? {
            Some(action) => {
                tracing::info!(cluster = %due.cluster_id, %action, reason, "a target asks for another size");
                engine.metrics.decided(ActionKind::ClusterResize, "asked");
                acted(&mut state, &resize, &cluster, due.now);
                engine.work.notify_one();
                engine.bus.wake(&[action], "");
            }
            None => {
                let busy = format!("{reason} Something else is being done to the cluster: later.");
                state.insert("decision".to_owned(), busy.into());
            }
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "seconds of an interval fit a double")]
    let interval = policy.interval as f64;
    bindings::reschedule(&mut conn, due.id, due.now, interval, &state).await?;
    Ok(())
}

/// Nothing is done, and why is kept for whoever asks.
async fn unmeasured(engine: &Engine, due: &Due, policy: &TargetTracking, why: &str) -> Result<(), Failure> {
    let mut state = due.state.clone();
    state.remove("known");
    state.insert("decision".to_owned(), format!("The measure is unknown: {why}").into());
    state.insert("decided_at".to_owned(), json!(due.now));
    #[expect(clippy::cast_precision_loss, reason = "seconds of an interval fit a double")]
    let interval = policy.interval as f64;
    let mut conn = engine.db.session();
    Ok(bindings::reschedule(&mut conn, due.id, due.now, interval, &state).await?)
}

/// Bounds that a schedule asks for and the cluster does not have yet.
fn schedule(policy: &TargetTracking, cluster: &Cluster, now: Time) -> Option<(String, Option<Resize>)> {
    let (min, max) = policy.bounds(now);
    let new_min = min.filter(|m| *m != cluster.min_size);
    let new_max = max.filter(|m| *m != cluster.max_size);
    if new_min.is_none() && new_max.is_none() {
        return None;
    }
    let least = new_min.unwrap_or(cluster.min_size);
    let most = new_max.unwrap_or(cluster.max_size);
    let reason = format!("The schedule asks for min_size {least} and max_size {most}.");
    Some((
        reason,
        Some(Resize {
            min_size: new_min,
            max_size: new_max,
            strict: Some(false),
            ..Resize::default()
        }),
    ))
}

/// Looks that may be missed before what was known counts as forgotten.
const MISSED: i64 = 3;

fn facts(
    cluster: &Cluster,
    policy: &TargetTracking,
    state: &Map,
    measure: Option<f64>,
    newest: Option<Time>,
    now: Time,
) -> Facts {
    let time = |key: &str| -> Option<Time> { state.get(key).and_then(Value::as_str).and_then(|t| t.parse().ok()) };
    let bounds = Bounds::of(cluster);
    let gap = chrono::Duration::seconds(policy.interval.max(10).saturating_mul(MISSED));
    let seen = time("decided_at").is_some_and(|at| now - at <= gap);
    Facts {
        size: crate::decisions::size_of(cluster),
        min: bounds.min,
        max: bounds.max,
        limit: bounds.limit,
        measure,
        known: time("known").filter(|_| seen),
        newest,
        grew: time("grew"),
        changed: time("changed"),
        wanted: state
            .get("wanted")
            .cloned()
            .and_then(|w| serde_json::from_value(w).ok())
            .unwrap_or_default(),
        now,
    }
}

/// What was measured and wanted is kept for the next look.
fn record_verdict(state: &mut Map, facts: &Facts, verdict: &Verdict, policy: &TargetTracking, now: Time) {
    let from = now - chrono::Duration::seconds(policy.stabilization_window);
    let mut wanted = facts.wanted.clone();
    wanted.retain(|(at, _)| *at >= from);
    wanted.extend(verdict.wanted.map(|n| (now, n)));
    state.insert("wanted".to_owned(), json!(wanted));
    state.insert("measure".to_owned(), json!(facts.measure));
    match verdict.wanted {
        Some(_) => state.insert("known".to_owned(), json!(facts.known.unwrap_or(now))),
        None => state.remove("known"),
    };
}

fn acted(state: &mut Map, asked: &Resize, cluster: &Cluster, now: Time) {
    if let Some(to) = asked.number {
        if to > f64::from(crate::decisions::size_of(cluster)) {
            state.insert("grew".to_owned(), json!(now));
        }
        state.insert("changed".to_owned(), json!(now));
    }
}

async fn measure(engine: &Engine, policy: &TargetTracking, cluster: &Cluster) -> Result<Option<f64>, Failure> {
    if policy.target.is_none() {
        return Ok(None);
    }
    if policy.metric == Metric::Prometheus {
        return match &policy.prometheus {
            Some(question) => query(engine, question, cluster).await.map(Some),
            None => Ok(None),
        };
    }
    let mut conn = engine.db.session();
    let found = loads::clusters(&mut conn, Some(cluster.id), placement::MEASURE_AGE).await?;
    Ok(found.first().and_then(|load| match policy.metric {
        Metric::Memory => load.memory,
        _ => load.cpu,
    }))
}

/// The one number that a Prometheus server answers.
async fn query(engine: &Engine, question: &Prometheus, cluster: &Cluster) -> Result<f64, Failure> {
    let text = question.query.replace("{cluster_id}", &cluster.id.to_string());
    let encoded: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
    let url = format!("{}/api/v1/query?query={encoded}", question.url.trim_end_matches('/'));
    let ask = Ask {
        url: &url,
        post: None,
        timeout: Duration::from_secs(10),
        verify: true,
        ours: false,
    };
    let refused = |why: &str| Failure::Refused(format!("Prometheus '{}' cannot be asked: {why}", question.url));
    let answer = match engine.web.ask(&ask).await {
        Ok(answer) => answer,
        Err(OutboundError::Blocked(why) | OutboundError::Unreachable(why)) => return Err(refused(&why)),
    };
    number(&answer.body).ok_or_else(|| {
        refused(&format!(
            "status {}, and no single number that a measure can be",
            answer.status
        ))
    })
}

/// `data.result` is one sample, or a scalar: `[time, "value"]`.
fn number(body: &str) -> Option<f64> {
    let body: Value = serde_json::from_str(body).ok()?;
    let result = body.pointer("/data/result")?.as_array()?;
    let pair = match body.pointer("/data/resultType").and_then(Value::as_str)? {
        "scalar" => result.as_slice(),
        _ => match result.as_slice() {
            [only] => only.get("value")?.as_array()?.as_slice(),
            _ => return None,
        },
    };
    pair.get(1)?.as_str()?.parse().ok().filter(|n| is_measure(*n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g18_a_negative_or_infinite_answer_is_none() {
        for odd in ["-1", "NaN", "+Inf", "-Inf", "1e999"] {
            let body = format!(r#"{{"data":{{"resultType":"scalar","result":[1,"{odd}"]}}}}"#);
            assert_eq!(number(&body), None, "{odd}");
        }
    }

    #[test]
    fn one_number_is_an_answer() {
        let vector = |result: &str| {
            format!("{{\"status\":\"success\",\"data\":{{\"resultType\":\"vector\",\"result\":{result}}}}}")
        };
        assert_eq!(number(&vector(r#"[{"metric":{},"value":[1,"2.5"]}]"#)), Some(2.5));
        assert_eq!(number(&vector("[]")), None);
        assert_eq!(number(&vector(r#"[{"value":[1,"1"]},{"value":[1,"2"]}]"#)), None);
        assert_eq!(number(&vector(r#"[{"value":[1,"NaN"]}]"#)), None);
        assert_eq!(
            number(r#"{"data":{"resultType":"scalar","result":[1,"7"]}}"#),
            Some(7.0)
        );
        assert_eq!(number("<html>"), None);
    }
}

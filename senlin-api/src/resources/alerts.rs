//! Deliveries of systems that do not speak Senlin: Prometheus Alertmanager,
//! Grafana, Aodh, and any JSON by a map of its fields. An alert that fires
//! acts; one that is resolved may; repeats within a window act once.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use ring::hmac;
use senlin_core::{Map, action::inputs, receiver::Receiver};
use senlin_db::deliveries::{self as db, Claim};
use serde::Serialize;
use serde_json::{Value, json};
use serde_json_path::JsonPath;

use super::{
    clusters::{self, VERBS},
    record,
};
use crate::{
    error::{ApiError, Result},
    request::Call,
};

mod options;

use options::Fields;
pub(crate) use options::Options;

/// Alerts of one delivery that are looked at.
const MAX_ALERTS: usize = 100;

/// One alert of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Alert {
    group: String,
    name: String,
    state: &'static str,
}

const FIRING: &str = "FIRING";
const RESOLVED: &str = "RESOLVED";
const OTHER: &str = "OTHER";

/// Refuses a delivery that is not signed as the receiver wants it.
fn signed(call: &Call, receiver: &Receiver, options: &Options) -> Result<()> {
    let Some(sealed) = &options.secret else { return Ok(()) };
    let default = if receiver.type_name == "grafana" {
        "X-Grafana-Alerting-Signature"
    } else {
        "X-Signature-256"
    };
    let name = options.signature_header.as_deref().unwrap_or(default);
    let given = call.header(name).unwrap_or_default();
    let given = hex::decode(given.strip_prefix("sha256=").unwrap_or(given)).unwrap_or_default();
    let secret = call
        .api
        .sealer
        .open(sealed)
        .map_err(|e| ApiError::Internal(e.to_string()))?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
    // Compares in constant time.
    hmac::verify(&key, &call.raw, &given).map_err(|_unsigned| ApiError::Forbidden)
}

/// The alerts of a delivery.
fn alerts(kind: &str, options: &Options, body: &Value) -> Result<Vec<Alert>> {
    let found = match kind {
        // Grafana's webhook has Alertmanager's form.
        "alertmanager" | "grafana" => grouped(body),
        _ => mapped(options.fields.clone().unwrap_or_default(), body),
    };
    found.ok_or_else(|| {
        ApiError::BadRequest(format!(
            "The delivery is not one of type '{kind}': its alerts cannot be found."
        ))
    })
}

fn text(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.clone()),
        Value::Null => None,
        other => Some(other.to_string()),
    }
}

/// As much of a name as is kept.
fn short(name: String) -> String {
    name.chars().take(255).collect()
}

fn grouped(body: &Value) -> Option<Vec<Alert>> {
    let group = text(body.get("groupKey")).or_else(|| text(body.get("receiver")))?;
    let list = body.get("alerts")?.as_array()?;
    let alert = |one: &Value| Alert {
        group: group.clone(),
        name: short(text(one.pointer("/labels/alertname")).unwrap_or_else(|| group.clone())),
        state: match one.get("status").and_then(Value::as_str) {
            Some("firing") => FIRING,
            Some("resolved") => RESOLVED,
            _ => OTHER,
        },
    };
    Some(list.iter().take(MAX_ALERTS).map(alert).collect())
}

fn mapped(fields: Fields, body: &Value) -> Option<Vec<Alert>> {
    let at = |path: &str| text(JsonPath::parse(path).ok()?.query(body).first());
    let state = at(&fields.state)?;
    let name = short(at(&fields.name).unwrap_or_else(|| "alert".to_owned()));
    let is = |names: &[String]| names.iter().any(|n| n.eq_ignore_ascii_case(&state));
    Some(vec![Alert {
        group: at(&fields.group).unwrap_or_else(|| name.clone()),
        state: if is(&fields.firing) {
            FIRING
        } else if is(&fields.resolved) {
            RESOLVED
        } else {
            OTHER
        },
        name,
    }])
}

/// What became of one alert, for the sender.
#[derive(Debug, Serialize)]
struct Told {
    alert: String,
    state: &'static str,
    outcome: &'static str,
    reason: String,
    action: Option<String>,
}

/// A delivery: each alert group acts at most once.
pub(super) async fn deliver(call: &mut Call, receiver: &Receiver) -> Result<HttpResponse> {
    let options = Options::kept(receiver);
    signed(call, receiver, &options)?;
    let body = Value::Object(call.body.clone().unwrap_or_default());
    let found = alerts(&receiver.type_name, &options, &body)?;
    let mut groups: BTreeMap<String, Vec<Alert>> = BTreeMap::new();
    for alert in found {
        groups.entry(alert.group.clone()).or_default().push(alert);
    }
    let mut told = Vec::new();
    for (group, alerts) in groups {
        let fires = alerts.iter().any(|a| a.state == FIRING);
        let mut done = false;
        for alert in alerts {
            let one = if alert.state == RESOLVED && fires {
                note(
                    call,
                    receiver,
                    &alert,
                    "IGNORED",
                    "Other alerts of its group still fire.",
                )
                .await?
            } else if done {
                note(
                    call,
                    receiver,
                    &alert,
                    "REPEATED",
                    "Its group has acted with this delivery.",
                )
                .await?
            } else {
                done = true;
                single(call, receiver, &options, &group, &alert).await?
            };
            told.push(one);
        }
    }
    let action = told.iter().find_map(|t| t.action.clone());
    let answer = json!({"action": action, "alerts": told});
    Ok(if action.is_some() {
        HttpResponse::Accepted().json(answer)
    } else {
        HttpResponse::Ok().json(answer)
    })
}

/// Records what became of an alert that does nothing.
async fn note(call: &Call, receiver: &Receiver, alert: &Alert, outcome: &'static str, reason: &str) -> Result<Told> {
    let delivery = db::Noted {
        fingerprint: print(&alert.group, alert.state),
        alert: alert.name.clone(),
        state: alert.state,
    };
    db::note(&mut call.conn(), receiver.id, &delivery, outcome, reason).await?;
    Ok(Told {
        alert: alert.name.clone(),
        state: alert.state,
        outcome,
        reason: reason.to_owned(),
        action: None,
    })
}

fn print(group: &str, state: &str) -> String {
    format!("{state} {group}").chars().take(1000).collect()
}

/// The first alert of a group: it acts, unless it has lately.
async fn single(call: &mut Call, receiver: &Receiver, options: &Options, group: &str, alert: &Alert) -> Result<Told> {
    let wanted = match alert.state {
        FIRING => receiver.action.clone().map(|kind| (kind, receiver.params.clone())),
        RESOLVED => options
            .resolved
            .clone()
            .map(|kind| (kind, options.resolved_params.clone())),
        _ => None,
    };
    let Some((kind, params)) = wanted else {
        let reason = "The receiver does nothing for this state.";
        return note(call, receiver, alert, "IGNORED", reason).await;
    };
    let noted = db::Noted {
        fingerprint: print(group, alert.state),
        alert: alert.name.clone(),
        state: alert.state,
    };
    #[expect(clippy::cast_precision_loss, reason = "seconds of a window fit a double")]
    let window = options.window as f64;
    let claim = db::claim(&mut call.conn(), receiver.id, &noted, window).await?;
    let Claim::Mine(delivery) = claim else {
        let reason = format!("Its group acted within the last {} s.", options.window);
        return note(call, receiver, alert, "REPEATED", &reason).await;
    };
    let (outcome, reason, action) = match act(call, receiver, &kind, params, alert).await {
        Ok(id) => ("ACTED", format!("{kind} was begun."), Some(id)),
        Err(error) if error.is_ours() => {
            // Nobody knows whether it would have acted: the sender may try again.
            db::forget(&mut call.conn(), delivery).await?;
            return Err(error);
        }
        Err(error) => ("REFUSED", error.to_string(), None),
    };
    db::became(&mut call.conn(), delivery, outcome, &reason, action).await?;
    Ok(Told {
        alert: alert.name.clone(),
        state: alert.state,
        outcome,
        reason,
        action: action.map(|id| id.to_string()),
    })
}

async fn act(
    call: &mut Call,
    receiver: &Receiver,
    kind: &str,
    params: Map,
    alert: &Alert,
) -> Result<senlin_core::ids::ActionId> {
    let verb = VERBS.iter().find(|(k, _)| k.as_str() == kind).map(|(_, verb)| *verb);
    let verb = verb.ok_or_else(|| ApiError::NotSupported(format!("A receiver cannot do '{kind}'.")))?;
    let (mut action, name, terms) = clusters::triggered(call, verb, params).await?.into_action(call);
    action.name = format!("webhook_{}", receiver.id.short());
    let reason = format!("Alert '{}' is {}.", alert.name, alert.state.to_lowercase());
    action.inputs = inputs::with_reason(action.inputs, reason);
    let answer = call.started(action.id);
    record(call, &action, &name, terms, answer).await?;
    tracing::info!(receiver = %receiver.id, action = %action.id, alert = alert.name, "an alert acts");
    Ok(action.id)
}

/// `GET /v1/receivers/{id}/deliveries` (1.15): what came in, newest first.
pub async fn list(call: Call) -> Result<HttpResponse> {
    let receiver = super::receivers::find(&call, &call.identity).await?;
    let found = db::list(&mut call.conn(), receiver.id).await?;
    let shown: Vec<Value> = found
        .iter()
        .map(|d| {
            json!({"received_at": senlin_openapi::time(d.received_at), "alert": d.alert, "state": d.state,
            "outcome": d.outcome, "reason": d.reason, "action": d.action, "action_status": d.action_status,
            "action_reason": d.action_reason})
        })
        .collect();
    Ok(call.ok(&json!({"deliveries": shown})))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_are_found_in_each_form() {
        let options = Options::default();
        let body = json!({"groupKey": "g", "status": "firing", "alerts": [
            {"status": "firing", "labels": {"alertname": "Hot"}}, {"status": "resolved", "labels": {}}]});
        let found = alerts("alertmanager", &options, &body).unwrap();
        let told: Vec<_> = found.iter().map(|a| (a.name.as_str(), a.state)).collect();
        assert_eq!(told, [("Hot", FIRING), ("g", RESOLVED)]);
        let aodh = json!({"alarm_id": "a1", "alarm_name": "cpu", "current": "alarm", "previous": "ok"});
        let found = alerts("json", &options, &aodh).unwrap();
        assert_eq!((found[0].group.as_str(), found[0].state), ("a1", FIRING));
        let own = Options {
            fields: Some(Fields {
                name: "$.check".to_owned(),
                group: "$.check".to_owned(),
                state: "$.level".to_owned(),
                firing: vec!["2".to_owned()],
                resolved: vec!["0".to_owned()],
            }),
            ..Options::default()
        };
        for (level, state) in [(2, FIRING), (0, RESOLVED), (1, OTHER)] {
            let found = alerts("json", &own, &json!({"check": "disk", "level": level})).unwrap();
            assert_eq!(found[0].state, state);
        }
        assert!(alerts("alertmanager", &options, &json!({"x": 1})).is_err());
        assert!(alerts("json", &options, &json!({"x": 1})).is_err());
    }
}

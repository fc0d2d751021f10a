//! Receivers: webhooks that metrics systems call.

use actix_web::HttpResponse;
use senlin_core::{Map, Time, action::ActionKind, ids::*, receiver::Receiver, secret::Secret};
use senlin_db::receivers::{self as db, Change};
use senlin_openapi::{
    self as wire,
    bodies::{NewReceiver, ReceiverChange},
    values::{Newer, Object, Text},
    versions,
};
use serde_json::{Value, json};

use super::{
    alerts::Options,
    clusters::{self, VERBS},
};
use crate::{
    error::{ApiError, Result},
    lists::{ListSpec, parse_list},
    request::Call,
};

const LIST: ListSpec = ListSpec {
    filters: &[
        ("name", "name"),
        ("type", "type"),
        ("cluster_id", "cluster_id"),
        ("user", "user_id"),
        ("action", "action"),
    ],
    sort: &[
        ("name", "name"),
        ("type", "type"),
        ("action", "action"),
        ("cluster_id", "cluster_id"),
        ("created_at", "created_at"),
        ("user", "user_id"),
    ],
    own: &[],
    allowed: |key, value| match key {
        "type" => matches!(value, "webhook" | "message" | "alertmanager" | "grafana" | "json"),
        "action" => ActionKind::parse(value).is_some_and(|k| k.is_cluster()),
        _ => true,
    },
    quote: false,
};

/// 256 bits that open a receiver.
fn new_key() -> Secret {
    let halves = [uuid::Uuid::new_v4(), uuid::Uuid::new_v4()];
    Secret::new(halves.map(|h| h.simple().to_string()).concat())
}

fn seal(call: &Call, key: &Secret) -> Result<String> {
    call.api
        .sealer
        .seal(key.expose())
        .map_err(|e| ApiError::Internal(e.to_string()))
}

/// A receiver as its URL works now. Only who may change receivers is shown
/// what opens it.
fn shown(call: &Call, receiver: &Receiver) -> Result<Value> {
    let key = if call.may("receivers:update") {
        call.api
            .sealer
            .open(&receiver.key)
            .map_err(|e| ApiError::Internal(e.to_string()))?
    } else {
        Secret::new("***")
    };
    Ok(shown_with(call, receiver, &key))
}

fn shown_with(call: &Call, receiver: &Receiver, key: &Secret) -> Value {
    let mut query: Vec<(String, String)> = vec![("V".to_owned(), "2".to_owned())];
    for (name, value) in &receiver.params {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        query.push((name.clone(), text));
    }
    query.push(("key".to_owned(), key.expose().to_owned()));
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(query)
        .finish();
    let receiver = &Receiver {
        options: Options::shown(&receiver.options),
        ..receiver.clone()
    };
    let url = format!("{}/v1/webhooks/{}/trigger?{query}", call.base(), receiver.id);
    wire::receiver(receiver, &url, call.version)
}

/// `GET /v1/receivers`
pub async fn list(call: Call) -> Result<HttpResponse> {
    let query = parse_list(&call, &LIST)?;
    let found = db::list(&mut call.conn(), &query.scope, &query.filters, &query.page).await?;
    let all: Vec<Value> = found.iter().map(|r| shown(&call, r)).collect::<Result<_>>()?;
    Ok(call.ok(&json!({"receivers": all})))
}

pub(super) async fn find(call: &Call, identity: &str) -> Result<Receiver> {
    db::find(&mut call.conn(), &call.scope(), identity)
        .await?
        .ok_or_else(|| ApiError::NotFound {
            kind: "receiver",
            identity: identity.to_owned(),
        })
}

/// `GET /v1/receivers/{id}`
pub async fn show(call: Call) -> Result<HttpResponse> {
    let receiver = find(&call, &call.identity).await?;
    Ok(call.ok(&json!({"receiver": shown(&call, &receiver)?})))
}

/// The name of an action that a receiver may be for.
fn action(name: Text) -> Result<String> {
    let Text(name) = name;
    match ActionKind::parse(&name) {
        Some(kind) if VERBS.iter().any(|(k, _)| *k == kind) => Ok(name),
        Some(kind) if kind.is_cluster() => Err(ApiError::BadRequest(format!(
            "Action '{name}' cannot be what a receiver is for."
        ))),
        _ => Err(ApiError::BadRequest(format!("Illegal action '{name}' specified."))),
    }
}

/// `expires_at`, since 1.15: a time to come.
fn expiry(call: &Call, field: Option<Newer<Text>>) -> Result<Option<Time>> {
    let Some(Text(text)) = call.newer("expires_at", field, versions::RECEIVER_OPTIONS)? else {
        return Ok(None);
    };
    text.parse().map(Some).map_err(|_source| {
        ApiError::BadRequest(format!(
            "The value '{text}' of 'expires_at' is not a time such as 2027-01-31T00:00:00Z."
        ))
    })
}

/// `options`, since 1.15: how a receiver of alerts behaves.
fn options(call: &Call, field: Option<Newer<Object>>, type_name: &str) -> Result<Option<Map>> {
    let Some(Object(raw)) = call.newer("options", field, versions::RECEIVER_OPTIONS)? else {
        return Ok(None);
    };
    if type_name == "webhook" && !raw.is_empty() {
        return Err(ApiError::BadRequest(
            "Only receivers of type alertmanager, grafana or json have 'options'.".to_owned(),
        ));
    }
    Ok(Some(Options::read(call, raw)?.to_map()))
}

/// `POST /v1/receivers`
pub async fn create(call: Call) -> Result<HttpResponse> {
    let new: NewReceiver = call.envelope("receiver")?;
    let Text(type_name) = new.r#type;
    match type_name.as_str() {
        "webhook" => {}
        "alertmanager" | "grafana" | "json" if call.version >= versions::RECEIVER_OPTIONS => {}
        "message" => {
            return Err(ApiError::BadRequest(
                "Receivers of type 'message' need a Zaqar service, which there is none of; use 'webhook'.".to_owned(),
            ));
        }
        other => return Err(ApiError::BadRequest(format!("Field value {other} is invalid"))),
    }
    let missing = |key: &str| ApiError::BadRequest(format!("The '{key}' is required for a receiver of type webhook."));
    let action = action(new.action.ok_or_else(|| missing("action"))?)?;
    let Text(identity) = new.cluster_id.ok_or_else(|| missing("cluster_id"))?;
    let expires_at = expiry(&call, new.expires_at)?;
    let options = options(&call, new.options, &type_name)?;
    let cluster = clusters::find(&call, &identity).await.map_err(|error| match error {
        ApiError::NotFound { identity, .. } => {
            ApiError::BadRequest(format!("The referenced cluster '{identity}' could not be found."))
        }
        other => other,
    })?;
    if cluster.user != call.caller.user && !call.caller.is_admin {
        return Err(ApiError::Forbidden);
    }
    let key = new_key();
    // An admin's receiver acts as the owner of the cluster, not as an admin.
    let actor = json!({"user_id": cluster.user, "project_id": cluster.project});
    let receiver = Receiver {
        id: ReceiverId::random(),
        name: new.name.0,
        type_name,
        user: call.caller.user.clone(),
        project: call.caller.project.clone(),
        domain: call.caller.domain.clone(),
        cluster_id: Some(cluster.id),
        action: Some(action),
        actor: actor.as_object().cloned().unwrap_or_default(),
        params: new.params.unwrap_or_default().0,
        channel: Map::new(),
        options: options.unwrap_or_default(),
        key: seal(&call, &key)?,
        created_at: cluster.init_at,
        updated_at: None,
        expires_at,
    };
    let key = if call.may("receivers:update") {
        key
    } else {
        Secret::new("***")
    };
    let answer = |made: &Receiver| call.created(json!({"receiver": shown_with(&call, made, &key)}));
    match db::create(&mut call.conn(), &receiver, &call.store_response(&answer)).await {
        Ok(receiver) => Ok(call.answer(&answer(&receiver))),
        Err(error) if error.is_in_use() => Err(ApiError::BadRequest(format!(
            "The referenced cluster '{identity}' could not be found."
        ))),
        Err(error) => Err(error.into()),
    }
}

/// `PATCH /v1/receivers/{id}`
pub async fn update(call: Call) -> Result<HttpResponse> {
    let asked: ReceiverChange = call.envelope("receiver")?;
    let receiver = find(&call, &call.identity).await?;
    let change = Change {
        name: asked.name.map(|n| n.0).filter(|n| *n != receiver.name),
        action: asked
            .action
            .map(action)
            .transpose()?
            .filter(|a| Some(a) != receiver.action.as_ref()),
        params: asked.params.map(|p| p.0).filter(|p| *p != receiver.params),
        key: None,
        options: options(&call, asked.options, &receiver.type_name)?,
        expires_at: expiry(&call, asked.expires_at)?.filter(|t| Some(*t) != receiver.expires_at),
    };
    if change == Change::default() {
        return Err(ApiError::BadRequest("No property needs an update.".to_owned()));
    }
    changed(&call, &receiver, &change).await
}

async fn changed(call: &Call, receiver: &Receiver, change: &Change) -> Result<HttpResponse> {
    db::update(&mut call.conn(), receiver.id, change).await?;
    let receiver = find(call, &receiver.id.to_string()).await?;
    Ok(call.ok(&json!({"receiver": shown(call, &receiver)?})))
}

/// `POST /v1/receivers/{id}/rotate` (1.15): the old URL stops working.
pub async fn rotate(call: Call) -> Result<HttpResponse> {
    let receiver = find(&call, &call.identity).await?;
    let change = Change {
        key: Some(seal(&call, &new_key())?),
        ..Change::default()
    };
    changed(&call, &receiver, &change).await
}

/// `DELETE /v1/receivers/{id}`
pub async fn delete(call: Call) -> Result<HttpResponse> {
    let receiver = find(&call, &call.identity).await?;
    db::delete(&mut call.conn(), receiver.id).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// `POST /v1/receivers/{id}/notify`: for message receivers, of which there are none.
pub async fn notify(call: Call) -> Result<HttpResponse> {
    let receiver = find(&call, &call.identity).await?;
    Err(ApiError::BadRequest(format!(
        "The receiver '{}' is not of type message: nobody can notify it.",
        receiver.name
    )))
}

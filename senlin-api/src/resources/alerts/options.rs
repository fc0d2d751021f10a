//! How a receiver of alerts behaves.

use senlin_core::{Map, receiver::Receiver};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use serde_json_path::JsonPath;

use crate::{
    error::{ApiError, Result},
    request::Call,
    resources::clusters::VERBS,
};

/// How a receiver of alerts behaves; `options` of the receiver.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Options {
    /// Seconds within which repeats of one alert group act once.
    pub(super) window: i64,
    /// What a resolved alert does, such as CLUSTER_SCALE_IN; nothing by default.
    pub(super) resolved: Option<String>,
    /// Inputs of that.
    pub(super) resolved_params: Map,
    /// With it a delivery must be signed (HMAC-SHA256 of the body, in hex). Sealed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) secret: Option<String>,
    /// The header with the signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) signature_header: Option<String>,
    /// Where a delivery of type json has what; Aodh's by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fields: Option<Fields>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            window: 300,
            resolved: None,
            resolved_params: Map::new(),
            secret: None,
            signature_header: None,
            fields: None,
        }
    }
}

/// `JSONPath`s into a delivery, and what its states are called.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Fields {
    pub(super) name: String,
    pub(super) group: String,
    pub(super) state: String,
    pub(super) firing: Vec<String>,
    pub(super) resolved: Vec<String>,
}

impl Default for Fields {
    fn default() -> Self {
        let text = str::to_owned;
        Self {
            name: text("$.alarm_name"),
            group: text("$.alarm_id"),
            state: text("$.current"),
            firing: vec![text("alarm")],
            resolved: vec![text("ok")],
        }
    }
}

impl Options {
    /// The options of a request, checked; the secret sealed.
    pub(crate) fn read(call: &Call, raw: Map) -> Result<Self> {
        let refuse = |text: String| Err(ApiError::BadRequest(text));
        let mut options: Self = serde_json::from_value(Value::Object(raw))
            .map_err(|e| ApiError::BadRequest(format!("The receiver's 'options' cannot be understood: {e}")))?;
        if !(0..=86_400).contains(&options.window) {
            return refuse("'options.window' must be from 0 to 86400 seconds.".to_owned());
        }
        if let Some(kind) = &options.resolved
            && !VERBS.iter().any(|(k, _)| k.as_str() == kind)
        {
            return refuse(format!(
                "'options.resolved': '{kind}' cannot be what a receiver is for."
            ));
        }
        for path in options.fields.iter().flat_map(|f| [&f.name, &f.group, &f.state]) {
            if let Err(error) = JsonPath::parse(path) {
                return refuse(format!("'options.fields': '{path}' is no JSONPath: {error}"));
            }
        }
        if let Some(secret) = &options.secret {
            if secret.len() < 8 {
                return refuse("'options.secret' must have at least 8 characters.".to_owned());
            }
            let sealed = call.api.sealer.seal(secret);
            options.secret = Some(sealed.map_err(|e| ApiError::Internal(e.to_string()))?);
        }
        Ok(options)
    }

    /// As they are kept.
    pub(crate) fn to_map(&self) -> Map {
        json!(self).as_object().cloned().unwrap_or_default()
    }

    /// As they are shown: no secret.
    pub(crate) fn shown(kept: &Map) -> Map {
        let mut shown = kept.clone();
        if let Some(secret) = shown.get_mut("secret") {
            *secret = "***".into();
        }
        shown
    }

    pub(super) fn kept(receiver: &Receiver) -> Self {
        serde_json::from_value(Value::Object(receiver.options.clone())).unwrap_or_default()
    }
}

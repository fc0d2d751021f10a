//! What is wrong, and the only place where that becomes HTTP.

use actix_web::{
    HttpResponse, ResponseError,
    http::{StatusCode, header},
};
use senlin_bus::CallError;
use senlin_core::{ids::ActionId, spec::SpecError};
use senlin_db::{DbError, idempotency::Stored};
use senlin_openapi::{Fault, FaultDetail, Microversion};
use senlin_policies::size::SizeError;

use crate::auth::AuthError;

/// Result of every handler.
pub type Result<T, E = ApiError> = std::result::Result<T, E>;

/// What is wrong.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each says itself what it is")]
pub enum ApiError {
    #[error("{0}")]
    BadRequest(String),
    #[error("{0}")]
    InvalidSpec(String),
    #[error("API version '{0}' is not supported on this method.")]
    MethodVersion(Microversion),
    #[error("The requested microversion '{0}' is not one of 1.0 to 1.15.")]
    Version(String),
    #[error(transparent)]
    Auth(#[from] AuthError),
    #[error("Invalid container key.")]
    Unauthorized,
    #[error("You are not authorized to complete this operation.")]
    Forbidden,
    #[error("The {kind} '{identity}' could not be found.")]
    NotFound { kind: &'static str, identity: String },
    #[error("The policy '{policy}' is not found attached to the specified cluster '{cluster}'.")]
    NotAttached { policy: String, cluster: String },
    #[error(
        "The {action} action for cluster {cluster} cannot be processed: policy '{policy}' is in cooldown for another {left} s."
    )]
    Cooldown {
        action: &'static str,
        cluster: String,
        policy: String,
        left: i64,
    },
    #[error("The request was answered before.")]
    Replayed(Box<Stored>),
    #[error("The receiver has expired.")]
    Expired,
    #[error("The receiver is triggered too often; try again later.")]
    TooMany,
    #[error("The path or method is not known.")]
    UnknownPath,
    #[error("{0}")]
    Conflict(String),
    #[error("{action} for {kind} '{identity}' cannot be completed because it is already locked.")]
    Locked {
        action: &'static str,
        kind: &'static str,
        identity: String,
    },
    #[error("The {kind} '{identity}' is in status {status}.")]
    InProgress {
        kind: &'static str,
        identity: String,
        status: String,
    },
    #[error("The action that is requested conflicts with action {with} on '{target}', which has not ended.")]
    ActionConflict { target: String, with: ActionId },
    #[error("The action '{id}' is in status {status}; it cannot be cancelled any more.")]
    Immutable { id: String, status: String },
    #[error("The {kind} '{identity}' cannot be deleted: {reason}.")]
    InUse {
        kind: &'static str,
        identity: String,
        reason: String,
    },
    #[error("{0}")]
    NotSupported(String),
    #[error("Quota exceeded for resources: {0}")]
    OverQuota(String),
    #[error("The body of the request is larger than {0} bytes.")]
    TooLarge(usize),
    #[error("{message}")]
    Engine { status: u16, message: String },
    #[error(transparent)]
    NoAnswer(#[from] CallError),
    #[error(transparent)]
    Db(#[from] DbError),
    #[error("{0}")]
    Internal(String),
}

impl From<SpecError> for ApiError {
    fn from(error: SpecError) -> Self {
        Self::InvalidSpec(error.0)
    }
}

impl From<SizeError> for ApiError {
    fn from(error: SizeError) -> Self {
        Self::BadRequest(error.to_string())
    }
}

impl ApiError {
    /// The status and Senlin's name for it. Exhaustive: a new error does not
    /// compile until somebody decides.
    fn answer(&self) -> (u16, &'static str) {
        match self {
            Self::BadRequest(_) => (400, "HTTPBadRequest"),
            Self::InvalidSpec(_) => (400, "InvalidSpec"),
            Self::MethodVersion(_) => (400, "MethodVersionNotFound"),
            Self::Version(_) => (406, "InvalidGlobalAPIVersion"),
            Self::Auth(AuthError::Denied) | Self::Unauthorized => (401, "Unauthorized"),
            Self::Auth(AuthError::Scope(_)) | Self::Expired => (403, "Forbidden"),
            Self::Auth(AuthError::Unavailable) => (503, "ServiceUnavailable"),
            Self::NotAttached { .. } => (404, "PolicyBindingNotFound"),
            Self::Cooldown { .. } => (409, "ActionCooldown"),
            Self::TooMany => (429, "TooManyRequests"),
            Self::Replayed(stored) => (stored.status, "Replayed"),
            Self::Forbidden => (403, "Forbidden"),
            Self::NotFound { .. } => (404, "ResourceNotFound"),
            Self::UnknownPath => (404, "HTTPNotFound"),
            Self::Conflict(_) => (409, "Conflict"),
            Self::Locked { .. } => (409, "ResourceIsLocked"),
            Self::InProgress { .. } => (409, "ActionInProgress"),
            Self::ActionConflict { .. } => (409, "ActionConflict"),
            Self::Immutable { .. } => (409, "ActionImmutable"),
            Self::InUse { .. } => (409, "ResourceInUse"),
            Self::NotSupported(_) => (409, "FeatureNotSupported"),
            Self::OverQuota(_) => (403, "OverQuota"),
            Self::TooLarge(_) => (400, "RequestLimitExceeded"),
            Self::Engine { status, .. } => (*status, "EngineFault"),
            Self::NoAnswer(CallError::NoEngine | CallError::TimedOut(_) | CallError::Unavailable) => {
                (503, "ServiceUnavailable")
            }
            Self::Db(error) => match error {
                DbError::KeyLost => (409, "Conflict"),
                DbError::MultipleChoices(_) => (400, "MultipleChoices"),
                DbError::Unavailable(_) => (503, "ServiceUnavailable"),
                DbError::Query(_) if error.is_transient() => (503, "ServiceUnavailable"),
                DbError::Query(_) | DbError::LeaseLost | DbError::Corrupt { .. } | DbError::Migration(_) => {
                    (500, "InternalError")
                }
            },
            Self::Internal(_) => (500, "InternalError"),
        }
    }

    /// Whether it is our trouble, and not what was asked for.
    pub(crate) fn is_ours(&self) -> bool {
        self.answer().0 >= 500
    }

    /// The fault as clients get it; nothing of our insides.
    fn fault(&self) -> Fault {
        let (code, kind) = self.answer();
        let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let message = match code {
            500 => "The server has met with an unexpected condition; its log has the details.".to_owned(),
            503 if matches!(self, Self::Db(_)) => "The database cannot be reached; try again later.".to_owned(),
            503 => format!("{self}; try again later."),
            _ => self.to_string(),
        };
        Fault {
            code,
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            explanation: explanation(code).to_owned(),
            error: FaultDetail {
                code,
                message,
                kind: kind.to_owned(),
            },
        }
    }
}

fn explanation(code: u16) -> &'static str {
    match code {
        400 => "The server could not comply with the request since it is either malformed or otherwise incorrect.",
        401 => "This server could not verify that you are authorized to access what you requested.",
        403 => "Access was denied to this resource.",
        404 => "The resource could not be found.",
        406 => "The requested version is not supported.",
        429 => "There are too many requests.",
        409 => "There was a conflict when trying to complete your request.",
        503 => "The service is not available just now.",
        _ => "The server has met with an unexpected condition.",
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.answer().0).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        if let Self::Replayed(stored) = self {
            let mut response = HttpResponse::build(self.status_code());
            response.insert_header(("Idempotency-Replayed", "true"));
            if let Some(location) = &stored.location {
                response.insert_header((header::LOCATION, location.as_str()));
            }
            return response.json(&stored.body);
        }
        let code = self.answer().0;
        if code == 500 {
            tracing::error!(error = %chain(self), "internal error");
        } else if code == 503 {
            tracing::warn!(error = %chain(self), "unavailable");
        }
        let mut response = HttpResponse::build(self.status_code());
        if code == 503 || code == 429 {
            response.insert_header(("Retry-After", "5"));
        }
        response.json(self.fault())
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

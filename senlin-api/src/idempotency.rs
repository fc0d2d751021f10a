//! `Idempotency-Key`: who may carry a request out.

use actix_web::{HttpMessage, HttpRequest};
use senlin_core::caller::Caller;
use senlin_db::idempotency::{self, Begun, Claim};
use senlin_openapi::Microversion;
use sha2::{Digest, Sha256};

use crate::{
    error::{ApiError, Result},
    state::Api,
};

/// With an `Idempotency-Key` a request is carried out once: the same one of the
/// same caller again gets the first answer, another one is refused. The
/// operation's rule was asked before, each time.
pub(crate) async fn check_idempotency(
    api: &Api,
    request: &HttpRequest,
    caller: &Caller,
    version: Microversion,
    bytes: &[u8],
) -> Result<Option<Claim>> {
    let Some(header) = request.headers().get("idempotency-key") else {
        return Ok(None);
    };
    let key = header.to_str().unwrap_or_default().trim();
    if key.is_empty() || key.len() > 255 {
        return Err(ApiError::BadRequest(
            "The header Idempotency-Key must have 1 to 255 characters of ASCII.".to_owned(),
        ));
    }
    let mut hasher = Sha256::new();
    for part in [
        request.uri().to_string().as_bytes(),
        version.to_string().as_bytes(),
        bytes,
    ] {
        hasher.update(part.len().to_le_bytes());
        hasher.update(part);
    }
    let fingerprint = hex::encode(hasher.finalize());
    let claim = Claim {
        project: caller.project.clone(),
        user: caller.user.clone(),
        key: key.to_owned(),
        token: uuid::Uuid::new_v4(),
        sealer: api.sealer.clone(),
    };
    match idempotency::begin(&mut api.db.session(), &claim, &fingerprint).await? {
        Begun::New => {
            request.extensions_mut().insert(claim.clone());
            Ok(Some(claim))
        }
        Begun::Answered(stored) => Err(ApiError::Replayed(Box::new(stored))),
        Begun::Unanswered => Err(ApiError::Conflict(format!(
            "A request with the Idempotency-Key '{key}' is under way, or was cut off before it did anything: send \
             it again in a minute."
        ))),
        Begun::Other => Err(ApiError::Conflict(format!(
            "The Idempotency-Key '{key}' was used for another request."
        ))),
    }
}

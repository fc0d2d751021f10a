//! The cluster that a request is about.

use senlin_core::cluster::Cluster;
use senlin_db::clusters as db;

use crate::{
    error::{ApiError, Result},
    request::Call,
};

/// The cluster that an identity means.
pub(crate) async fn find(call: &Call, identity: &str) -> Result<Cluster> {
    db::find(&mut call.conn(), &call.scope(), identity)
        .await?
        .ok_or_else(|| ApiError::NotFound {
            kind: "cluster",
            identity: identity.to_owned(),
        })
}

//! Policies that are looked at now and then, each cluster when it is due.

use std::{future::Future, marker::PhantomData, sync::Arc, time::Duration};

use senlin_db::{
    DbError,
    bindings::{self, Due},
};

use super::runner::{Scope, Task};
use crate::{Engine, Settings, failure::Failure};

/// Seconds after which another engine takes on a look that was begun.
const HOLD: f64 = 20.0;
/// Clusters that one engine looks at at once for a policy of one type.
const MAX_CONCURRENT_LOOKS: i64 = 32;

/// What a policy of one type has engines do unasked.
pub trait PolicyWatch: Send + Sync + 'static {
    /// As [`Task::NAME`].
    const NAME: &'static str;
    /// The policy type.
    const TYPE: &'static str;

    /// One look at one cluster; says itself when the next is due.
    fn look(engine: &Arc<Engine>, due: &Due) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// The task of such a policy.
pub struct Watching<P>(PhantomData<P>);

impl<P: PolicyWatch> Task for Watching<P> {
    type Item = Due;
    const NAME: &'static str = P::NAME;

    fn period(_: &Settings) -> Option<Duration> {
        Some(Duration::from_secs(1))
    }

    async fn due(engine: &Arc<Engine>, scope: Scope) -> Result<Vec<Due>, DbError> {
        let most = scope.limit(MAX_CONCURRENT_LOOKS);
        bindings::due(&mut engine.db.session(), P::TYPE, scope.every(HOLD), most).await
    }

    async fn run_one(engine: &Arc<Engine>, due: Due) -> Result<(), Failure> {
        P::look(engine, &due).await
    }

    fn about(due: &Due) -> String {
        format!("cluster {}", due.cluster_id)
    }
}

//! What engines do unasked, each run by the one [`runner`].

use senlin_db::{
    DbError,
    bindings::{self, Due},
};

use crate::Engine;

mod collector;
pub mod departed;
pub mod fleet;
pub mod health;
pub mod heartbeat;
pub mod hooks;
pub mod load;
pub mod rebalance;
pub mod retention;
pub mod runner;
pub mod target_tracking;

/// Seconds after which another engine takes on a look at a cluster that was begun.
const HOLD: f64 = 20.0;
/// Clusters that one engine looks at at once for a policy of one type.
const MAX_CONCURRENT_LOOKS: i64 = 32;

/// Takes on clusters whose policy of this type is due.
async fn due_policies(engine: &Engine, policy_type: &str, scope: runner::Scope) -> Result<Vec<Due>, DbError> {
    let most = scope.limit(MAX_CONCURRENT_LOOKS);
    bindings::due(&mut engine.db.session(), policy_type, scope.every(HOLD), most).await
}

//! Named steps: where a multi-step operation can be stopped, failed or crashed.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
};

/// Why a step was not taken, or its outcome must be forgotten.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Interrupt {
    /// A user asked for the end of the action.
    #[error("cancelled")]
    Cancelled,
    /// Its time is up.
    #[error("timed out")]
    TimedOut,
    /// Another engine may own the action by now: touch nothing more.
    #[error("the lease is lost")]
    LeaseLost,
    /// A test says that this step fails.
    #[error("injected failure at step '{0}'")]
    Injected(&'static str),
}

/// Asked before and after each effect on the world outside the database.
#[async_trait::async_trait]
pub trait Steps: Send + Sync {
    /// May the step be taken?
    async fn before(&self, name: &'static str) -> Result<(), Interrupt>;
    /// The effect has happened; may the work go on?
    async fn after(&self, name: &'static str) -> Result<(), Interrupt>;
    /// Resolves when an effect under way must be let go: what became of it is
    /// then unknown, and found out by label.
    async fn stopped(&self) -> Interrupt {
        std::future::pending().await
    }
}

/// Takes one step: asks, acts, asks again.
///
/// # Errors
/// The interrupt, or the effect's own error.
pub async fn step<T, E>(
    steps: &dyn Steps,
    name: &'static str,
    effect: impl Future<Output = Result<T, E>> + Send,
) -> Result<T, E>
where
    E: From<Interrupt>,
{
    steps.before(name).await?;
    let value = {
        let mut effect = pin!(effect);
        let mut stopped = pin!(steps.stopped());
        poll_fn(|cx| match effect.as_mut().poll(cx) {
            Poll::Ready(outcome) => Poll::Ready(outcome),
            Poll::Pending => stopped.as_mut().poll(cx).map(|interrupt| Err(interrupt.into())),
        })
        .await?
    };
    steps.after(name).await?;
    Ok(value)
}

/// Steps that never interrupt: for work outside an action.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unhindered;

#[async_trait::async_trait]
impl Steps for Unhindered {
    async fn before(&self, _: &'static str) -> Result<(), Interrupt> {
        Ok(())
    }
    async fn after(&self, _: &'static str) -> Result<(), Interrupt> {
        Ok(())
    }
}

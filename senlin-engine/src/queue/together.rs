//! Statements of many workers as one: while one runs, the next callers gather.

use std::{
    mem,
    sync::{Mutex, PoisonError},
};

use senlin_db::{Db, DbError, Result};
use tokio::sync::{Mutex as Turn, oneshot};
use tokio_util::sync::CancellationToken;

use crate::failure;

/// Most calls that one statement carries out.
const MAX_CALLS: usize = 64;

/// A read or a write that one statement can do for many.
pub(crate) trait Call: Clone + Send + Sync {
    /// What it answers.
    type Answer: Send;

    /// Carries one out by itself.
    fn alone(&self, db: &Db) -> impl Future<Output = Result<Self::Answer>> + Send;

    /// Carries many out, in one statement. Returns their answers in order, none
    /// for one that it left out.
    fn all(db: &Db, calls: &[Self]) -> impl Future<Output = Result<Vec<Option<Self::Answer>>>> + Send;
}

/// What a statement for many comes to for one.
enum Said<A> {
    Done(A),
    NotReached,
}

type Gathered<C> = Vec<(C, oneshot::Sender<Said<<C as Call>::Answer>>)>;

/// Calls that wait to be carried out together. There is no delay: the first
/// caller begins at once, and whoever comes meanwhile is in the next statement.
///
/// No caller depends on another: one whose statement was refused, or left it
/// out, carries its call out by itself; so does one whose connection broke.
/// A database that does not answer fails them all.
pub(crate) struct Together<C: Call> {
    gathered: Mutex<Gathered<C>>,
    turn: Turn<()>,
}

impl<C: Call> Default for Together<C> {
    fn default() -> Self {
        Self {
            gathered: Mutex::default(),
            turn: Turn::default(),
        }
    }
}

impl<C: Call> Together<C> {
    /// Carries `call` out, with others if there are any. One that waits for
    /// others does not go on waiting once it is told to `leave`.
    ///
    /// # Errors
    /// Those of [`Call::alone`]; [`DbError::LeaseLost`] for one that left.
    pub(crate) async fn call(&self, db: &Db, call: C, leave: &CancellationToken) -> Result<C::Answer> {
        match self.join(db, call.clone(), leave).await? {
            Some(Said::Done(answer)) => Ok(answer),
            Some(Said::NotReached) => Err(DbError::Unavailable("the statement for many got no answer".into())),
            None => call.alone(db).await,
        }
    }

    async fn join(&self, db: &Db, call: C, leave: &CancellationToken) -> Result<Option<Said<C::Answer>>> {
        let (tell, mut told) = oneshot::channel();
        self.gather().push((call, tell));
        loop {
            let turn = tokio::select! {
                biased;
                answer = &mut told => return Ok(answer.ok()),
                () = leave.cancelled() => return Err(DbError::LeaseLost),
                turn = self.turn.lock() => turn,
            };
            // Its own call may have been carried out just now, or be beyond these.
            self.carry_out(db).await;
            drop(turn);
        }
    }

    /// Carries out the first of those that wait still.
    async fn carry_out(&self, db: &Db) {
        let (calls, callers): (Vec<C>, Vec<_>) = {
            let mut gathered = self.gather();
            gathered.retain(|(_, caller)| !caller.is_closed());
            let rest = gathered.len().min(MAX_CALLS);
            let rest = gathered.split_off(rest);
            mem::replace(&mut *gathered, rest).into_iter().unzip()
        };
        if calls.is_empty() {
            return;
        }
        match C::all(db, &calls).await {
            Ok(answers) => {
                for (caller, answer) in callers.into_iter().zip(answers) {
                    if let Some(answer) = answer {
                        // Fails for one that does not wait any more.
                        let _ = caller.send(Said::Done(answer));
                    }
                }
            }
            Err(error) => {
                let (calls, chain) = (calls.len(), failure::chain(&error));
                // Of no one action.
                tracing::warn!(parent: None, calls, error = %chain, "a statement for many failed");
                if matches!(error, DbError::Unavailable(_)) {
                    for caller in callers {
                        let _ = caller.send(Said::NotReached);
                    }
                }
            }
        }
    }

    fn gather(&self) -> std::sync::MutexGuard<'_, Gathered<C>> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;

//! The time before a program can work: it waits for what it needs, says so
//! once for each reason, and tells /readyz meanwhile.

use std::{
    fmt::Display,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

/// Seconds between two looks.
const AGAIN: Duration = Duration::from_secs(1);

/// Why a program cannot work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hold {
    /// It may pass.
    Passing(String),
    /// It will not pass by itself.
    Lasting(String),
}

/// The program must end; the text says why.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Hopeless(pub String);

/// What a program waits for. Clones share it.
#[derive(Clone)]
pub struct Waiting(Arc<Mutex<Option<String>>>);

impl Default for Waiting {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Some("starting".to_owned()))))
    }
}

impl Waiting {
    /// What is waited for; none when the program works.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, reason: Option<String>) -> bool {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = *now != reason;
        *now = reason;
        changed
    }

    /// Asks again and again until nothing holds the program back, for as long
    /// as it takes. False: `stop` came first.
    ///
    /// # Errors
    /// [`Hopeless`] for what will not pass.
    pub async fn for_all<F>(
        &self,
        what: impl Display,
        mut ask: impl FnMut() -> F,
        stop: &CancellationToken,
    ) -> Result<bool, Hopeless>
    where
        F: Future<Output = Result<(), Hold>>,
    {
        let mut waited = false;
        loop {
            let answer = tokio::select! {
                () = stop.cancelled() => return Ok(false),
                answer = ask() => answer,
            };
            match answer {
                Ok(()) => {
                    if waited {
                        tracing::info!("{what} is there");
                    }
                    self.set(None);
                    return Ok(true);
                }
                Err(Hold::Lasting(why)) => return Err(Hopeless(format!("{what}: {why}"))),
                Err(Hold::Passing(why)) => {
                    waited = true;
                    if self.set(Some(format!("waiting for {what}: {why}"))) {
                        tracing::warn!(%why, "waiting for {what}");
                    }
                }
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(false),
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn it_waits_until_nothing_holds_it_back() {
        let (waiting, asked) = (Waiting::default(), AtomicUsize::new(0));
        assert_eq!(waiting.reason().unwrap(), "starting");
        let ask = || async {
            match asked.fetch_add(1, Ordering::SeqCst) {
                0 => Err(Hold::Passing("no answer".to_owned())),
                _ => {
                    assert_eq!(waiting.reason().unwrap(), "waiting for the database: no answer");
                    Ok(())
                }
            }
        };
        let done = waiting.for_all("the database", ask, &CancellationToken::new()).await;
        assert!(done.unwrap());
        assert_eq!((waiting.reason(), asked.load(Ordering::SeqCst)), (None, 2));
    }

    #[tokio::test]
    async fn a_stop_ends_the_wait_also_while_it_asks() {
        let stop = CancellationToken::new();
        let (told, waiting) = (stop.clone(), Waiting::default());
        let ask = || async {
            told.cancel();
            std::future::pending().await
        };
        assert!(!waiting.for_all("the database", ask, &stop).await.unwrap());
    }

    #[tokio::test]
    async fn what_will_not_pass_ends_it() {
        let ask = || async { Err(Hold::Lasting("no such database".to_owned())) };
        let waiting = Waiting::default();
        let error = waiting.for_all("the database", ask, &CancellationToken::new()).await;
        assert_eq!(error.unwrap_err().to_string(), "the database: no such database");
    }
}

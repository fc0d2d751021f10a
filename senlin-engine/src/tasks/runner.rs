//! One runner for everything that engines do unasked: it owns the timer, the
//! end, what is logged of a failure and the metrics.

use std::{
    future::Future,
    marker::PhantomData,
    sync::Arc,
    time::{Duration, Instant},
};

use rand::Rng;
use senlin_db::DbError;
use tokio::time::sleep;

use crate::{
    Engine, Settings,
    failure::{self, Failure},
};

/// Periods vary by this share, so that engines that started together do not
/// ask the database together.
const JITTER: f64 = 0.05;

/// What is taken on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// What is due, as much as one engine does at once.
    Due,
    /// Everything that is due, and again at once: for tests.
    All,
}

impl Scope {
    /// How many are taken on, where `usual` at once is what an engine does.
    #[must_use]
    pub fn limit(self, usual: i64) -> i64 {
        match self {
            Self::Due => usual,
            Self::All => 10_000,
        }
    }

    /// Seconds until what is taken on now is due again.
    #[must_use]
    pub fn every(self, usual: f64) -> f64 {
        match self {
            Self::Due => usual,
            Self::All => 0.0,
        }
    }
}

/// What an engine does again and again.
pub trait Task: Send + Sync + 'static {
    /// What one run is about: a host, a cluster, or nothing in particular.
    type Item: Send + 'static;

    /// Its name in logs and metrics.
    const NAME: &'static str;

    /// Whether one run ends before the next may begin.
    const ALONE: bool = false;

    /// Whether a run that fails is part of an ordinary day, as a look at a host
    /// that does not answer is.
    const MAY_FAIL: bool = false;

    /// Time between two looks for what is due; none: it is not done.
    fn period(settings: &Settings) -> Option<Duration>;

    /// Takes on what is due, so that no other engine does.
    fn due(engine: &Arc<Engine>, scope: Scope) -> impl Future<Output = Result<Vec<Self::Item>, DbError>> + Send;

    /// Does it for one.
    fn run_one(engine: &Arc<Engine>, item: Self::Item) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Which one, for the log.
    fn about(_item: &Self::Item) -> String {
        String::new()
    }
}

/// What is done as a whole each time, one run after the other.
pub trait Chore: Send + Sync + 'static {
    /// As [`Task::NAME`].
    const NAME: &'static str;

    /// As [`Task::MAY_FAIL`].
    const MAY_FAIL: bool = false;

    /// As [`Task::period`].
    fn period(settings: &Settings) -> Option<Duration>;

    /// Does it.
    fn run(engine: &Arc<Engine>) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// The task of a chore: it is always due.
pub(crate) struct Whole<C>(PhantomData<C>);

impl<C: Chore> Task for Whole<C> {
    type Item = ();
    const NAME: &'static str = C::NAME;
    const ALONE: bool = true;
    const MAY_FAIL: bool = C::MAY_FAIL;

    fn period(settings: &Settings) -> Option<Duration> {
        C::period(settings)
    }

    async fn due(_: &Arc<Engine>, _: Scope) -> Result<Vec<()>, DbError> {
        Ok(vec![()])
    }

    async fn run_one(engine: &Arc<Engine>, (): ()) -> Result<(), Failure> {
        C::run(engine).await
    }
}

/// Does it until the engine stops.
pub(crate) async fn run<T: Task>(engine: Arc<Engine>) {
    let Some(period) = T::period(&engine.settings) else {
        return;
    };
    let mut pause = period.mul_f64(rand::rng().random_range(0.0..JITTER));
    // What a look without anything due is told of: nothing but the look itself.
    let mut unread = true;
    loop {
        tokio::select! {
            () = engine.stop.cancelled() => return,
            () = sleep(pause) => {}
        }
        let begun = Instant::now();
        match T::due(&engine, Scope::Due).await {
            Ok(items) => {
                if unread && items.is_empty() {
                    engine.metrics.task_result(T::NAME, true);
                }
                unread = false;
                for item in items {
                    if T::ALONE {
                        one::<T>(engine.clone(), item).await;
                    } else {
                        engine.tasks.spawn(one::<T>(engine.clone(), item));
                    }
                }
            }
            Err(error) => {
                unread = true;
                engine.metrics.ran_task(T::NAME, begun.elapsed(), false);
                tracing::warn!(task = T::NAME, error = %failure::chain(&error), "what is due could not be read; trying again");
            }
        }
        let varied = period.mul_f64(1.0 + rand::rng().random_range(-JITTER..JITTER));
        pause = varied.saturating_sub(begun.elapsed());
    }
}

async fn one<T: Task>(engine: Arc<Engine>, item: T::Item) {
    let (begun, about) = (Instant::now(), T::about(&item));
    let done = T::run_one(&engine, item).await;
    engine.metrics.ran_task(T::NAME, begun.elapsed(), done.is_ok());
    let Err(failure) = done else { return };
    let error = failure::chain(&failure);
    if T::MAY_FAIL {
        tracing::debug!(task = T::NAME, about, error, "it failed this time");
    } else {
        tracing::warn!(task = T::NAME, about, error, "it failed; trying again");
    }
}

/// Does it once for all there is, and waits for it: how tests drive an engine
/// step by step. Returns how many items there were.
///
/// # Errors
/// As [`Task::due`].
pub async fn run_all<T: Task>(engine: &Arc<Engine>) -> Result<usize, DbError> {
    let items = T::due(engine, Scope::All).await?;
    let count = items.len();
    for item in items {
        one::<T>(engine.clone(), item).await;
    }
    Ok(count)
}

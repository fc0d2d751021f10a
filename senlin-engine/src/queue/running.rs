//! The claims that an engine works on, and how their work is told to stop.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use senlin_db::leases::Claim;
use tokio_util::sync::CancellationToken;

/// How a running action is told to stop.
#[derive(Debug, Clone, Default)]
pub(crate) struct StopSignals {
    /// A user asked for its end.
    pub(crate) cancel: CancellationToken,
    /// It is not ours any more, or the engine stops: touch nothing more.
    pub(crate) abandon: CancellationToken,
}

/// A claim that is worked on.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) signals: StopSignals,
    /// Before the statement that claimed or renewed it was sent: the lease
    /// runs from then on at the earliest.
    since: Instant,
}

/// The claims this engine works on. The same action may be in it twice for a
/// moment: claimed again while the work of an attempt that was lost ends.
#[derive(Debug, Default)]
pub(crate) struct RunningActions(Mutex<HashMap<Claim, Entry>>);

impl RunningActions {
    fn map(&self) -> MutexGuard<'_, HashMap<Claim, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `since`: an instant before the claim was asked for.
    pub(crate) fn insert(&self, claim: Claim, since: Instant) -> StopSignals {
        let signals = StopSignals::default();
        let entry = Entry {
            signals: signals.clone(),
            since,
        };
        self.map().insert(claim, entry);
        signals
    }

    pub(crate) fn remove(&self, claim: Claim) {
        self.map().remove(&claim);
    }

    pub(crate) fn len(&self) -> usize {
        self.map().len()
    }

    pub(super) fn claims(&self, which: impl Fn(&Entry) -> bool) -> Vec<Claim> {
        let map = self.map();
        map.iter().filter(|(_, e)| which(e)).map(|(claim, _)| *claim).collect()
    }

    pub(super) fn cancel(&self, claim: Claim) {
        if let Some(entry) = self.map().get(&claim) {
            entry.signals.cancel.cancel();
        }
    }

    pub(super) fn renewed(&self, claim: Claim, since: Instant) {
        if let Some(entry) = self.map().get_mut(&claim) {
            entry.since = since;
        }
    }

    pub(super) fn abandon(&self, claim: Claim) {
        if let Some(entry) = self.map().get(&claim) {
            entry.signals.abandon.cancel();
        }
    }

    pub(crate) fn abandon_all(&self) {
        for entry in self.map().values() {
            entry.signals.abandon.cancel();
        }
    }

    /// Stops the work on every claim that was not renewed for `limit`; returns
    /// how many that were.
    pub(super) fn abandon_expired(&self, limit: Duration) -> usize {
        let map = self.map();
        let expired = map
            .values()
            .filter(|e| e.since.elapsed() > limit && !e.signals.abandon.is_cancelled());
        expired.map(|e| e.signals.abandon.cancel()).count()
    }
}

//! Calls that need no token are counted, and bounded.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use uuid::Uuid;

/// How often each receiver was called, or node has reported, at this server.
#[derive(Default)]
pub(crate) struct RateLimiter(Mutex<HashMap<Uuid, (f64, Instant)>>);

/// Receivers that are kept count of at most.
const MAX_COUNTED_RECEIVERS: usize = 10_000;

impl RateLimiter {
    /// Whether one call more is within `per_minute`, which may come all at once.
    pub(crate) fn allow(&self, receiver: Uuid, per_minute: u32) -> bool {
        let most = f64::from(per_minute);
        let now = Instant::now();
        let left = |(left, at): (f64, Instant)| (left + now.duration_since(at).as_secs_f64() * most / 60.0).min(most);
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if map.len() >= MAX_COUNTED_RECEIVERS {
            // One that would be full again needs no entry.
            map.retain(|_, entry| left(*entry) < most);
        }
        let have = map.get(&receiver).map_or(most, |entry| left(*entry));
        let allowed = have >= 1.0;
        map.insert(receiver, (if allowed { have - 1.0 } else { have }, now));
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_through_and_then_no_more() {
        let rate_limiter = RateLimiter::default();
        let (one, other) = (Uuid::new_v4(), Uuid::new_v4());
        let through = (0..10).filter(|_| rate_limiter.allow(one, 5)).count();
        assert_eq!(through, 5);
        assert!(rate_limiter.allow(other, 5), "each has its own");
    }
}

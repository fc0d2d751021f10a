//! How hosts that fit are compared: the least score wins, first difference
//! decides. A measured-load score slots in as one more field, before `chance`.

use senlin_core::placement::{HostSnapshot, Strategy};

use crate::chance::Chance;

/// A host's score; less is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Score {
    /// Containers of the same cluster: spread apart first.
    siblings: i64,
    /// Containers of ours: then even out.
    containers: i64,
    /// Then by chance.
    chance: u64,
}

/// The score of a host.
#[must_use]
pub fn of(host: &HostSnapshot, strategy: Strategy, seed: u64) -> Score {
    let (high, low) = host.id.0.as_u64_pair();
    let chance = Chance::new(seed ^ high ^ low.rotate_left(32)).next();
    match strategy {
        Strategy::Spread => Score {
            siblings: host.siblings,
            containers: host.containers,
            chance,
        },
        Strategy::Random => Score {
            siblings: 0,
            containers: 0,
            chance,
        },
    }
}

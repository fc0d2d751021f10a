//! One type per kind of id, so that a node's id cannot be passed as a cluster's.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new random id.
            #[must_use]
            pub fn random() -> Self {
                Self(Uuid::new_v4())
            }
            /// The first eight characters: Senlin's short form in names and events.
            #[must_use]
            pub fn short(&self) -> String {
                let mut text = self.0.to_string();
                text.truncate(8);
                text
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    )*};
}

ids! {
    /// A profile.
    ProfileId,
    /// A cluster.
    ClusterId,
    /// A node: a container or a host.
    NodeId,
    /// A policy.
    PolicyId,
    /// A policy attached to a cluster.
    BindingId,
    /// An action.
    ActionId,
    /// An event.
    EventId,
    /// A receiver.
    ReceiverId,
    /// A running process (API or engine).
    ServiceId,
}

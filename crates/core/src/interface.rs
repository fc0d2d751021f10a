//! The in-container interface: what a container's process proves itself with.
//!
//! A key is the node's id and generation, sealed: it cannot be made without
//! the control plane's own key, it needs no row, and it ends with the
//! container it was made for.

use crate::{ids::NodeId, seal::Sealer, secret::Secret};

/// Variable with the URL of `/v1/self`.
pub const URL: &str = "SENLIN_SELF_URL";
/// Variable with the key, to be sent as `Authorization: Bearer …`.
pub const KEY: &str = "SENLIN_SELF_KEY";

/// What is sealed is for this and nothing else.
const PURPOSE: &str = "self";

/// What puts the interface into a container.
#[derive(Debug, Clone, Copy)]
pub struct Interface<'a> {
    /// Where containers reach the API.
    pub url: &'a str,
    /// Makes the key.
    pub sealer: &'a Sealer,
}

impl Interface<'_> {
    /// The variables for a node's container of that generation.
    #[must_use]
    pub fn environment(&self, node: NodeId, generation: i32) -> Vec<(String, Secret)> {
        let Ok(key) = self.sealer.seal(&format!("{PURPOSE} {node} {generation}")) else {
            return Vec::new();
        };
        let url = format!("{}/v1/self", self.url.trim_end_matches('/').trim_end_matches("/v1"));
        vec![(URL.to_owned(), Secret::new(url)), (KEY.to_owned(), Secret::new(key))]
    }
}

/// The node and generation that a key is for; none when it is not ours.
#[must_use]
pub fn open(sealer: &Sealer, key: &str) -> Option<(NodeId, i32)> {
    let opened = sealer.open(key).ok()?;
    let mut parts = opened.expose().split(' ');
    if parts.next() != Some(PURPOSE) {
        return None;
    }
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_for_one_node_and_generation() {
        let sealer = Sealer::new(&Sealer::generate_key()).unwrap();
        let node = NodeId::random();
        let interface = Interface {
            url: "http://10.0.0.1:8777/",
            sealer: &sealer,
        };
        let environment = interface.environment(node, 3);
        assert_eq!(environment[0].1.expose(), "http://10.0.0.1:8777/v1/self");
        assert_eq!(open(&sealer, environment[1].1.expose()), Some((node, 3)));
        let other = Sealer::new(&Sealer::generate_key()).unwrap();
        assert_eq!(open(&other, environment[1].1.expose()), None);
        // A secret of a spec is sealed with the same key, and opens nothing.
        let secret = sealer.seal(&format!("{node} 3")).unwrap();
        assert_eq!(open(&sealer, &secret), None);
    }
}

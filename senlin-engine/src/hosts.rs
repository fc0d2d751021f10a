//! Connections to hosts, and the profiles that say how to reach them.

pub mod connections;
pub mod profile_cache;

/// The host of an endpoint such as `tcp://10.0.0.1:2376`.
pub(crate) fn address(endpoint: &str) -> String {
    let rest = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let authority = authority.rsplit('@').next().unwrap_or_default();
    match authority.rsplit_once(':') {
        Some((host, port)) if port.chars().all(|c| c.is_ascii_digit()) => host.to_owned(),
        _ => authority.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_endpoints() {
        for (endpoint, host) in [
            ("tcp://10.0.0.1:2376", "10.0.0.1"),
            ("ssh://me@box:22", "box"),
            ("ssh://me@box", "box"),
            ("sim://a?cpus=2", "a"),
        ] {
            assert_eq!(address(endpoint), host);
        }
    }
}

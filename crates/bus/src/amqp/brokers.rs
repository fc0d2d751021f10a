//! The brokers of a URL, and which of them to ask first.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use lapin::uri::AMQPUri;
use senlin_core::secret::Secret;

use crate::BusError;

/// Seconds between heartbeats, unless the URL says otherwise. A broker that is
/// silent for twice as long is gone.
const HEARTBEAT: u16 = 10;
/// Bytes of a frame at most, unless the URL says otherwise. lapin sets 32 of
/// them aside in each direction of each connection, and our messages are short.
const FRAME: u32 = 16 * 1024;

/// One broker.
#[derive(Clone)]
pub(super) struct Broker {
    /// `host:port`, for people.
    pub(super) place: String,
    pub(super) uri: AMQPUri,
}

/// The brokers of one cluster. Clones share which of them answered last.
#[derive(Clone)]
pub struct Brokers {
    all: Arc<[Broker]>,
    first: Arc<AtomicUsize>,
}

impl std::fmt::Debug for Brokers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.places()).finish()
    }
}

impl Brokers {
    /// Those of `amqp://user:password@host1:port1,host2:port2/vhost`.
    ///
    /// # Errors
    /// When it is no such URL; says why, and does not repeat it.
    pub fn parse(url: &Secret) -> Result<Self, BusError> {
        let refuse = |why: &str| BusError(format!("bus.url: {why}"));
        let (scheme, rest) = url
            .expose()
            .split_once("://")
            .ok_or_else(|| refuse("it is not amqp://user:password@host:port/vhost"))?;
        let (authority, path) = rest.find(['/', '?']).map_or((rest, ""), |at| rest.split_at(at));
        let (user, hosts) = authority
            .rsplit_once('@')
            .map_or((String::new(), authority), |(user, hosts)| (format!("{user}@"), hosts));
        let mut all = Vec::new();
        for host in hosts.split(',').map(str::trim).filter(|h| !h.is_empty()) {
            // Its errors may repeat the URL.
            let mut uri: AMQPUri = format!("{scheme}://{user}{host}{path}")
                .parse()
                .map_err(|_text: String| refuse(&format!("host '{host}', user or path cannot be understood")))?;
            if let Some((literal, _)) = host.strip_prefix('[').and_then(|h| h.split_once(']')) {
                literal.clone_into(&mut uri.authority.host);
            }
            uri.query.heartbeat.get_or_insert(HEARTBEAT);
            uri.query.frame_max.get_or_insert(FRAME);
            let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
            let name = if host.ends_with(']') { host } else { name };
            all.push(Broker {
                place: format!("{name}:{}", uri.authority.port),
                uri,
            });
        }
        if all.is_empty() {
            return Err(refuse("it names no host"));
        }
        Ok(Self {
            all: all.into(),
            first: Arc::default(),
        })
    }

    /// `host:port` of each.
    #[must_use]
    pub fn places(&self) -> Vec<String> {
        self.all.iter().map(|b| b.place.clone()).collect()
    }

    /// Each once, beginning with the one that answered last.
    pub(super) fn in_turn(&self) -> impl Iterator<Item = (usize, &Broker)> {
        let first = self.first.load(Ordering::Relaxed);
        let turn = self.all.iter().enumerate().cycle();
        turn.skip(first).take(self.all.len())
    }

    pub(super) fn answered(&self, at: usize) {
        self.first.store(at, Ordering::Relaxed);
    }

    /// Another one is asked first from now on.
    pub(super) fn failed(&self, at: usize) {
        let next = (at + 1) % self.all.len();
        let _ = self
            .first
            .compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(url: &str) -> Result<Vec<String>, String> {
        Brokers::parse(&Secret::new(url))
            .map(|b| b.places())
            .map_err(|e| e.to_string())
    }

    #[test]
    fn a_url_may_name_several_brokers() {
        let several = "amqp://u:p%40w@one:5673,two,[::1]:5674/%2f?heartbeat=3";
        assert_eq!(places(several).unwrap(), ["one:5673", "two:5672", "[::1]:5674"]);
        let brokers = Brokers::parse(&Secret::new(several)).unwrap();
        for (_, broker) in brokers.in_turn() {
            assert_eq!(broker.uri.vhost, "/");
            assert_eq!(broker.uri.authority.userinfo.password, "p@w");
            assert_eq!(
                (broker.uri.query.heartbeat, broker.uri.query.frame_max),
                (Some(3), Some(FRAME))
            );
        }
        assert_eq!(brokers.all[2].uri.authority.host, "::1");
        assert!(!format!("{brokers:?}").contains("p@"), "{brokers:?}");
        assert_eq!(places("amqp://localhost").unwrap(), ["localhost:5672"]);
    }

    #[test]
    fn what_is_no_url_is_refused_without_its_password() {
        for url in [
            "localhost:5672",
            "amqp://u:secret@/",
            "amqp://u:secret@h:port/",
            "http://u:secret@h/",
        ] {
            let error = places(url).unwrap_err();
            assert!(error.starts_with("bus.url: ") && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn the_one_that_answered_last_is_asked_first() {
        let brokers = Brokers::parse(&Secret::new("amqp://a,b,c")).unwrap();
        let turn = |brokers: &Brokers| brokers.in_turn().map(|(at, _)| at).collect::<Vec<_>>();
        assert_eq!(turn(&brokers), [0, 1, 2]);
        brokers.answered(1);
        assert_eq!(turn(&brokers), [1, 2, 0]);
        brokers.failed(0);
        assert_eq!(turn(&brokers), [1, 2, 0], "another has answered since");
        brokers.failed(1);
        assert_eq!(turn(&brokers), [2, 0, 1]);
    }
}

//! Making a connection, to whichever server takes writes.
//!
//! The driver can be given several hosts as well, but waits for a handshake
//! without a bound: one server that hangs would hide all that come after it.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use diesel_async::AsyncPgConnection;
use senlin_core::secret::Secret;
use tokio_postgres::{
    Config, NoTls,
    config::{Host, TargetSessionAttrs},
    error::SqlState,
};

use crate::{Db, DbError, Result, SchemaState, schema_state};

/// How long one server may take to let us in, unless the URL says otherwise.
const CONNECT: Duration = Duration::from_secs(3);
/// When a silent connection is asked for a sign of life, and how often.
const IDLE: Duration = Duration::from_secs(5);
const INTERVAL: Duration = Duration::from_secs(2);
const RETRIES: u32 = 3;
/// How long data may stay unacknowledged.
const UNACKNOWLEDGED: Duration = Duration::from_secs(10);

/// Why no server let us in.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// It may pass.
    #[error("{0}")]
    Unreachable(String),
    /// Every server refuses this user, password or database.
    #[error("{0}")]
    Refused(String),
}

/// Why a program cannot work on the database.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// It may pass: no server can be reached, or the schema is not there yet.
    #[error("{0}")]
    Passing(String),
    /// It needs other settings, or another release.
    #[error("{0}")]
    Lasting(String),
}

/// Whether this release can work on the database now.
///
/// # Errors
/// Says why not, with the servers' addresses and without a password.
pub async fn usable(servers: &Servers, db: &Db) -> Result<(), Unusable> {
    match servers.connect().await {
        Ok(connection) => drop(connection),
        Err(ConnectError::Unreachable(why)) => return Err(Unusable::Passing(why)),
        Err(ConnectError::Refused(why)) => return Err(Unusable::Lasting(why)),
    }
    let state = async { schema_state(&mut db.session()).await };
    match state.await {
        Ok(SchemaState::Current | SchemaState::Newer(_)) => Ok(()),
        // Whoever migrates may begin later than this.
        Ok(behind @ SchemaState::Behind(_)) => Err(Unusable::Passing(behind.to_string())),
        Ok(ahead @ SchemaState::Ahead(_)) => Err(Unusable::Lasting(ahead.to_string())),
        Err(error) => Err(Unusable::Passing(told(&error))),
    }
}

/// The servers of a URL. The one that took the last connection is asked first.
pub struct Servers {
    each: Vec<Config>,
    first: AtomicUsize,
}

impl Servers {
    /// Those of `postgres://user:password@host1:port1,host2:port2/name?…`, or
    /// of `host=… user=…`, as PostgreSQL's own programs write it.
    ///
    /// # Errors
    /// [`DbError::Unavailable`] when it is neither; the text says what is wrong.
    pub fn parse(url: &Secret) -> Result<Self> {
        let refuse = |why: String| DbError::Unavailable(format!("database.url: {why}").into());
        let all: Config = url.expose().parse().map_err(|e| refuse(told(&e)))?;
        let (hosts, addresses, ports) = (all.get_hosts(), all.get_hostaddrs(), all.get_ports());
        let several = hosts.len().max(addresses.len());
        if several == 0 {
            return Err(refuse("it names no host".to_owned()));
        }
        if ports.len() > 1 && ports.len() != several
            || !addresses.is_empty() && !hosts.is_empty() && hosts.len() != addresses.len()
        {
            return Err(refuse("there are not as many ports or addresses as hosts".to_owned()));
        }
        let each = (0..several).map(|at| {
            let port = ports.get(at).or(ports.first()).copied().unwrap_or(5432);
            one(&all, hosts.get(at), addresses.get(at), port)
        });
        Ok(Self {
            each: each.collect(),
            first: AtomicUsize::new(0),
        })
    }

    /// `host:port` of each, for people.
    #[must_use]
    pub fn places(&self) -> Vec<String> {
        self.each.iter().map(place).collect()
    }

    /// A connection to the first server that takes writes.
    ///
    /// # Errors
    /// Names what every server said.
    pub(crate) async fn connect(&self) -> Result<AsyncPgConnection, ConnectError> {
        let first = self.first.load(Ordering::Relaxed);
        let turn = self.each.iter().enumerate().cycle();
        let (mut reasons, mut refused) = (Vec::new(), 0);
        for (at, config) in turn.skip(first).take(self.each.len()) {
            match enter(config).await {
                Ok(connection) => {
                    self.first.store(at, Ordering::Relaxed);
                    return Ok(connection);
                }
                Err(error) => {
                    refused += usize::from(matches!(error, ConnectError::Refused(_)));
                    reasons.push(format!("{}: {error}", place(config)));
                    // One that is dark costs its patience once, not each time.
                    let next = (at + 1) % self.each.len();
                    let _ = self
                        .first
                        .compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed);
                }
            }
        }
        let all = reasons.join("; ");
        Err(match refused == self.each.len() {
            true => ConnectError::Refused(all),
            false => ConnectError::Unreachable(all),
        })
    }
}

/// The same settings for one server. A server that does not take writes is of
/// no use, whatever the URL says.
fn one(all: &Config, host: Option<&Host>, address: Option<&IpAddr>, port: u16) -> Config {
    let mut one = Config::new();
    match host {
        Some(Host::Tcp(name)) => drop(one.host(name)),
        Some(Host::Unix(path)) => drop(one.host_path(path)),
        None => {}
    }
    address.map(|a| one.hostaddr(*a));
    all.get_user().map(|u| one.user(u));
    all.get_password().map(|p| one.password(p));
    all.get_dbname().map(|d| one.dbname(d));
    all.get_options().map(|o| one.options(o));
    all.get_application_name().map(|n| one.application_name(n));
    let idle = Config::new().get_keepalives_idle();
    let idle = Some(all.get_keepalives_idle()).filter(|i| *i != idle);
    one.port(port)
        .ssl_mode(all.get_ssl_mode())
        .ssl_negotiation(all.get_ssl_negotiation())
        .channel_binding(all.get_channel_binding())
        .connect_timeout(all.get_connect_timeout().copied().unwrap_or(CONNECT))
        .tcp_user_timeout(all.get_tcp_user_timeout().copied().unwrap_or(UNACKNOWLEDGED))
        .keepalives(all.get_keepalives())
        .keepalives_idle(idle.unwrap_or(IDLE))
        .keepalives_interval(all.get_keepalives_interval().unwrap_or(INTERVAL))
        .keepalives_retries(all.get_keepalives_retries().unwrap_or(RETRIES))
        .target_session_attrs(TargetSessionAttrs::ReadWrite);
    one
}

fn place(config: &Config) -> String {
    let port = config.get_ports().first().copied().unwrap_or(5432);
    match (config.get_hosts().first(), config.get_hostaddrs().first()) {
        (Some(Host::Tcp(name)), _) if name.contains(':') => format!("[{name}]:{port}"),
        (Some(Host::Tcp(name)), _) => format!("{name}:{port}"),
        (Some(Host::Unix(path)), _) => path.display().to_string(),
        (None, Some(IpAddr::V6(address))) => format!("[{address}]:{port}"),
        (None, Some(address)) => format!("{address}:{port}"),
        (None, None) => String::new(),
    }
}

async fn enter(config: &Config) -> Result<AsyncPgConnection, ConnectError> {
    let patience = config.get_connect_timeout().copied().unwrap_or(CONNECT);
    let connecting = async {
        let (client, connection) = config.connect(NoTls).await.map_err(|e| judged(config, &e))?;
        AsyncPgConnection::try_from_client_and_connection(client, connection)
            .await
            .map_err(|e| ConnectError::Unreachable(told(&e)))
    };
    match tokio::time::timeout(patience, connecting).await {
        Ok(done) => done,
        Err(_) => Err(ConnectError::Unreachable(format!("no answer within {patience:?}"))),
    }
}

/// What the server, or our own settings, will say again to the same question
/// is refused; what the network or a busy server says is not.
fn judged(config: &Config, error: &tokio_postgres::Error) -> ConnectError {
    let ours = || {
        let cause = std::error::Error::source(error);
        cause.is_some_and(|c| !c.is::<std::io::Error>() && !c.is::<tokio_postgres::error::DbError>())
    };
    let refused = match error.code() {
        Some(code) => [
            SqlState::INVALID_PASSWORD,
            SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
            SqlState::INVALID_CATALOG_NAME,
            SqlState::INSUFFICIENT_PRIVILEGE,
        ]
        .contains(code),
        None => ours(),
    };
    if refused {
        let (user, name) = (config.get_user().unwrap_or("-"), config.get_dbname().unwrap_or("-"));
        ConnectError::Refused(format!("user '{user}', database '{name}': {}", told(error)))
    } else {
        ConnectError::Unreachable(told(error))
    }
}

/// The innermost cause, which is the one that says something.
fn told(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(cause) = inner.source() {
        inner = cause;
    }
    inner.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(url: &str) -> Servers {
        Servers::parse(&Secret::new(url)).unwrap()
    }

    #[test]
    fn every_host_has_its_port_and_must_take_writes() {
        let two = servers("postgres://u:p@one:5433,two/db?connect_timeout=2");
        assert_eq!(two.places(), ["one:5433", "two:5432"]);
        let same = servers("host=one,/run/pg port=6000 user=u dbname=db keepalives_idle=60");
        assert_eq!(same.places(), ["one:6000", "/run/pg"]);
        for config in two.each.iter().chain(&same.each) {
            assert_eq!(config.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
            assert_eq!((config.get_user(), config.get_dbname()), (Some("u"), Some("db")));
            assert_eq!(config.get_tcp_user_timeout(), Some(&UNACKNOWLEDGED));
        }
        assert_eq!(two.each[0].get_connect_timeout(), Some(&Duration::from_secs(2)));
        assert_eq!(two.each[0].get_keepalives_idle(), IDLE);
        assert_eq!(same.each[0].get_keepalives_idle(), Duration::from_secs(60));
    }

    #[test]
    fn a_url_that_cannot_be_used_says_why() {
        for (url, word) in [
            ("postgres://u:secret@/db", "no host"),
            ("host=a,b,c port=1,2 user=u password=secret", "as many ports"),
            ("postgres://u:secret@h:port/db", "port"),
        ] {
            let error = Servers::parse(&Secret::new(url)).err().unwrap();
            let text = told(&error);
            assert!(text.contains("database.url") && text.contains(word), "{text}");
            assert!(!text.contains("secret"), "{text}");
        }
    }
}

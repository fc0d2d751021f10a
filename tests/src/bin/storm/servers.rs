//! The storm's own PostgreSQL and RabbitMQ, on ports and in a folder that
//! nobody else uses, so that they can be frozen and killed.

use std::{
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use senlin_testkit::services;

/// A commit that was acknowledged survives SIGKILL.
const OPTIONS: &str = "-c synchronous_commit=on";
const VARIABLES: [(&str, &str); 5] = [
    ("SENLIN_TEST_WORK", "/tmp/senlin-storm"),
    ("SENLIN_TEST_PG_PORT", "25432"),
    ("SENLIN_TEST_MQ_PORT", "25673"),
    ("SENLIN_TEST_MQ_NODE", "senlin-storm@localhost"),
    ("SENLIN_TEST_PG_OPTIONS", OPTIONS),
];

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
    Postgres,
    Rabbit,
}

impl Server {
    /// The port that it listens on.
    pub(crate) fn port(self) -> u16 {
        match self {
            Self::Postgres => 25432,
            Self::Rabbit => 25673,
        }
    }

    fn start_word(self) -> &'static str {
        match self {
            Self::Postgres => "start-postgres",
            Self::Rabbit => "start-rabbit",
        }
    }
}

/// Both; stopped when this goes.
pub(crate) struct Servers {
    work: PathBuf,
}

impl Servers {
    /// Starts both with nothing in them.
    ///
    /// The scripts find them by variables of the environment: when these are
    /// not set, this program replaces itself by one that has them.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let (name, home) = VARIABLES[0];
        if std::env::var(name).ok().as_deref() != Some(home) {
            let error = Command::new(std::env::current_exe()?)
                .args(std::env::args_os().skip(1))
                .envs(VARIABLES)
                .exec();
            bail!("start again with {VARIABLES:?}: {error}");
        }
        let servers = Self { work: home.into() };
        // What a killed run has left behind.
        servers.stop();
        services("start").context("start PostgreSQL and RabbitMQ of the storm")?;
        Ok(servers)
    }

    /// The log of PostgreSQL.
    pub(crate) fn log(&self) -> PathBuf {
        self.work.join("pg/log")
    }

    fn stop(&self) {
        for server in [Server::Postgres, Server::Rabbit] {
            self.signal(server, "-CONT");
            self.signal(server, "-KILL");
        }
        let _ = std::fs::remove_dir_all(&self.work);
    }

    /// The server's first process and, for PostgreSQL, those that serve connections.
    fn pids(&self, server: Server) -> Vec<String> {
        let file = match server {
            Server::Postgres => self.work.join("pg/data/postmaster.pid"),
            Server::Rabbit => self.work.join("rabbit/pid"),
        };
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let Some(first) = text.lines().next().map(|l| l.trim().to_owned()) else {
            return Vec::new();
        };
        if !command(&first).contains("senlin-storm") {
            // The file has outlived its process, and another one got its number.
            return Vec::new();
        }
        let mut all = vec![first.clone()];
        if server == Server::Postgres {
            let children = Command::new("pgrep").args(["-P", &first]).output();
            let children = children.map(|o| o.stdout).unwrap_or_default();
            all.extend(String::from_utf8_lossy(&children).split_whitespace().map(str::to_owned));
        }
        all
    }

    /// `-STOP`, `-CONT` or `-KILL` to all its processes; the first one first, so that it makes no new ones.
    pub(crate) fn signal(&self, server: Server, signal: &str) {
        let mut again = vec![signal];
        if signal != "-CONT" {
            // One that was born meanwhile.
            again.push(signal);
        }
        for signal in again {
            for pid in self.pids(server) {
                let mut kill = Command::new("kill");
                let _ = kill.args([signal, &pid]).stderr(Stdio::null()).status();
            }
        }
    }

    /// SIGKILL, and waits until all of it is gone.
    pub(crate) fn kill(&self, server: Server) {
        let before = self.pids(server);
        self.signal(server, "-KILL");
        for _ in 0..50 {
            if before.iter().all(|pid| command(pid).is_empty()) {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        if server == Server::Postgres {
            // A process that nobody has waited for looks alive to whoever starts the next one.
            let socket = format!("pg/.s.PGSQL.{}.lock", server.port());
            for file in ["pg/data/postmaster.pid", socket.as_str()] {
                let _ = std::fs::remove_file(self.work.join(file));
            }
        }
    }

    /// Starts it again on what it had.
    pub(crate) fn restart(&self, server: Server) -> anyhow::Result<()> {
        for _ in 0..3 {
            let started = services(server.start_word());
            if started.is_ok() && !self.pids(server).is_empty() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_secs(1));
        }
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(5).collect();
        bail!("{server:?} does not start again; the log of PostgreSQL ends with {tail:?}")
    }
}

/// What a process was started as; empty for one that has ended.
fn command(pid: &str) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default()
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.stop();
    }
}

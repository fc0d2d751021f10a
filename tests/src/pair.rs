//! A PostgreSQL primary with a synchronous standby, gone with this.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, ensure};

use crate::ports::free_port;

/// Two servers on one machine.
pub struct Pair {
    dir: PathBuf,
    ports: [u16; 2],
}

impl Pair {
    /// Starts both: whatever is committed is on the standby too. The database
    /// `senlin` is empty.
    ///
    /// # Errors
    /// When a server does not start; says what it logged.
    pub fn start() -> anyhow::Result<Self> {
        let dir = std::env::temp_dir().join(format!("senlin-pair-{}", uuid::Uuid::new_v4().simple()));
        fs::create_dir_all(&dir)?;
        let pair = Self {
            dir,
            ports: [free_port()?, free_port()?],
        };
        let [first, second] = pair.ports;
        pair.sh(&format!(
            "[ $(id -u) != 0 ] || chown postgres .
             as initdb -D one -U senlin -A trust -E UTF8 --no-instructions >/dev/null
             echo \"listen_addresses = '127.0.0.1'
             unix_socket_directories = '$PWD'
             max_connections = 200\" >>one/postgresql.conf
             as pg_ctl -D one -l one.log -w -o '-p {first}' start >/dev/null
             as pg_basebackup -h 127.0.0.1 -p {first} -U senlin -D two -R -c fast
             as pg_ctl -D two -l two.log -w -o '-p {second}' start >/dev/null
             sql() {{ as psql -h 127.0.0.1 -p {first} -U senlin -d postgres -qtAc \"$1\"; }}
             sql \"ALTER SYSTEM SET synchronous_standby_names = '*'\"
             sql 'SELECT pg_reload_conf()' >/dev/null
             for _ in $(seq 100); do
                 [ \"$(sql 'SELECT sync_state FROM pg_stat_replication')\" != sync ] || break
                 sleep 0.1
             done
             [ \"$(sql 'SELECT sync_state FROM pg_stat_replication')\" = sync ]
             sql 'CREATE DATABASE senlin'"
        ))?;
        Ok(pair)
    }

    /// Both servers, as the programs are told of them.
    #[must_use]
    pub fn url(&self) -> String {
        let [first, second] = self.ports;
        format!("postgres://senlin@127.0.0.1:{first},127.0.0.1:{second}/senlin?target_session_attrs=read-write")
    }

    /// SIGKILL for the primary and all its processes.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill_primary(&self) -> anyhow::Result<()> {
        self.sh("p=$(head -1 one/postmaster.pid); kill -9 $p $(ps -o pid= --ppid $p)")
            .map(drop)
    }

    /// Makes the standby take writes.
    ///
    /// # Errors
    /// What it said.
    pub fn promote(&self) -> anyhow::Result<()> {
        self.sh("as pg_ctl -D two -w promote >/dev/null").map(drop)
    }

    fn sh(&self, script: &str) -> anyhow::Result<String> {
        let prelude = "export PATH=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1):$PATH
            as() { if [ $(id -u) = 0 ]; then runuser -u postgres -- env PATH=\"$PATH\" \"$@\"; else \"$@\"; fi; }";
        let out = Command::new("bash")
            .args(["-euc", &format!("{prelude}\n{script}")])
            .current_dir(&self.dir)
            .stdin(std::process::Stdio::null())
            .output()
            .context("run bash")?;
        let said = String::from_utf8_lossy(&out.stderr);
        ensure!(out.status.success(), "{script}: {said}");
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        let _ = self.sh("for d in one two; do as pg_ctl -D $d -m immediate stop >/dev/null 2>&1 || true; done");
        let _ = fs::remove_dir_all(&self.dir);
    }
}

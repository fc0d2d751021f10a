//! A private PostgreSQL from the system's binaries, under the data folder.

use std::{
    fs,
    os::unix::{fs::MetadataExt, fs::PermissionsExt, fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail, ensure};
use senlin_core::secret::Secret;

/// The server; it is stopped with [`Postgres::stop`], never by being dropped.
pub(crate) struct Postgres {
    bin: PathBuf,
    home: PathBuf,
    /// PostgreSQL refuses to run as root: then its own user does.
    user: Option<(u32, u32)>,
}

impl Postgres {
    /// Starts the server, making its folder first if there is none.
    pub(crate) fn start(data: &Path) -> anyhow::Result<Self> {
        let server = Self {
            bin: binaries()?,
            home: data.join("postgres"),
            user: other_user()?,
        };
        server.prepare()?;
        if !server.run("pg_ctl", &["status"])?.success() {
            let options = format!(
                "-c listen_addresses='' -c unix_socket_directories='{}' -c max_connections=100",
                server.home.display()
            );
            let log = server.home.join("log");
            let started = server.run(
                "pg_ctl",
                &[
                    "-w",
                    "-t",
                    "60",
                    "-l",
                    &log.display().to_string(),
                    "-o",
                    &options,
                    "start",
                ],
            )?;
            ensure!(started.success(), "PostgreSQL did not start: see '{}'", log.display());
        }
        let exists = server.psql("SELECT 1 FROM pg_database WHERE datname = 'senlin'")?;
        if exists.trim() != "1" {
            server.psql("CREATE DATABASE senlin")?;
        }
        Ok(server)
    }

    fn prepare(&self) -> anyhow::Result<()> {
        if self.home.join("data/PG_VERSION").exists() {
            return Ok(());
        }
        fs::create_dir_all(&self.home).with_context(|| format!("create '{}'", self.home.display()))?;
        fs::set_permissions(&self.home, fs::Permissions::from_mode(0o700))?;
        if let Some((uid, gid)) = self.user {
            chown(&self.home, Some(uid), Some(gid))?;
        }
        let made = self.run(
            "initdb",
            &["-U", "senlin", "-A", "trust", "-E", "UTF8", "--no-instructions"],
        )?;
        ensure!(made.success(), "initdb failed in '{}'", self.home.display());
        Ok(())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command
            .current_dir("/")
            .env("PGDATA", self.home.join("data"))
            .env("PGCONNECT_TIMEOUT", "10");
        command
    }

    fn run(&self, program: &str, args: &[&str]) -> anyhow::Result<std::process::ExitStatus> {
        // Not `output`: the server would keep the pipes open.
        self.command(program)
            .args(args)
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status()
            .with_context(|| format!("run {program}"))
    }

    fn psql(&self, statement: &str) -> anyhow::Result<String> {
        let host = self.home.display().to_string();
        let out = self
            .command("psql")
            .args(["-h", &host, "-U", "senlin", "-d", "postgres", "-tAc", statement])
            .output()?;
        ensure!(out.status.success(), "psql: {}", String::from_utf8_lossy(&out.stderr));
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    }

    /// How to connect: a socket in a folder that only its owner may enter.
    pub(crate) fn url(&self) -> Secret {
        let host = self.home.display().to_string().replace('/', "%2F");
        Secret::new(format!("postgres://senlin@{host}/senlin"))
    }

    /// Stops the server in good order.
    pub(crate) fn stop(&self) -> anyhow::Result<()> {
        self.run("pg_ctl", &["-w", "-m", "fast", "stop"])?;
        Ok(())
    }
}

/// The newest release that is installed.
fn binaries() -> anyhow::Result<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, bin)| bin.join("initdb").exists())
        .collect();
    found.sort();
    match found.pop() {
        Some((_, bin)) => Ok(bin),
        None => {
            bail!("PostgreSQL is not installed (no /usr/lib/postgresql/*/bin/initdb): install the package 'postgresql'")
        }
    }
}

fn other_user() -> anyhow::Result<Option<(u32, u32)>> {
    if fs::metadata("/proc/self")?.uid() != 0 {
        return Ok(None);
    }
    let number = |flag: &str| -> anyhow::Result<u32> {
        let out = Command::new("id").args([flag, "postgres"]).output()?;
        String::from_utf8_lossy(&out.stdout)
            .trim()
            .parse()
            .context("find the user 'postgres', which the package 'postgresql' makes")
    };
    Ok(Some((number("-u")?, number("-g")?)))
}

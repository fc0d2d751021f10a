//! A private image registry that wants a password, gone with this.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::Context;

/// Who may pull.
pub const USER: &str = "puller";
/// Their password.
pub const PASSWORD: &str = "swordfish-registry";

/// A registry that runs.
pub struct Registry {
    server: Child,
    dir: PathBuf,
    /// `host:port`, as image names have it.
    pub address: String,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Registry {
    /// Starts one at `address`.
    ///
    /// # Errors
    /// When it does not listen.
    pub fn start(address: &str) -> anyhow::Result<Self> {
        let dir = std::env::temp_dir().join(format!("senlin-registry-{}", uuid::Uuid::new_v4().simple()));
        fs::create_dir_all(&dir)?;
        let at = dir.display();
        // bcrypt of the password above; the registry takes no other kind of hash.
        fs::write(
            dir.join("htpasswd"),
            format!("{USER}:$2b$04$bIoyWq85Zv9YO/W1sAiOFe9y/4NCftbXxXgoV9elRb63ZtMjuHIXi\n"),
        )?;
        fs::write(
            dir.join("config.yml"),
            format!(
                "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {at}/images\nhttp:\n  addr: {address}\n\
                 auth:\n  htpasswd:\n    realm: tests\n    path: {at}/htpasswd\n"
            ),
        )?;
        let log = fs::File::create(dir.join("log"))?;
        let server = Command::new("docker-registry")
            .args(["serve", &format!("{at}/config.yml")])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("start docker-registry")?;
        let registry = Self {
            server,
            dir,
            address: address.to_owned(),
        };
        for _ in 0..100 {
            if std::net::TcpStream::connect(address).is_ok() {
                return Ok(registry);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        anyhow::bail!("docker-registry does not listen at {address}")
    }
}

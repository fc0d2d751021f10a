//! A cluster of three RabbitMQ nodes on one machine, gone with this.

use std::{
    fs,
    net::TcpStream,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use senlin_core::secret::Secret;

use crate::ports::free_port;

/// Three nodes.
pub struct Brokers {
    dir: PathBuf,
    epmd: u16,
    nodes: Vec<Node>,
}

struct Node {
    name: String,
    port: u16,
    dist: u16,
}

/// Where Debian's package has it.
const BIN: &str = "/usr/lib/rabbitmq/bin";

impl Brokers {
    /// Starts three nodes that find each other.
    ///
    /// # Errors
    /// When they do not; says what the nodes logged.
    pub fn start() -> anyhow::Result<Self> {
        let run = uuid::Uuid::new_v4().simple().to_string();
        let dir = std::env::temp_dir().join(format!("senlin-brokers-{run}"));
        fs::create_dir_all(&dir)?;
        let mut nodes = Vec::new();
        for at in 1..=3 {
            nodes.push(Node {
                name: format!("b{at}-{}@localhost", run.get(..8).unwrap_or_default()),
                port: free_port()?,
                dist: free_port()?,
            });
        }
        let mut brokers = Self {
            dir,
            epmd: free_port()?,
            nodes,
        };
        brokers.configure(&run)?;
        for at in 0..brokers.nodes.len() {
            brokers.launch(at)?;
        }
        brokers.whole()?;
        Ok(brokers)
    }

    fn configure(&mut self, cookie: &str) -> anyhow::Result<()> {
        let mut config = "cluster_formation.peer_discovery_backend = classic_config\n\
            loopback_users = none\nvm_memory_high_watermark.absolute = 2GB\n\
            disk_free_limit.absolute = 1MB\n"
            .to_owned();
        for (at, node) in (1..).zip(&self.nodes) {
            config += &format!("cluster_formation.classic_config.nodes.{at} = {}\n", node.name);
        }
        fs::write(self.dir.join("rabbitmq.conf"), config)?;
        fs::write(self.dir.join("plugins"), "[].")?;
        let file = self.dir.join(".erlang.cookie");
        fs::write(&file, cookie)?;
        Ok(fs::set_permissions(
            file,
            std::os::unix::fs::PermissionsExt::from_mode(0o400),
        )?)
    }

    fn command(&self, program: &str, node: &Node) -> Command {
        let mut command = Command::new(format!("{BIN}/{program}"));
        let at = self.dir.join(&node.name);
        command
            .env("HOME", &self.dir)
            .env("RABBITMQ_NODENAME", &node.name)
            .env("RABBITMQ_NODE_PORT", node.port.to_string())
            .env("RABBITMQ_DIST_PORT", node.dist.to_string())
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("ERL_EPMD_PORT", self.epmd.to_string())
            // Six virtual machines of Erlang on a small machine: no busy waiting.
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "+sbwt none +sbwtdcpu none +sbwtdio none +S 2:2",
            )
            .env("RABBITMQ_MNESIA_BASE", at.join("mnesia"))
            .env("RABBITMQ_LOG_BASE", at.join("log"))
            .env("RABBITMQ_PID_FILE", at.join("pid"))
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_CONFIG_FILE", self.dir.join("rabbitmq.conf"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", self.dir.join("plugins"))
            .stdin(Stdio::null());
        command
    }

    /// Starts a node, also again after [`Self::kill`].
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn launch(&self, at: usize) -> anyhow::Result<()> {
        let node = self.nodes.get(at).context("no such node")?;
        let home = self.dir.join(&node.name);
        fs::create_dir_all(home.join("log"))?;
        let out = fs::File::options().create(true).append(true).open(home.join("out"))?;
        self.command("rabbitmq-server", node)
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .context("start rabbitmq-server")?;
        Ok(())
    }

    /// Waits until all nodes are one cluster.
    ///
    /// # Errors
    /// When they are not within two minutes.
    pub fn whole(&self) -> anyhow::Result<()> {
        let end = Instant::now() + Duration::from_secs(120);
        let node = self.nodes.first().context("no node")?;
        loop {
            // Its tools are slow to start: not before somebody listens.
            let listens = |n: &Node| TcpStream::connect(("127.0.0.1", n.port)).is_ok();
            if !self.nodes.iter().all(listens) {
                ensure!(Instant::now() < end, "{}", self.logs());
                std::thread::sleep(Duration::from_millis(200));
                continue;
            }
            let out = self
                .command("rabbitmqctl", node)
                .args(["-n", &node.name, "await_online_nodes", "3", "-t", "60"])
                .output()?;
            if out.status.success() {
                return Ok(());
            }
            ensure!(Instant::now() < end, "{}", self.logs());
        }
    }

    fn logs(&self) -> String {
        let tail = |node: &Node| {
            let text = fs::read_to_string(self.dir.join(&node.name).join("out")).unwrap_or_default();
            let lines: Vec<&str> = text.lines().rev().take(15).collect();
            format!(
                "{}: {}\n",
                node.name,
                lines.into_iter().rev().collect::<Vec<_>>().join("\n")
            )
        };
        self.nodes.iter().map(tail).collect()
    }

    /// All nodes, as the programs are told of them.
    #[must_use]
    pub fn url(&self) -> Secret {
        let places: Vec<String> = self.nodes.iter().map(|n| format!("127.0.0.1:{}", n.port)).collect();
        Secret::new(format!("amqp://guest:guest@{}/%2f", places.join(",")))
    }

    /// Sends a signal to a node: `-9`, `-STOP`, `-CONT`.
    pub fn signal(&self, at: usize, signal: &str) {
        let pid = self
            .nodes
            .get(at)
            .and_then(|n| fs::read_to_string(self.dir.join(&n.name).join("pid")).ok());
        if let Some(pid) = pid {
            let _ = Command::new("kill")
                .args([signal, pid.trim()])
                .stderr(Stdio::null())
                .status();
        }
    }

    /// SIGKILL for a node.
    pub fn kill(&self, at: usize) {
        self.signal(at, "-9");
    }
}

impl Drop for Brokers {
    fn drop(&mut self) {
        for at in 0..self.nodes.len() {
            self.kill(at);
        }
        // The name server that the nodes have started, known by its port.
        let _ = Command::new("epmd")
            .args(["-port", &self.epmd.to_string(), "-kill"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

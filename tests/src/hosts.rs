//! Real Docker hosts on one machine: daemons in network namespaces, each with
//! an address and a socket of its own, all gone when the test is.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, ensure};

pub mod access;
pub mod proxy;

/// Which engine a host runs: the ends of the range we support.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// This Debian release's: API 1.41.
    Oldest,
    /// The next one's: API 1.45.
    Newer,
}

/// One daemon.
pub struct Host {
    name: String,
    dir: PathBuf,
    engine: Engine,
    /// It listens on 2376 for whom its CA knows, and not on 2375.
    tls: bool,
    /// `10.99.<net>.1<i>`.
    pub address: String,
}

/// Several daemons on a bridge of their own.
pub struct Hosts {
    /// The daemons.
    pub all: Vec<Host>,
    bridge: String,
}

/// What to put before PATH for the newer engine.
fn newer() -> anyhow::Result<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/newer-engine.sh");
    let dir = sh(&script.display().to_string())?;
    let dir = dir.trim();
    Ok(format!("{dir}/usr/sbin:{dir}/usr/bin:"))
}

fn sh(script: &str) -> anyhow::Result<String> {
    let out = Command::new("bash")
        .args(["-euc", script])
        .stdin(Stdio::null())
        .output()?;
    ensure!(
        out.status.success(),
        "{script}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

impl Hosts {
    /// Starts `n` daemons on network `10.99.<net>.0/24`, of both engines in
    /// turn. Needs root.
    ///
    /// # Errors
    /// When a daemon does not come up; says what it logged.
    pub fn start(n: usize, net: u8) -> anyhow::Result<Self> {
        let engines = [Engine::Oldest, Engine::Newer];
        let kinds: Vec<_> = engines.into_iter().cycle().take(n).map(|e| (e, false)).collect();
        Self::of(&kinds, net)
    }

    /// Starts a daemon for each engine named, with mutual TLS or without.
    ///
    /// # Errors
    /// When a daemon does not come up; says what it logged.
    pub fn of(kinds: &[(Engine, bool)], net: u8) -> anyhow::Result<Self> {
        let bridge = format!("snl{net}");
        let mut hosts = Self {
            all: Vec::new(),
            bridge: bridge.clone(),
        };
        for (i, (engine, tls)) in (1..).zip(kinds) {
            let name = format!("snl{net}h{i}");
            hosts.all.push(Host {
                dir: PathBuf::from(format!("/tmp/senlin-hosts/{name}")),
                address: format!("10.99.{net}.{}", 10 + i),
                name,
                engine: *engine,
                tls: *tls,
            });
        }
        // What a killed run has left behind.
        hosts.sweep();
        sh(&format!(
            "ip link add {bridge} type bridge; ip addr add 10.99.{net}.1/24 dev {bridge}; ip link set {bridge} up;
             iptables -C DOCKER-USER -i {bridge} -j ACCEPT 2>/dev/null || iptables -I DOCKER-USER -i {bridge} -j ACCEPT 2>/dev/null || true"
        ))?;
        for host in &hosts.all {
            let (ns, dir, address) = (&host.name, host.dir.display(), &host.address);
            sh(&format!(
                "ip netns add {ns}; ip link add v{ns} type veth peer name eth0 netns {ns};
                 ip link set v{ns} master {bridge}; ip link set v{ns} up;
                 ip -n {ns} addr add {address}/24 dev eth0; ip -n {ns} link set eth0 up; ip -n {ns} link set lo up;
                 ip -n {ns} route add default via 10.99.{net}.1; mkdir -p {dir}/run {dir}/data {dir}/exec"
            ))?;
            if host.tls {
                access::certificates(&host.dir, &host.address)?;
            }
            host.launch()?;
        }
        for host in &hosts.all {
            host.wait()?;
            host.import_image()?;
        }
        Ok(hosts)
    }

    fn sweep(&self) {
        for host in &self.all {
            host.signal("-9");
            let ns = &host.name;
            let dir = host.dir.display();
            let _ = sh(&format!(
                "for p in $(ip netns pids {ns} 2>/dev/null || true); do kill -9 $p 2>/dev/null || true; done; sleep 0.2;
                 ip link del v{ns} 2>/dev/null || true; ip netns del {ns} 2>/dev/null || true;
                 for m in $(grep -o ' {dir}[^ ]*' /proc/mounts | sort -r); do umount -l $m || true; done; rm -rf {dir}"
            ));
        }
        let _ = sh(&format!("ip link del {} 2>/dev/null || true", self.bridge));
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for host in &self.all {
            let _ = host.docker("ps -aq | xargs -r docker -H $DOCKER_HOST rm -f");
        }
        self.sweep();
    }
}

impl Host {
    /// Its network namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.name
    }

    /// The socket, as an endpoint.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("unix://{}/docker.sock", self.dir.display())
    }

    /// Starts the daemon, also again after [`Self::stop`].
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn launch(&self) -> anyhow::Result<()> {
        let dir = self.dir.display();
        let path = match self.engine {
            Engine::Oldest => String::new(),
            Engine::Newer => newer()?,
        };
        let address = &self.address;
        let door = if self.tls {
            format!(
                "-H tcp://{address}:2376 --tlsverify --tlscacert {dir}/ca.pem --tlscert {dir}/server.pem --tlskey {dir}/server.key"
            )
        } else {
            format!("-H tcp://{address}:2375 --tls=false")
        };
        let inner = format!(
            "export PATH={path}$PATH; mount --bind {dir}/run /run;
             rm -f {dir}/pid {dir}/exec/containerd/*.pid {dir}/exec/containerd/*.sock*;
             exec dockerd --exec-opt native.cgroupdriver=cgroupfs --data-root {dir}/data --exec-root {dir}/exec -p {dir}/pid -H unix://{dir}/docker.sock \
             -H unix:///run/docker.sock {door} --live-restore --insecure-registry 10.99.0.0/16"
        );
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.dir.join("log"))?;
        Command::new("setsid")
            .args([
                "nsenter",
                &format!("--net=/run/netns/{}", self.name),
                "unshare",
                "-m",
                "sh",
                "-c",
                &inner,
            ])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("start dockerd")?;
        Ok(())
    }

    /// Waits until it answers.
    ///
    /// # Errors
    /// When it does not within 30 s.
    pub fn wait(&self) -> anyhow::Result<()> {
        for _ in 0..150 {
            if self.docker("version").is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        let log = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(5).collect();
        anyhow::bail!("dockerd on {} does not answer: {tail:?}", self.name)
    }

    /// Stops the daemon by its own pid; containers go on (live restore).
    pub fn stop(&self) {
        self.signal("-TERM");
        for _ in 0..100 {
            if !self.dir.join("pid").exists() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        self.signal("-9");
    }

    /// Ends the daemon without a word; containers go on (live restore). The
    /// oldest engine does not find its containers again after SIGKILL in a
    /// namespace of ours, so it is stopped in good order.
    pub fn crash(&self) {
        if self.engine == Engine::Oldest {
            return self.stop();
        }
        self.signal("-9");
        // Its containerd is a child that would outlive it and hold the sockets.
        let pid = self.dir.join("exec/containerd/containerd.pid");
        if let Ok(pid) = fs::read_to_string(pid) {
            let _ = Command::new("kill").args(["-9", pid.trim()]).status();
        }
        std::thread::sleep(Duration::from_millis(200));
    }

    /// Freezes or thaws the daemon: `-STOP`, `-CONT`.
    pub fn signal(&self, signal: &str) {
        if let Ok(pid) = fs::read_to_string(self.dir.join("pid")) {
            let _ = Command::new("kill")
                .args([signal, pid.trim()])
                .stderr(Stdio::null())
                .status();
        }
    }

    /// Runs `docker <line>` against it.
    ///
    /// # Errors
    /// What docker said.
    pub fn docker(&self, line: &str) -> anyhow::Result<String> {
        sh(&format!(
            "export DOCKER_HOST={}; timeout 60 docker {line}",
            self.endpoint()
        ))
    }

    /// Ids of every container with a label, whatever its state.
    ///
    /// # Errors
    /// What docker said.
    pub fn labelled(&self, label: &str) -> anyhow::Result<Vec<String>> {
        let out = self.docker(&format!("ps -aq --no-trunc --filter label={label}"))?;
        Ok(out.lines().map(str::to_owned).collect())
    }

    fn import_image(&self) -> anyhow::Result<()> {
        let tar = Path::new("/tmp/senlin-hosts/busybox.tar");
        if !tar.exists() {
            sh(&format!(
                "d=$(mktemp -d); mkdir -p $d/bin $d/tmp $d/etc; cp $(command -v busybox) $d/bin/busybox;
                 for a in $($d/bin/busybox --list | grep -v '^busybox$'); do ln -s busybox $d/bin/$a; done;
                 tar -C $d -cf $d.tar .; mv $d.tar {0}; rm -rf $d",
                tar.display()
            ))?;
        }
        self.docker(&format!(
            "import --change 'CMD [\"sh\"]' --change 'ENV PATH=/bin' {} senlin/busybox:latest",
            tar.display()
        ))?;
        Ok(())
    }
}

//! Everything that can be struck, and how it is struck and set right again.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex as Quick, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context;
use senlin_tests::{
    hosts::{
        Engine, Hosts,
        proxy::{Manner, Proxy},
    },
    http::Client,
    programs::{Plane, Program},
};
use tokio::{sync::Mutex, task::block_in_place};

use crate::{
    network::Network,
    pit::Pit,
    plan::{Blow, Fault, Subject},
    servers::{Server, Servers},
};

/// The hosts of a storm; their network is `10.99.53.0/24`.
pub(crate) const HOSTS: usize = 3;
const NET: u8 = 53;
/// The engines of a storm.
pub(crate) const ENGINES: usize = 3;

/// Parts in the order in which they go.
pub(crate) struct Stage {
    pub(crate) plane: Mutex<Plane>,
    second: Mutex<Program>,
    /// Of the two APIs.
    pub(crate) clients: [Client; 2],
    pub(crate) hosts: Hosts,
    proxies: Vec<Proxy>,
    pub(crate) pit: Pit,
    network: Network,
    pub(crate) servers: Servers,
    /// Daemons that do not answer now, even on their own socket.
    deaf: Vec<AtomicBool>,
    pub(crate) begun: Instant,
    /// What was done, by subject and fault.
    pub(crate) done: Quick<BTreeMap<String, u32>>,
    pub(crate) installation: String,
    /// Containers of others: host, id.
    pub(crate) foreign: Vec<(usize, String)>,
}

impl Stage {
    /// Starts servers, hosts, APIs and engines; the hosts are every tenant's to use.
    pub(crate) async fn build() -> anyhow::Result<(Self, String)> {
        let servers = block_in_place(Servers::start)?;
        let network = Network::start()?;
        let kinds = [(Engine::Oldest, false), (Engine::Newer, false), (Engine::Oldest, false)];
        let hosts = block_in_place(|| Hosts::of(&kinds, NET))?;
        let pit = Pit::start(&format!("10.99.{NET}.1")).await?;
        let mut proxies = Vec::new();
        for host in &hosts.all {
            proxies.push(Proxy::start(format!("{}:2375", host.address).parse()?).await?);
        }
        let plane = Plane::with_api(ENGINES, "", API).await?;
        let (second, other) = plane.another_api(API).await?;
        let endpoints: Vec<String> = proxies.iter().map(|p| format!("tcp://127.0.0.1:{}", p.port)).collect();
        let cluster = plane.hosts(&endpoints).await?;
        let share = serde_json::json!({"cluster": {"shared_with": ["*"]}});
        let path = format!("/v1/clusters/{cluster}");
        let (status, answer) = plane.client.call(hyper::Method::PATCH, &path, Some(&share)).await?;
        anyhow::ensure!(status < 300, "sharing the hosts: {status} {answer}");
        let installation = plane.db.column("SELECT id::text FROM installation").await?;
        let foreign = block_in_place(|| strangers(&hosts))?;
        let stage = Self {
            clients: [plane.client.clone(), other],
            plane: Mutex::new(plane),
            second: Mutex::new(second),
            hosts,
            proxies,
            pit,
            network,
            servers,
            deaf: (0..HOSTS).map(|_| AtomicBool::new(false)).collect(),
            begun: Instant::now(),
            done: Quick::default(),
            installation: installation.into_iter().next().context("installation")?,
            foreign,
        };
        Ok((stage, cluster))
    }

    /// Which host an endpoint is.
    pub(crate) fn host_of(&self, endpoint: &str) -> Option<usize> {
        let port: u16 = endpoint.rsplit_once(':')?.1.parse().ok()?;
        self.proxies.iter().position(|p| p.port == port)
    }

    /// One blow, from its beginning to its end.
    pub(crate) async fn strike(&self, blow: &Blow) -> anyhow::Result<()> {
        tokio::time::sleep_until((self.begun + blow.at).into()).await;
        let what = format!("{:?} {:?}", blow.subject, blow.fault).to_lowercase();
        if let Subject::Container(host) = blow.subject {
            if block_in_place(|| self.strike_container(host, blow)) {
                self.count("container ", blow.fault);
            }
            return Ok(());
        }
        self.tell(&format!("{what} for {:.1} s", blow.lasts.as_secs_f64()));
        self.begin(blow).await.with_context(|| format!("begin {blow}"))?;
        tokio::time::sleep(blow.lasts).await;
        self.end(blow).await.with_context(|| format!("end {blow}"))?;
        self.tell(&format!("{what} is over"));
        let kind = match blow.subject {
            Subject::Host(_) => "host ",
            Subject::Engine(_) => "engine ",
            Subject::Database => "database ",
            _ => "broker ",
        };
        self.count(kind, blow.fault);
        Ok(())
    }

    fn count(&self, kind: &str, fault: Fault) {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        *done
            .entry(format!("{kind}{}", format!("{fault:?}").to_lowercase()))
            .or_default() += 1;
    }

    pub(crate) fn tell(&self, what: &str) {
        println!("{:7.1} s  {what}", self.begun.elapsed().as_secs_f64());
    }

    async fn begin(&self, blow: &Blow) -> anyhow::Result<()> {
        match (blow.subject, blow.fault) {
            (Subject::Database | Subject::Broker, fault) => {
                let server = server(blow.subject);
                match fault {
                    Fault::Frozen => block_in_place(|| self.servers.signal(server, "-STOP")),
                    Fault::Killed => block_in_place(|| self.servers.kill(server)),
                    _ => return self.network.cut(server.port()),
                }
            }
            (Subject::Host(n), fault) => {
                let (host, proxy) = self.host(n)?;
                match fault {
                    Fault::Frozen => {
                        self.set_deaf(n, true);
                        host.signal("-STOP");
                    }
                    Fault::Killed => {
                        self.set_deaf(n, true);
                        block_in_place(|| host.crash());
                    }
                    Fault::Unreachable => self.network.cut(proxy.port)?,
                    fault => proxy.behave(manner(fault)),
                }
            }
            (Subject::Engine(n), fault) => {
                let mut plane = self.plane.lock().await;
                let engine = plane.engines.get_mut(n).context("engine")?;
                match fault {
                    Fault::Frozen => engine.signal("-STOP"),
                    _ => engine.kill(),
                }
            }
            (Subject::Container(_), _) => {}
        }
        Ok(())
    }

    async fn end(&self, blow: &Blow) -> anyhow::Result<()> {
        match (blow.subject, blow.fault) {
            (Subject::Database | Subject::Broker, fault) => {
                let server = server(blow.subject);
                match fault {
                    Fault::Frozen => block_in_place(|| self.servers.signal(server, "-CONT")),
                    Fault::Killed => block_in_place(|| self.servers.restart(server))?,
                    _ => return self.network.mend(server.port()),
                }
            }
            (Subject::Host(n), fault) => {
                let (host, proxy) = self.host(n)?;
                match fault {
                    Fault::Frozen => host.signal("-CONT"),
                    Fault::Killed => block_in_place(|| {
                        host.launch()?;
                        host.wait()
                    })?,
                    Fault::Unreachable => self.network.mend(proxy.port)?,
                    _ => proxy.behave(Manner::Fine),
                }
                self.set_deaf(n, false);
            }
            (Subject::Engine(n), fault) => {
                let mut plane = self.plane.lock().await;
                match fault {
                    Fault::Frozen => plane.engines.get(n).context("engine")?.signal("-CONT"),
                    _ => plane.revive(n)?,
                }
            }
            (Subject::Container(_), _) => {}
        }
        Ok(())
    }

    fn host(&self, n: usize) -> anyhow::Result<(&senlin_tests::hosts::Host, &Proxy)> {
        let host = self.hosts.all.get(n).context("host")?;
        Ok((host, self.proxies.get(n).context("proxy")?))
    }

    fn set_deaf(&self, host: usize, deaf: bool) {
        if let Some(flag) = self.deaf.get(host) {
            flag.store(deaf, Ordering::SeqCst);
        }
    }

    /// Kills or removes one container of ours. False: there was none to strike.
    fn strike_container(&self, host: usize, blow: &Blow) -> bool {
        let deaf = || self.deaf.get(host).is_none_or(|d| d.load(Ordering::SeqCst));
        let Some(at) = self.hosts.all.get(host).filter(|_| !deaf()) else {
            return false;
        };
        let list = format!("ps -q --no-trunc --filter label=senlin.owner={}", self.installation);
        let Ok(running) = at.docker(&list) else { return false };
        let running: Vec<&str> = running.lines().collect();
        let Some(victim) = running.get(blow.pick.checked_rem(running.len()).unwrap_or(0)) else {
            return false;
        };
        let how = if blow.fault == Fault::Removed { "rm -f" } else { "kill" };
        // One that has gone meanwhile was somebody else's.
        !deaf() && at.docker(&format!("{how} {victim}")).is_ok()
    }

    /// Waits until every daemon answers on its own socket.
    pub(crate) fn daemons_answer(&self) -> anyhow::Result<()> {
        self.hosts.all.iter().try_for_each(senlin_tests::hosts::Host::wait)
    }

    /// Programs that have ended although nobody killed them.
    pub(crate) async fn ended(&self) -> Vec<String> {
        let mut plane = self.plane.lock().await;
        let mut ended = Vec::new();
        for (n, engine) in plane.engines.iter_mut().enumerate() {
            if !engine.runs() {
                ended.push(format!("engine {n}"));
            }
        }
        if !plane.api.runs() {
            ended.push("the first API".to_owned());
        }
        if !self.second.lock().await.runs() {
            ended.push("the second API".to_owned());
        }
        ended
    }

    /// How long the storm has lasted.
    pub(crate) fn age(&self) -> Duration {
        self.begun.elapsed()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // What is frozen cannot be stopped in good order.
        self.hosts.all.iter().for_each(|h| h.signal("-CONT"));
        for server in [Server::Postgres, Server::Rabbit] {
            self.servers.signal(server, "-CONT");
        }
    }
}

/// What may be under way for so long at most; clusters of the pit have less.
const API: &str = "default_action_timeout = 600\nwebhook_rate = 600\n";

fn server(subject: Subject) -> Server {
    match subject {
        Subject::Database => Server::Postgres,
        _ => Server::Rabbit,
    }
}

fn manner(fault: Fault) -> Manner {
    match fault {
        Fault::Refuses => Manner::Refuses,
        Fault::Forgets => Manner::Forgets,
        Fault::Babbles => Manner::Babbles,
        Fault::Crawls => Manner::Crawls,
        _ => Manner::Fine,
    }
}

/// Starts containers that are not ours on every host: a plain one, one of
/// another installation, one with a label of ours and no owner.
fn strangers(hosts: &Hosts) -> anyhow::Result<Vec<(usize, String)>> {
    let mut all = Vec::new();
    for (n, host) in hosts.all.iter().enumerate() {
        let id = || uuid::Uuid::new_v4().to_string();
        let owned = format!(
            "-l senlin.node={} -l senlin.owner={} -l senlin.cluster={} -l senlin.generation=1",
            id(),
            id(),
            id()
        );
        for labels in ["", owned.as_str(), "-l senlin.node=mine"] {
            let made = host.docker(&format!("run -d {labels} senlin/busybox:latest sleep 1000000"))?;
            all.push((n, made.trim().to_owned()));
        }
    }
    Ok(all)
}

//! Tenants: each has clients that ask at random, of both APIs.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use hyper::Method;
use rand::{Rng, SeedableRng, rngs::StdRng};
use senlin_tests::{
    http::{Client, raw, text},
    programs::tenant_token,
};
use serde_json::{Value, json};

use crate::{
    requests::{self, Ask},
    stage::Stage,
};

/// Clients of one tenant at work at once.
pub(crate) const CLIENTS: u64 = 3;
/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(30);
const TYPE: &str = "container.dockerinc.docker";

/// What all clients have seen.
#[derive(Default)]
pub(crate) struct Ledger {
    /// Ids of actions that were answered with 202.
    pub(crate) accepted: Mutex<Vec<String>>,
    /// How often a request had which status; 0 is no answer.
    pub(crate) answers: Mutex<BTreeMap<(&'static str, u16), u64>>,
    /// Some answers of 500.
    pub(crate) errors: Mutex<Vec<String>>,
}

/// A project, what it has made for itself, and what it has been told.
pub(crate) struct Tenant {
    pub(crate) number: usize,
    pub(crate) clients: Vec<Client>,
    /// Profiles of containers that run.
    pub(crate) good: Vec<String>,
    /// Of one whose image never comes, and of one that ends at once.
    pub(crate) pit: String,
    pub(crate) crash: String,
    /// Policies that may be attached.
    pub(crate) policies: Vec<String>,
    /// The last actions, for those who want to cancel.
    recent: Mutex<VecDeque<String>>,
    /// URLs of webhooks.
    pub(crate) webhooks: Mutex<Vec<String>>,
    names: Mutex<u32>,
}

/// What a client believes that there is.
#[derive(Default, Clone)]
pub(crate) struct Sight {
    pub(crate) clusters: Vec<Value>,
    pub(crate) nodes: Vec<Value>,
    pub(crate) recent: Vec<String>,
    pub(crate) webhooks: Vec<String>,
}

fn held<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tenant {
    /// Makes the tenant's profiles, policies and first clusters.
    pub(crate) async fn settle(stage: &Stage, number: usize, hosts: &str) -> anyhow::Result<Self> {
        let clients: Vec<Client> = stage.clients.iter().map(|c| c.with(&tenant_token(number))).collect();
        let client = clients.first().cloned().unwrap_or_else(|| stage.clients[0].clone());
        let profile = async |name: &str, image: &str, command: Value, pull: &str| {
            let properties = json!({"image": image, "pull_policy": pull, "command": command, "stop_grace_period": 0,
                "host_cluster": hosts, "environment": {"WHICH": name}});
            client.profile(name, TYPE, "1.1", properties).await
        };
        let image = "senlin/busybox:latest";
        let mut good = Vec::new();
        for name in ["good-a", "good-b"] {
            good.push(profile(name, image, json!(["sleep", "100000"]), "never").await?);
        }
        let pit = profile("pit", &stage.pit.image, json!(["sleep", "100000"]), "always").await?;
        let crash = profile("crash", image, json!(["false"]), "never").await?;
        let mut policies = Vec::new();
        let heal = json!({"detection": {"interval": 10, "detection_modes": [{"type": "LIFECYCLE_EVENTS"}]},
            "recovery": {"actions": [{"name": "RESTART"}, {"name": "RECREATE"}], "budget": 1000, "host_grace": 30}});
        for (name, version, properties) in [
            ("health", "1.2", heal),
            ("deletion", "1.1", json!({"criteria": "OLDEST_FIRST"})),
            (
                "scaling",
                "1.0",
                json!({"event": "CLUSTER_SCALE_OUT", "adjustment": {"number": 2, "cooldown": 5}}),
            ),
        ] {
            let spec = json!({"type": format!("senlin.policy.{name}"), "version": version, "properties": properties});
            let made = client
                .post("/v1/policies", &json!({"policy": {"name": name, "spec": spec}}))
                .await?;
            policies.push(text(&made, "/policy/id")?);
        }
        let tenant = Self {
            number,
            clients,
            good,
            pit,
            crash,
            policies,
            recent: Mutex::default(),
            webhooks: Mutex::default(),
            names: Mutex::default(),
        };
        for size in [4, 3] {
            let ask = requests::new_cluster(&tenant, &tenant.name("good"), 0, size);
            let made = client.post(&ask.path, &ask.body.unwrap_or_default()).await?;
            let id = text(&made, "/cluster/id")?;
            let size = usize::try_from(size)?;
            client.active(&id, size, Duration::from_secs(120)).await?;
            let attach = json!({"policy_attach": {"policy_id": tenant.policies.first(), "enabled": true}});
            client.act(&id, &attach, Duration::from_secs(60)).await?;
        }
        Ok(tenant)
    }

    /// A name that nothing has yet, and that says what it is.
    pub(crate) fn name(&self, kind: &str) -> String {
        let mut names = held(&self.names);
        *names += 1;
        format!("t{}-{kind}-{}", self.number, *names)
    }

    /// What there is, as far as the API says so.
    async fn look(&self, client: &Client) -> Option<Sight> {
        let list = async |path: &str, key: &str| {
            let got = tokio::time::timeout(PATIENCE, client.get(path)).await.ok()?.ok()?;
            got.get(key)?.as_array().cloned()
        };
        Some(Sight {
            clusters: list("/v1/clusters", "clusters").await?,
            nodes: list("/v1/nodes", "nodes").await?,
            recent: held(&self.recent).iter().cloned().collect(),
            webhooks: held(&self.webhooks).clone(),
        })
    }

    /// Sends it and notes what came back.
    async fn ask(&self, client: &Client, ask: &Ask, ledger: &Ledger) {
        let answer = tokio::time::timeout(PATIENCE, async {
            if ask.path.starts_with("http") {
                let (status, headers, body) = raw(Method::POST, &ask.path, &[], None).await?;
                return anyhow::Ok((status, headers, body));
            }
            client.answer(ask.method.clone(), &ask.path, ask.body.as_ref()).await
        });
        let (status, headers, body) = match answer.await {
            Ok(Ok(answer)) => answer,
            _ => (0, hyper::HeaderMap::new(), Value::Null),
        };
        *held(&ledger.answers).entry((ask.verb, status)).or_default() += 1;
        if status == 500 {
            held(&ledger.errors).push(format!("{} {}: {body}", ask.verb, ask.path));
        }
        if ask.verb == "receiver"
            && let Ok(webhook) = text(&body, "/receiver/channel/alarm_url")
        {
            held(&self.webhooks).push(webhook);
        }
        let location = headers.get("location").and_then(|l| l.to_str().ok());
        let named = location
            .and_then(|l| l.rsplit_once("/actions/"))
            .map(|(_, id)| id.to_owned());
        let Some(id) = named.or_else(|| text(&body, "/action").ok()) else {
            return;
        };
        if status == 202 && !ask.verb.ends_with("cancel") {
            held(&ledger.accepted).push(id.clone());
            let mut recent = held(&self.recent);
            recent.push_back(id);
            if recent.len() > 12 {
                recent.pop_front();
            }
        }
    }
}

/// One client of a tenant, until the storm is over.
pub(crate) async fn work(tenant: Arc<Tenant>, ledger: Arc<Ledger>, seed: u64, end: Instant) {
    let mut chance = StdRng::seed_from_u64(seed);
    while Instant::now() < end {
        let at = chance.random_range(0..tenant.clients.len().max(1));
        let Some(client) = tenant.clients.get(at) else { return };
        match tenant.look(client).await {
            Some(sight) => {
                // What is decided is asked of both APIs, by several at once now and then.
                for asks in requests::choose(&mut chance, &tenant, &sight) {
                    let all = asks
                        .iter()
                        .enumerate()
                        .filter_map(|(n, ask)| Some((tenant.clients.get((at + n) % tenant.clients.len())?, ask)))
                        .map(|(client, ask)| tenant.ask(client, ask, &ledger));
                    join_all(all).await;
                }
            }
            None => *held(&ledger.answers).entry(("look", 0)).or_default() += 1,
        }
        tokio::time::sleep(Duration::from_millis(chance.random_range(300..2200))).await;
    }
}

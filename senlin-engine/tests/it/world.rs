//! A database with hosts and clusters in it, and engines that can crash.

use std::sync::Arc;

use senlin_bus::LocalBus;
use senlin_core::{
    Map,
    action::{ActionKind, LockScope, NewAction},
    ids::*,
    seal::Sealer,
};
use senlin_db::{
    Db, actions,
    child_actions::NewNode,
    clusters, nodes,
    policies::{self, NewPolicy},
    profiles::{self, NewProfile},
};
use senlin_drivers::{Connector, sim::Sim};
use senlin_engine::{
    Engine, Parts, Settings,
    actions::faults::{Faults, NoFaults},
    metrics::Metrics,
};
use senlin_testkit::{TestDb, records};
use serde_json::{Value, json};

use crate::by_hand::ByHand;

pub(crate) use crate::strike::{AtStep, Once};

pub(crate) struct World {
    pub(crate) db: TestDb,
    /// One connection, for everything that all engines do.
    one: Db,
    pub(crate) sims: Vec<Sim>,
    pub(crate) sealer: Sealer,
    pub(crate) hosts: ClusterId,
    pub(crate) bus: Arc<LocalBus>,
    tag: String,
}

const PROJECT: &str = "p1";

impl World {
    /// A cluster of `n` simulated hosts.
    pub(crate) async fn new(n: usize) -> Self {
        Self::with(n, "patience=0").await
    }

    /// A cluster of `n` simulated hosts with these knobs.
    pub(crate) async fn with(n: usize, knobs: &str) -> Self {
        let tag = uuid::Uuid::new_v4().simple().to_string();
        let db = TestDb::new().await.unwrap();
        let sealer = Sealer::new(&Sealer::generate_key()).unwrap();
        let mut world = Self {
            one: db.db.apart(1).unwrap(),
            db,
            sims: Vec::new(),
            sealer,
            hosts: ClusterId::random(),
            bus: Arc::default(),
            tag,
        };
        let mut endpoints = Vec::new();
        for i in 0..n {
            let name = format!("{}-{i}", world.tag);
            let sim = Sim::host(&name);
            sim.log_calls();
            world.sims.push(sim);
            endpoints.push(json!({"url": format!("sim://{name}?{knobs}")}));
        }
        let profile = world
            .profile(
                "hosts",
                "host.dockerinc.engine",
                "1.0",
                json!({"endpoints": endpoints}),
                None,
            )
            .await;
        world.hosts = world.cluster("hosts", profile, i32::try_from(n).unwrap()).await.0;
        let engine = world.engine(Arc::new(NoFaults)).await;
        engine.drain().await.unwrap();
        assert_eq!(world.status(world.hosts).await, "ACTIVE");
        world
    }

    pub(crate) async fn engine(&self, faults: Arc<dyn Faults>) -> Arc<Engine> {
        Engine::with_faults(self.parts(self.one.clone()), faults).await.unwrap()
    }

    /// What an engine on this database is made of.
    pub(crate) fn parts(&self, db: Db) -> Parts {
        let mut settings = Settings::default();
        settings.rules.allow_simulated = true;
        // Time does not pass in most tests.
        settings.rules.default_run_for = Some(0.0);
        settings.allow_addresses = vec!["127.0.0.1".to_owned()];
        Parts {
            db,
            bus: self.bus.clone(),
            registry: senlin_profiles::all(),
            connector: Arc::new(Connector::new(senlin_drivers::Settings { allow_simulated: true })),
            sealer: self.sealer.clone(),
            settings,
            metrics: Metrics::default(),
        }
    }

    pub(crate) async fn profile(
        &self,
        name: &str,
        kind: &str,
        version: &str,
        properties: Value,
        host_cluster: Option<ClusterId>,
    ) -> ProfileId {
        let new = NewProfile {
            type_name: format!("{kind}-{version}"),
            spec: json!({"type": kind, "version": version, "properties": properties}),
            host_cluster,
            ..records::profile(PROJECT, name)
        };
        profiles::insert(&mut self.db.db.session(), &new).await.unwrap();
        new.id
    }

    /// A profile of containers on the hosts.
    pub(crate) async fn containers(&self, extra: Value) -> ProfileId {
        let mut properties = json!({"image": "busybox", "host_cluster": "hosts", "memory": "64m"});
        properties
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        self.profile("web", "container.dockerinc.docker", "1.1", properties, Some(self.hosts))
            .await
    }

    pub(crate) async fn cluster(&self, name: &str, profile: ProfileId, size: i32) -> (ClusterId, ActionId) {
        let new = records::cluster(PROJECT, name, profile, size);
        let id = new.id;
        let action = Self::action(
            ActionKind::ClusterCreate,
            id.0,
            Some(id),
            LockScope::Cluster,
            Map::new(),
        );
        clusters::create(&mut self.db.db.session(), &new, &action)
            .await
            .unwrap();
        (id, action.id)
    }

    pub(crate) async fn node(&self, name: &str, profile: ProfileId, cluster: Option<ClusterId>) -> (NodeId, ActionId) {
        let mut conn = self.db.db.session();
        let index = match cluster {
            Some(cluster) => nodes::next_index(&mut conn, cluster).await.unwrap().unwrap(),
            None => -1,
        };
        let node = NewNode {
            cluster_id: cluster,
            index,
            ..records::node(PROJECT, name, profile)
        };
        let id = node.id;
        let scope = if cluster.is_some() {
            LockScope::Member
        } else {
            LockScope::Node
        };
        let action = Self::action(ActionKind::NodeCreate, id.0, cluster, scope, Map::new());
        nodes::create(&mut conn, &node, &action).await.unwrap();
        (id, action.id)
    }

    /// A policy of the world's project.
    pub(crate) async fn policy(&self, name: &str, kind: &str, version: &str, properties: Value) -> PolicyId {
        let new = NewPolicy {
            type_name: format!("{kind}-{version}"),
            spec: json!({"type": kind, "version": version, "properties": properties}),
            ..records::policy(PROJECT, name)
        };
        let mut conn = self.db.db.session();
        policies::insert(&mut conn, &new).await.unwrap();
        new.id
    }

    /// Attaches a policy, and waits until it is.
    pub(crate) async fn attach(&self, cluster: ClusterId, policy: PolicyId) {
        let inputs = json!({"policy_id": policy, "enabled": true});
        let action = self.act(ActionKind::ClusterAttachPolicy, cluster, inputs).await;
        self.settle().await;
        let (status, reason) = self.outcome(action).await;
        assert_eq!(status, "SUCCEEDED", "{reason}");
    }

    fn action(
        kind: ActionKind,
        target: uuid::Uuid,
        cluster: Option<ClusterId>,
        lock_scope: LockScope,
        inputs: Map,
    ) -> NewAction {
        NewAction {
            inputs,
            ..records::action(PROJECT, kind, target, cluster, lock_scope)
        }
    }

    /// Records an action on a cluster.
    pub(crate) async fn act(&self, kind: ActionKind, cluster: ClusterId, inputs: Value) -> ActionId {
        let inputs = inputs.as_object().unwrap().clone();
        let action = Self::action(kind, cluster.0, Some(cluster), LockScope::Cluster, inputs);
        actions::submit(&mut self.db.db.session(), &action, false)
            .await
            .unwrap()
            .unwrap();
        action.id
    }

    /// Records an action on a node.
    pub(crate) async fn act_on_node(&self, kind: ActionKind, node: NodeId, inputs: Value) -> ActionId {
        let cluster = nodes::get(&mut self.db.db.session(), node)
            .await
            .unwrap()
            .unwrap()
            .cluster_id;
        let scope = if cluster.is_some() {
            LockScope::Member
        } else {
            LockScope::Node
        };
        let action = Self::action(kind, node.0, cluster, scope, inputs.as_object().unwrap().clone());
        actions::submit(&mut self.db.db.session(), &action, false)
            .await
            .unwrap()
            .unwrap();
        action.id
    }

    /// The engine of that id is dead: its leases have run out.
    pub(crate) async fn expire(&self) {
        self.db
            .execute("UPDATE actions SET lease_expires_at = now() - interval '1 second' WHERE status = 'RUNNING'")
            .await
            .unwrap();
    }

    /// Back-offs are over.
    pub(crate) async fn skip_waits(&self) {
        self.db
            .execute("UPDATE actions SET run_after = now() WHERE status = 'READY'")
            .await
            .unwrap();
    }

    /// Runs engines until no action is left open.
    pub(crate) async fn settle(&self) {
        let engine = self.engine(Arc::new(NoFaults)).await;
        for _ in 0..40 {
            self.expire().await;
            self.skip_waits().await;
            engine.drain().await.unwrap();
            self.skip_waits().await;
            let open = "SELECT count(*) FROM actions WHERE status NOT IN ('SUCCEEDED', 'FAILED', 'CANCELLED')";
            if self.db.count(open).await.unwrap() == 0 {
                engine.beat_all().await.unwrap();
                // A heartbeat may ask for the check of a node.
                if self.db.count(open).await.unwrap() == 0 {
                    return;
                }
            }
        }
        let open = "SELECT action || ' ' || status || ' ' || phase || ': ' || status_reason FROM actions \
                    WHERE status NOT IN ('SUCCEEDED', 'FAILED', 'CANCELLED')";
        panic!("still open: {:?}", self.db.column(open).await.unwrap());
    }

    pub(crate) async fn status(&self, cluster: ClusterId) -> String {
        let rows = self
            .db
            .column(&format!("SELECT status FROM clusters WHERE id = '{cluster}'"))
            .await
            .unwrap();
        rows.into_iter().next().unwrap_or_else(|| "gone".to_owned())
    }

    pub(crate) async fn outcome(&self, action: ActionId) -> (String, String) {
        let query = format!("SELECT status || '|' || status_reason FROM actions WHERE id = '{action}'");
        let row = self.db.column(&query).await.unwrap().remove(0);
        let (status, reason) = row.split_once('|').unwrap();
        (status.to_owned(), reason.to_owned())
    }

    /// Containers by host.
    pub(crate) fn containers_by_host(&self) -> Vec<usize> {
        self.sims.iter().map(|s| s.list().len()).collect()
    }

    /// What must be true when everything is quiet: no lock, no edge, no open
    /// action; each container has its node, and each node at most one.
    pub(crate) async fn assert_clean(&self, context: &str) {
        for (what, query) in [
            ("cluster locks", "SELECT count(*) FROM cluster_locks"),
            ("node locks", "SELECT count(*) FROM node_locks"),
            ("edges", "SELECT count(*) FROM action_dependencies"),
            (
                "open actions",
                "SELECT count(*) FROM actions WHERE status NOT IN ('SUCCEEDED','FAILED','CANCELLED')",
            ),
            (
                "transitional nodes",
                "SELECT count(*) FROM nodes WHERE status NOT IN ('ACTIVE','ERROR','WARNING')",
            ),
            (
                "transitional clusters",
                "SELECT count(*) FROM clusters WHERE status NOT IN ('ACTIVE','ERROR','WARNING')",
            ),
        ] {
            assert_eq!(self.db.count(query).await.unwrap(), 0, "{what} left: {context}");
        }
        let known = self
            .db
            .column("SELECT physical_id FROM nodes WHERE physical_id IS NOT NULL")
            .await
            .unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for (position, sim) in self.sims.iter().enumerate() {
            for container in sim.list() {
                let node = container.labels["senlin.node"].clone();
                assert!(seen.insert(node.clone()), "node {node} has two containers: {context}");
                let failed = format!("SELECT count(*) FROM nodes WHERE id = '{node}'");
                assert!(
                    known.contains(&container.id) || self.db.count(&failed).await.unwrap() == 1,
                    "container of {node} on host {position} has no node: {context}"
                );
            }
            for (node, most) in sim.most_alive() {
                assert!(most <= 1, "{node} had {most} containers at once: {context}");
            }
        }
    }
}

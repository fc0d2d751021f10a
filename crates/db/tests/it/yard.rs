//! A database with clusters, nodes and actions in it, and short words for what
//! an engine does with them.

use senlin_core::{
    Map,
    action::{Action, ActionKind, ActionStatus, LockScope, NewAction},
    ids::*,
};
use senlin_db::{
    Result, actions,
    child_actions::{self, NewNode},
    clusters,
    fence::{self, End, Fence},
    profiles,
    queue::{self, Limits},
};
use senlin_testkit::{TestDb, records};
use uuid::Uuid;

pub(crate) const LIMITS: Limits = Limits {
    per_project: 96,
    per_host: 1000,
    lease: 60,
};

/// A cluster and its members.
#[derive(Debug, Clone)]
pub(crate) struct Herd {
    pub(crate) id: ClusterId,
    pub(crate) nodes: Vec<NodeId>,
}

pub(crate) struct Yard {
    pub(crate) db: TestDb,
    pub(crate) owner: ServiceId,
    pub(crate) profile: ProfileId,
}

pub(crate) fn end(status: ActionStatus) -> End {
    End {
        status,
        reason: "So it ended.".to_owned(),
        outputs: Map::new(),
    }
}

impl Yard {
    pub(crate) async fn new() -> Self {
        let db = TestDb::new().await.unwrap();
        let new = records::profile("p", "p");
        profiles::insert(&mut db.db.session(), &new).await.unwrap();
        Self {
            db,
            owner: ServiceId::random(),
            profile: new.id,
        }
    }

    /// A cluster with so many members, all ACTIVE.
    pub(crate) async fn cluster(&self, project: &str, members: i32) -> Herd {
        let new = records::cluster(project, "c", self.profile, members);
        let id = new.id;
        clusters::insert(&mut self.db.db.session(), &new).await.unwrap();
        let mut nodes = Vec::new();
        for index in 0..members {
            nodes.push(self.node(project, Some(id), index).await);
        }
        self.db
            .execute(&format!("UPDATE clusters SET status = 'ACTIVE' WHERE id = '{id}'"))
            .await
            .unwrap();
        Herd { id, nodes }
    }

    /// A node, ACTIVE.
    pub(crate) async fn node(&self, project: &str, cluster: Option<ClusterId>, index: i32) -> NodeId {
        let new = NewNode {
            cluster_id: cluster,
            index,
            ..records::node(project, &format!("n{index}"), self.profile)
        };
        let id = new.id;
        child_actions::insert_nodes(&mut self.db.db.session(), &[new])
            .await
            .unwrap();
        self.db
            .execute(&format!(
                "UPDATE nodes SET status = 'ACTIVE', physical_id = '{id}' WHERE id = '{id}'"
            ))
            .await
            .unwrap();
        id
    }

    pub(crate) fn action(
        project: &str,
        kind: ActionKind,
        target: Uuid,
        cluster: Option<ClusterId>,
        lock_scope: LockScope,
    ) -> NewAction {
        records::action(project, kind, target, cluster, lock_scope)
    }

    pub(crate) async fn submit(&self, action: NewAction) -> ActionId {
        let mut conn = self.db.db.session();
        actions::submit(&mut conn, &action, false).await.unwrap().unwrap();
        action.id
    }

    pub(crate) async fn check_cluster(&self, project: &str, cluster: ClusterId) -> ActionId {
        let kind = ActionKind::ClusterCheck;
        self.submit(Self::action(
            project,
            kind,
            cluster.0,
            Some(cluster),
            LockScope::Cluster,
        ))
        .await
    }

    pub(crate) async fn check_member(&self, project: &str, cluster: ClusterId, node: NodeId) -> ActionId {
        let kind = ActionKind::NodeCheck;
        self.submit(Self::action(project, kind, node.0, Some(cluster), LockScope::Member))
            .await
    }

    pub(crate) async fn check_orphan(&self, project: &str, node: NodeId) -> ActionId {
        let kind = ActionKind::NodeCheck;
        self.submit(Self::action(project, kind, node.0, None, LockScope::Node))
            .await
    }

    pub(crate) async fn claim_cluster(&self, free: i64) -> Option<Action> {
        let mut conn = self.db.db.session();
        let claimed = queue::claim_cluster(&mut conn, self.owner, free, LIMITS).await.unwrap();
        claimed.map(|c| c.action)
    }

    pub(crate) async fn claim_nodes(&self, most: i64) -> Vec<Action> {
        let mut conn = self.db.db.session();
        let claimed = queue::claim_nodes(&mut conn, self.owner, most, LIMITS).await.unwrap();
        claimed.into_iter().map(|c| c.action).collect()
    }

    pub(crate) async fn finish(&self, action: &Action) -> Result<Vec<ActionId>> {
        let mut conn = self.db.db.session();
        fence::finish(
            &mut conn,
            Fence::of(action).unwrap(),
            &end(ActionStatus::Succeeded),
            None,
        )
        .await
    }

    pub(crate) async fn cancel(&self, id: ActionId) {
        actions::cancel(&mut self.db.db.session(), id).await.unwrap();
    }

    pub(crate) async fn sweep(&self) -> queue::Swept {
        queue::sweep(&mut self.db.db.session()).await.unwrap()
    }

    pub(crate) async fn status(&self, action: ActionId) -> String {
        let query = format!("SELECT status FROM actions WHERE id = '{action}'");
        self.db.column(&query).await.unwrap().remove(0)
    }

    pub(crate) async fn reason(&self, action: ActionId) -> String {
        let query = format!("SELECT status_reason FROM actions WHERE id = '{action}'");
        self.db.column(&query).await.unwrap().remove(0)
    }

    /// Whether a condition on its row holds.
    pub(crate) async fn is(&self, action: ActionId, condition: &str) -> bool {
        let query = format!("SELECT count(*) FROM actions WHERE id = '{action}' AND {condition}");
        self.db.count(&query).await.unwrap() == 1
    }
}

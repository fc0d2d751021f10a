//! Members: nodes entering, leaving and going, on behalf of an action.

use diesel::sql_types::{Integer, Nullable, Text, Uuid as SqlUuid};
use senlin_core::{Map, ids::*, node::NodeStatus};
use uuid::Uuid;

use crate::{
    Conn, DbError, Result,
    attempts::{self, Kept},
    fence::{self, End, Fence, NodeChange},
    placement,
    run::Run,
    sql::{Sql, row},
};

row! { MemberRow {
    id: Uuid = SqlUuid,
    name: String = Text,
    status: String = Text,
    host_id: Option<Uuid> = Nullable<SqlUuid>,
    profile_id: Uuid = SqlUuid,
    tainted: bool = diesel::sql_types::Bool,
    created_at: Option<senlin_core::Time> = Nullable<diesel::sql_types::Timestamptz>,
    profile_created_at: senlin_core::Time = diesel::sql_types::Timestamptz,
    containers: i32 = Integer,
    protected: bool = diesel::sql_types::Bool,
    zone: Option<String> = Nullable<Text>,
    region: Option<String> = Nullable<Text>,
}}

/// A member, as choosing among members needs it.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "columns of the same names")]
pub struct Member {
    pub id: NodeId,
    pub name: String,
    pub status: NodeStatus,
    pub host_id: Option<NodeId>,
    pub profile_id: ProfileId,
    pub tainted: bool,
    pub created_at: Option<senlin_core::Time>,
    pub profile_created_at: senlin_core::Time,
    /// Containers on it, when it is a host.
    pub containers: i32,
    /// It protects itself from going for now.
    pub protected: bool,
    /// Of its host, or its own when it is one.
    pub zone: Option<String>,
    /// Of its host, or its own when it is one.
    pub region: Option<String>,
}

/// A cluster's members by index.
///
/// # Errors
/// When the database does not answer.
pub async fn list(conn: &mut Conn, cluster: ClusterId) -> Result<Vec<Member>> {
    let rows: Vec<MemberRow> = Sql::new(
        "SELECT n.id, n.name, n.status, n.host_id, n.profile_id, n.tainted, n.created_at, p.created_at AS profile_created_at,
            (SELECT count(*)::int FROM nodes c WHERE c.host_id = n.id) AS containers,
            coalesce(n.protected_until > now(), false) AS protected,
            coalesce(hp.spec #>> '{properties,zone}', h.info #>> '{labels,zone}') AS zone,
            coalesce(hp.spec #>> '{properties,labels,region}', h.info #>> '{labels,region}') AS region
        FROM nodes n JOIN profiles p ON p.id = n.profile_id
        LEFT JOIN hosts h ON h.node_id = coalesce(n.host_id, n.id)
        LEFT JOIN nodes hn ON hn.id = h.node_id LEFT JOIN profiles hp ON hp.id = hn.profile_id
        WHERE n.cluster_id = ? ORDER BY n.index, n.id",
    )
    .bind(cluster)
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|r| {
            Ok(Member {
                id: r.id.into(),
                name: r.name,
                status: NodeStatus::parse(&r.status).ok_or(DbError::Corrupt {
                    column: "nodes.status",
                    value: r.status,
                })?,
                host_id: r.host_id.map(Into::into),
                profile_id: r.profile_id.into(),
                tainted: r.tainted,
                created_at: r.created_at,
                profile_created_at: r.profile_created_at,
                containers: r.containers,
                protected: r.protected,
                zone: r.zone,
                region: r.region,
            })
        })
        .collect()
}

/// Ends a NODE_JOIN: the node becomes the cluster's next member.
///
/// # Errors
/// [`DbError::LeaseLost`].
pub async fn join(conn: &mut Conn, fence: Fence, node: NodeId, cluster: ClusterId, end: &End) -> Result<Vec<ActionId>> {
    conn.transaction(async |conn| {
        fence::lock_action(conn, fence).await?;
        Sql::new(
            "WITH next AS (UPDATE clusters SET next_index = next_index + 1 WHERE id = ?
                AND EXISTS (SELECT 1 FROM nodes WHERE id = ? AND cluster_id IS DISTINCT FROM ?)
                RETURNING id, next_index - 1 AS index)
            UPDATE nodes n SET cluster_id = next.id, index = next.index, updated_at = now()
            FROM next WHERE n.id = ?",
        )
        .bind(cluster)
        .bind(node)
        .bind(cluster)
        .bind(node)
        .run(conn)
        .await?;
        fence::finish(conn, fence, end, None).await
    })
    .await
}

/// Ends a NODE_LEAVE: the node goes on without a cluster.
///
/// # Errors
/// [`DbError::LeaseLost`].
pub async fn leave(conn: &mut Conn, fence: Fence, node: NodeId, end: &End) -> Result<Vec<ActionId>> {
    conn.transaction(async |conn| {
        fence::lock_action(conn, fence).await?;
        Sql::new("UPDATE nodes SET cluster_id = NULL, index = -1, updated_at = now() WHERE id = ?")
            .bind(node)
            .run(conn)
            .await?;
        fence::finish(conn, fence, end, None).await
    })
    .await
}

/// Ends a NODE_DELETE: the row goes, and leaves word that it has gone. With `leftover`, what may still run on
/// its silent host is noted, to be removed when the host answers. `cluster`
/// gets the status that is then true.
///
/// # Errors
/// [`DbError::LeaseLost`]; a foreign-key violation for a host with containers.
pub async fn delete(
    conn: &mut Conn,
    fence: Fence,
    node: NodeId,
    leftover: bool,
    cluster: Option<ClusterId>,
    end: &End,
) -> Result<Vec<ActionId>> {
    conn.transaction(async |conn| {
        fence::lock_action(conn, fence).await?;
        if leftover {
            placement::note_leftover(conn, node).await?;
        }
        let parents = fence::finish(conn, fence, end, None).await?;
        // What is found of it later is known to have gone.
        Sql::new(
            "INSERT INTO departed_nodes (node_id, generation)
            SELECT id, greatest(generation, generations) FROM nodes WHERE id = ?
            ON CONFLICT (node_id) DO UPDATE SET generation = excluded.generation, departed_at = now()",
        )
        .bind(node)
        .run(conn)
        .await?;
        Sql::new("DELETE FROM nodes WHERE id = ?").bind(node).run(conn).await?;
        if let Some(cluster) = cluster {
            fence::reevaluate(conn, cluster, "NODE_DELETE").await?;
        }
        Ok(parents)
    })
    .await
}

/// What became of the deletion of a cluster.
#[derive(Debug)]
pub enum Deletion {
    /// It is gone. The parents to wake.
    Done(Vec<ActionId>),
    /// It has members; nothing was changed.
    HasMembers,
    /// Profiles name it as their hosts; nothing was changed.
    HasProfiles,
}

row! { ReferencesRow { members: bool = diesel::sql_types::Bool, profiles: bool = diesel::sql_types::Bool } }

/// Ends a CLUSTER_DELETE: the row goes, with its bindings and receivers.
///
/// # Errors
/// [`DbError::LeaseLost`].
pub async fn delete_cluster(conn: &mut Conn, fence: Fence, cluster: ClusterId, end: &End) -> Result<Deletion> {
    conn.transaction(async |conn| {
        fence::lock_action(conn, fence).await?;
        // Before the locks go, or a claim that holds the cluster would wait for
        // them; and whoever is to refer to it waits until it is gone.
        Sql::new("SELECT id FROM clusters WHERE id = ? FOR UPDATE")
            .bind(cluster)
            .run(conn)
            .await?;
        let references: Option<ReferencesRow> = Sql::new(
            "SELECT EXISTS (SELECT 1 FROM nodes WHERE cluster_id = ?) AS members,
                EXISTS (SELECT 1 FROM profiles WHERE host_cluster_id = ?) AS profiles",
        )
        .bind(cluster)
        .bind(cluster)
        .fetch_optional(conn)
        .await?;
        match references {
            Some(found) if found.members => return Ok(Deletion::HasMembers),
            Some(found) if found.profiles => return Ok(Deletion::HasProfiles),
            _ => {}
        }
        let parents = fence::finish(conn, fence, end, None).await?;
        Sql::new("DELETE FROM clusters WHERE id = ?")
            .bind(cluster)
            .run(conn)
            .await?;
        Ok(Deletion::Done(parents))
    })
    .await
}

/// What an update changes; none leaves a field as it is.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "columns of the same names")]
pub struct Change {
    pub name: Option<String>,
    pub profile_id: Option<ProfileId>,
    pub role: Option<String>,
    pub metadata: Option<Map>,
    pub tainted: Option<bool>,
    pub timeout: Option<i32>,
    pub config: Option<Map>,
}

/// Ends a NODE_UPDATE. `kept`: how its attempt is settled. `cluster` gets the
/// status that is then true.
///
/// # Errors
/// [`DbError::LeaseLost`].
#[expect(clippy::too_many_arguments, reason = "one transaction's worth of facts")]
pub async fn update_node(
    conn: &mut Conn,
    fence: Fence,
    node: NodeId,
    change: &Change,
    kept: Option<&Kept>,
    end: &End,
    after: &NodeChange,
    cluster: Option<ClusterId>,
) -> Result<Vec<ActionId>> {
    conn.transaction(async |conn| {
        fence::lock_action(conn, fence).await?;
        if let Some(kept) = kept {
            attempts::settle(conn, node, kept).await?;
        }
        Sql::new(
            "UPDATE nodes SET name = coalesce(?, name), profile_id = coalesce(?, profile_id),
                role = coalesce(?, role), metadata = coalesce(?, metadata), tainted = coalesce(?, tainted)
            WHERE id = ?",
        )
        .bind(change.name.as_deref())
        .bind(change.profile_id)
        .bind(change.role.as_deref())
        .bind(change.metadata.clone().map(serde_json::Value::Object))
        .bind(change.tainted)
        .bind(node)
        .run(conn)
        .await?;
        let parents = fence::finish(conn, fence, end, Some(after)).await?;
        if let Some(cluster) = cluster {
            fence::reevaluate(conn, cluster, "NODE_UPDATE").await?;
        }
        Ok(parents)
    })
    .await
}

/// Applies a CLUSTER_UPDATE's own fields.
///
/// # Errors
/// [`DbError::LeaseLost`].
pub async fn update_cluster(conn: &mut Conn, fence: Fence, cluster: ClusterId, change: &Change) -> Result<()> {
    conn.transaction(async |conn| {
        fence::lock_action(conn, fence).await?;
        Sql::new(
            "UPDATE clusters SET name = coalesce(?, name), profile_id = coalesce(?, profile_id),
                metadata = coalesce(?, metadata), timeout = coalesce(?, timeout), config = coalesce(?, config),
                updated_at = now()
            WHERE id = ?",
        )
        .bind(change.name.as_deref())
        .bind(change.profile_id)
        .bind(change.metadata.clone().map(serde_json::Value::Object))
        .bind(change.timeout)
        .bind(change.config.clone().map(serde_json::Value::Object))
        .bind(cluster)
        .run(conn)
        .await?;
        Ok(())
    })
    .await
}

/// Ends a member's own action (not its parent's) and sets the cluster's status
/// to what is true now; `desired` is the size asked for from now on.
///
/// # Errors
/// [`DbError::LeaseLost`].
pub async fn finish_member(
    conn: &mut Conn,
    fence: Fence,
    end: &End,
    node: Option<&NodeChange>,
    cluster: ClusterId,
    operation: &str,
) -> Result<Vec<ActionId>> {
    conn.transaction(async |conn| {
        let parents = fence::finish(conn, fence, end, node).await?;
        fence::reevaluate(conn, cluster, operation).await?;
        Ok(parents)
    })
    .await
}

/// How a node that is one too many for its cluster is refused: the end of its
/// creation, given the size that the cluster would have and the largest it may.
pub type Refuse<'a> = &'a (dyn Fn(i32, i32) -> End + Sync);

/// Counts the node that a user creates in a cluster as asked for, before it is begun. One that is too
/// many leaves the cluster, and its creation ends: the parents to wake are
/// returned then. Of several at the same moment as many get in as there is room.
///
/// # Errors
/// [`DbError::LeaseLost`].
pub async fn admit(
    conn: &mut Conn,
    fence: Fence,
    cluster: ClusterId,
    refuse: Refuse<'_>,
) -> Result<Option<Vec<ActionId>>> {
    conn.transaction(async |conn| {
        fence::lock_action(conn, fence).await?;
        let Some(counts) = fence::locked_counts(conn, cluster).await? else {
            return Ok(None);
        };
        if counts.max >= 0 && counts.total > counts.max {
            let end = refuse(counts.total, counts.max);
            let change = NodeChange {
                status: Some(NodeStatus::Error),
                reason: end.reason.clone(),
                leave_unbegun: true,
                ..NodeChange::default()
            };
            let parents = fence::finish(conn, fence, &end, Some(&change)).await?;
            fence::reevaluate(conn, cluster, "NODE_CREATE").await?;
            return Ok(Some(parents));
        }
        if counts.total > counts.desired {
            set_desired(conn, cluster, counts.total).await?;
        }
        Ok(None)
    })
    .await
}

/// A member that is to go is not asked for any more, if `reduce`. Returns the
/// size that would be left and the cluster's min_size where that is too few;
/// with `force` it never is.
///
/// # Errors
/// [`DbError::LeaseLost`].
pub async fn count_out(
    conn: &mut Conn,
    fence: Fence,
    cluster: ClusterId,
    reduce: bool,
    force: bool,
) -> Result<Option<(i32, i32)>> {
    conn.transaction(async |conn| {
        fence::lock_action(conn, fence).await?;
        let Some(counts) = fence::locked_counts(conn, cluster).await? else {
            return Ok(None);
        };
        let left = counts.total - 1;
        if left < counts.min && !force {
            return Ok(Some((left, counts.min)));
        }
        if reduce && left < counts.desired {
            set_desired(conn, cluster, left.max(0)).await?;
        }
        Ok(None)
    })
    .await
}

async fn set_desired(conn: &mut Conn, cluster: ClusterId, desired: i32) -> Result<()> {
    Sql::new("UPDATE clusters SET desired_capacity = ? WHERE id = ?")
        .bind(desired)
        .bind(cluster)
        .run(conn)
        .await?;
    Ok(())
}

/// Bumps the node's generation: what carries an older one is to go.
///
/// # Errors
/// [`DbError::LeaseLost`].
pub async fn next_generation(conn: &mut Conn, fence: Fence, node: NodeId, phase: &str) -> Result<()> {
    conn.transaction(async |conn| {
        crate::child_actions::enter(conn, fence, phase).await?;
        Sql::new(
            "UPDATE nodes SET generation = greatest(generation, generations) + 1, physical_id = NULL WHERE id = ?",
        )
        .bind(node)
        .run(conn)
        .await?;
        Ok(())
    })
    .await
}

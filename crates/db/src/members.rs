//! Members: nodes entering, leaving and going, on behalf of an action.

use diesel::{
    dsl::{exists, now},
    prelude::*,
    sql_types::{Bool, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
    upsert::excluded,
};
use senlin_core::{Map, Time, ids::*, node::NodeStatus};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    Conn, Result,
    attempts::{self, Kept},
    child_actions,
    fence::{self, End, Fence, NodeChange},
    functions::{coalesce, greatest},
    placement,
    run::Run,
    schema::{clusters, departed_nodes, nodes, profiles},
    statements::{join_cluster::join_cluster, list_members::list_members},
    stored::{MaybeId, Word},
};

/// A member, as choosing among members needs it.
#[derive(Debug, Clone, QueryableByName)]
#[expect(missing_docs, reason = "columns of the same names")]
pub struct Member {
    #[diesel(sql_type = SqlUuid, deserialize_as = Uuid)]
    pub id: NodeId,
    #[diesel(sql_type = Text)]
    pub name: String,
    #[diesel(sql_type = Text, deserialize_as = Word<NodeStatus>)]
    pub status: NodeStatus,
    #[diesel(sql_type = Nullable<SqlUuid>, deserialize_as = MaybeId)]
    pub host_id: Option<NodeId>,
    #[diesel(sql_type = SqlUuid, deserialize_as = Uuid)]
    pub profile_id: ProfileId,
    #[diesel(sql_type = Bool)]
    pub tainted: bool,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub created_at: Option<Time>,
    #[diesel(sql_type = Timestamptz)]
    pub profile_created_at: Time,
    /// Containers on it, when it is a host.
    #[diesel(sql_type = Integer)]
    pub containers: i32,
    /// It protects itself from going for now.
    #[diesel(sql_type = Bool)]
    pub protected: bool,
    /// Of its host, or its own when it is one.
    #[diesel(sql_type = Nullable<Text>)]
    pub zone: Option<String>,
    /// Of its host, or its own when it is one.
    #[diesel(sql_type = Nullable<Text>)]
    pub region: Option<String>,
}

/// A cluster's members by index.
pub async fn list(conn: &mut Conn, cluster: ClusterId) -> Result<Vec<Member>> {
    list_members(conn, cluster).await
}

/// Ends a NODE_JOIN: the node becomes the cluster's next member.
///
/// # Errors
/// [`crate::DbError::LeaseLost`].
pub async fn join(conn: &mut Conn, fence: Fence, node: NodeId, cluster: ClusterId, end: &End) -> Result<Vec<ActionId>> {
    conn.transaction(async |conn| {
        fence::lock_action(conn, fence).await?;
        join_cluster(conn, node, cluster).await?;
        fence::finish(conn, fence, end, None).await
    })
    .await
}

/// Ends a NODE_LEAVE: the node goes on without a cluster.
///
/// # Errors
/// [`crate::DbError::LeaseLost`].
pub async fn leave(conn: &mut Conn, fence: Fence, node: NodeId, end: &End) -> Result<Vec<ActionId>> {
    conn.transaction(async |conn| {
        fence::lock_action(conn, fence).await?;
        diesel::update(nodes::table.find(node.0))
            .set((
                nodes::cluster_id.eq(None::<Uuid>),
                nodes::index.eq(-1),
                nodes::updated_at.eq(now),
            ))
            .run(conn)
            .await?;
        fence::finish(conn, fence, end, None).await
    })
    .await
}

/// Ends a NODE_DELETE: the row goes, and leaves word that it has gone. With
/// `leftover`, what may still run on its silent host is noted, to be removed
/// when the host answers. `cluster` gets the status that is then true.
///
/// # Errors
/// [`crate::DbError::LeaseLost`]; a foreign-key violation for a host with containers.
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
        nodes::table
            .find(node.0)
            .select((
                nodes::id,
                greatest::<Integer, _, _>(nodes::generation, nodes::generations),
            ))
            .insert_into(departed_nodes::table)
            .into_columns((departed_nodes::node_id, departed_nodes::generation))
            .on_conflict(departed_nodes::node_id)
            .do_update()
            .set((
                departed_nodes::generation.eq(excluded(departed_nodes::generation)),
                departed_nodes::departed_at.eq(now),
            ))
            .run(conn)
            .await?;
        diesel::delete(nodes::table.find(node.0)).run(conn).await?;
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

/// Ends a CLUSTER_DELETE: the row goes, with its bindings and receivers.
///
/// # Errors
/// [`crate::DbError::LeaseLost`].
pub async fn delete_cluster(conn: &mut Conn, fence: Fence, cluster: ClusterId, end: &End) -> Result<Deletion> {
    conn.transaction(async |conn| {
        fence::lock_action(conn, fence).await?;
        // Before the locks go, or a claim that holds the cluster would wait for
        // them; and whoever is to refer to it waits until it is gone.
        let held = clusters::table.find(cluster.0).select(clusters::id).for_update();
        held.run(conn).await?;
        let references: Option<(bool, bool)> = diesel::select((
            exists(nodes::table.filter(nodes::cluster_id.eq(cluster.0))),
            exists(profiles::table.filter(profiles::host_cluster_id.eq(cluster.0))),
        ))
        .fetch_optional(conn)
        .await?;
        match references {
            Some((true, _)) => return Ok(Deletion::HasMembers),
            Some((_, true)) => return Ok(Deletion::HasProfiles),
            _ => {}
        }
        let parents = fence::finish(conn, fence, end, None).await?;
        diesel::delete(clusters::table.find(cluster.0)).run(conn).await?;
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

fn document(map: Option<&Map>) -> Option<Value> {
    map.cloned().map(Value::Object)
}

/// Ends a NODE_UPDATE. `kept`: how its attempt is settled. `cluster` gets the
/// status that is then true.
///
/// # Errors
/// [`crate::DbError::LeaseLost`].
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
        diesel::update(nodes::table.find(node.0))
            .set((
                nodes::name.eq(coalesce(change.name.as_deref(), nodes::name)),
                nodes::profile_id.eq(coalesce(change.profile_id.map(Uuid::from), nodes::profile_id)),
                change.role.as_deref().map(|role| nodes::role.eq(role)),
                nodes::metadata.eq(coalesce(document(change.metadata.as_ref()), nodes::metadata)),
                nodes::tainted.eq(coalesce(change.tainted, nodes::tainted)),
            ))
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
/// [`crate::DbError::LeaseLost`].
pub async fn update_cluster(conn: &mut Conn, fence: Fence, cluster: ClusterId, change: &Change) -> Result<()> {
    conn.transaction(async |conn| {
        fence::lock_action(conn, fence).await?;
        diesel::update(clusters::table.find(cluster.0))
            .set((
                clusters::name.eq(coalesce(change.name.as_deref(), clusters::name)),
                clusters::profile_id.eq(coalesce(change.profile_id.map(Uuid::from), clusters::profile_id)),
                clusters::metadata.eq(coalesce(document(change.metadata.as_ref()), clusters::metadata)),
                clusters::timeout.eq(coalesce(change.timeout, clusters::timeout)),
                clusters::config.eq(coalesce(document(change.config.as_ref()), clusters::config)),
                clusters::updated_at.eq(now),
            ))
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
/// [`crate::DbError::LeaseLost`].
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

/// Counts the node that a user creates in a cluster as asked for, before it is
/// begun. One that is too many leaves the cluster, and its creation ends: the
/// parents to wake are returned then. Of several at the same moment as many get
/// in as there is room.
///
/// # Errors
/// [`crate::DbError::LeaseLost`].
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
/// [`crate::DbError::LeaseLost`].
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
    diesel::update(clusters::table.find(cluster.0))
        .set(clusters::desired_capacity.eq(desired))
        .run(conn)
        .await?;
    Ok(())
}

/// Bumps the node's generation: what carries an older one is to go.
///
/// # Errors
/// [`crate::DbError::LeaseLost`].
pub async fn next_generation(conn: &mut Conn, fence: Fence, node: NodeId, phase: &str) -> Result<()> {
    conn.transaction(async |conn| {
        child_actions::enter(conn, fence, phase).await?;
        diesel::update(nodes::table.find(node.0))
            .set((
                nodes::generation.eq(greatest::<Integer, _, _>(nodes::generation, nodes::generations) + 1),
                nodes::physical_id.eq(None::<String>),
            ))
            .run(conn)
            .await?;
        Ok(())
    })
    .await
}

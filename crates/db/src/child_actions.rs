//! Children: recorded in one transaction with their parent's wait for them.

use diesel::{
    dsl::now,
    prelude::*,
    sql_types::{Array, SingleValue, Uuid as SqlUuid},
};
use senlin_core::{
    Map,
    action::NewAction,
    ids::*,
    placement::{HostSnapshot, Requirements},
};
use uuid::Uuid;

use crate::{
    Conn, DbError, Result,
    fence::{self, Fence},
    functions::coalesce,
    placement::{self, Place},
    run::Run,
    schema::{action_dependencies, actions, clusters},
    statements::{self, park_action::park_action},
};

diesel::define_sql_function! {
    /// A row of each.
    fn unnest<T: SingleValue>(all: Array<T>) -> T;
}

/// A node to be made by a child.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "columns of the same names")]
pub struct NewNode {
    pub id: NodeId,
    pub name: String,
    pub cluster_id: Option<ClusterId>,
    pub profile_id: ProfileId,
    pub user: String,
    pub project: String,
    pub domain: Option<String>,
    pub index: i32,
    pub role: Option<String>,
    pub metadata: Map,
}

/// Inserts nodes in one statement.
pub async fn insert_nodes(conn: &mut Conn, nodes: &[NewNode]) -> Result<()> {
    let nodes: Vec<_> = nodes.iter().map(|n| (n, None)).collect();
    statements::insert_nodes::insert_nodes(conn, &nodes).await
}

/// Inserts actions in one statement. The names of their targets are looked up;
/// `phase` marks which wait of the parent they belong to.
pub async fn insert_actions(conn: &mut Conn, actions: &[NewAction], phase: &str) -> Result<()> {
    statements::insert_actions::insert_actions(conn, actions, &[], phase).await
}

/// Records children and puts the parent to wait for them in `phase`; its slot
/// is free from then on, its locks stay.
///
/// Call it inside a transaction, with what else the phase writes.
///
/// # Errors
/// [`DbError::LeaseLost`].
pub async fn wait_for(conn: &mut Conn, fence: Fence, phase: &str, children: &[NewAction]) -> Result<()> {
    wait_for_named(conn, fence, phase, children, &[]).await
}

async fn wait_for_named(
    conn: &mut Conn,
    fence: Fence,
    phase: &str,
    children: &[NewAction],
    names: &[String],
) -> Result<()> {
    statements::insert_actions::insert_actions(conn, children, names, phase).await?;
    let depended: Vec<Uuid> = children.iter().map(|c| c.id.0).collect();
    diesel::select((unnest::<SqlUuid, _>(depended), fence.action.0.into_sql::<SqlUuid>()))
        .insert_into(action_dependencies::table)
        .into_columns((action_dependencies::depended, action_dependencies::dependent))
        .run(conn)
        .await?;
    let reason = format!("Waiting for {} actions.", children.len());
    park(conn, fence, phase, &reason).await
}

/// Puts the action to wait in `phase` for the dependencies it already has.
///
/// # Errors
/// [`DbError::LeaseLost`].
pub async fn park(conn: &mut Conn, fence: Fence, phase: &str, reason: &str) -> Result<()> {
    park_action(conn, fence, phase, reason).await
}

/// Moves on to another phase without waiting (what the phase did is recorded).
///
/// # Errors
/// [`DbError::LeaseLost`].
pub async fn enter(conn: &mut Conn, fence: Fence, phase: &str) -> Result<()> {
    let touched = diesel::update(actions::table.filter(fence::is_ours(fence)))
        .set((
            actions::phase.eq(phase),
            actions::updated_at.eq(now),
            actions::retries.eq(0),
            actions::data.eq(actions::data.remove(vec!["failing_since", "waits_for"])),
        ))
        .run(conn)
        .await?;
    fence::ours(touched)
}

/// Sizes that a cluster action sets; none leaves one as it is.
#[derive(Debug, Clone, Copy, Default)]
#[expect(missing_docs, reason = "columns of the same names")]
pub struct SizeChange {
    pub desired: Option<i32>,
    pub min: Option<i32>,
    pub max: Option<i32>,
}

async fn set_sizes(conn: &mut Conn, cluster: ClusterId, size: SizeChange) -> Result<()> {
    diesel::update(clusters::table.find(cluster.0))
        .set((
            clusters::desired_capacity.eq(coalesce(size.desired, clusters::desired_capacity)),
            clusters::min_size.eq(coalesce(size.min, clusters::min_size)),
            clusters::max_size.eq(coalesce(size.max, clusters::max_size)),
        ))
        .run(conn)
        .await?;
    Ok(())
}

/// Sets sizes and launches children for members that exist already, in one
/// fenced transaction. Without children it only enters the phase.
///
/// # Errors
/// [`DbError::LeaseLost`].
pub async fn launch(
    conn: &mut Conn,
    fence: Fence,
    cluster: ClusterId,
    size: SizeChange,
    phase: &str,
    children: &[NewAction],
) -> Result<()> {
    conn.transaction(async |conn| {
        fence::lock_action(conn, fence).await?;
        set_sizes(conn, cluster, size).await?;
        if children.is_empty() {
            enter(conn, fence, phase).await
        } else {
            wait_for(conn, fence, phase, children).await
        }
    })
    .await
}

/// The first of a cluster's next `count` indexes, which are used up.
pub(crate) async fn take_indexes(conn: &mut Conn, cluster: ClusterId, count: i32) -> Result<Option<i32>> {
    diesel::update(clusters::table.find(cluster.0))
        .set(clusters::next_index.eq(clusters::next_index + count))
        .returning(clusters::next_index - count)
        .fetch_optional(conn)
        .await
}

/// A member to be made: its row, its action, and its place if one was found.
#[derive(Debug, Clone)]
pub struct NewMember {
    /// The row.
    pub node: NewNode,
    /// Its NODE_CREATE.
    pub action: NewAction,
    /// Where it goes.
    pub place: Option<Place>,
}

/// Grows a cluster by `count`: sizes, indexes, places, rows and actions in one
/// fenced transaction, after which the parent waits in `phase`.
///
/// `plan` gets the hosts as they are and the first index, and returns the
/// members and what the action tells of them; it must be pure, for it may be
/// asked again, and its refusal leaves everything as it was.
///
/// # Errors
/// [`DbError::LeaseLost`].
#[expect(clippy::too_many_arguments, reason = "one transaction's worth of facts")]
pub async fn grow<E: Send>(
    conn: &mut Conn,
    fence: Fence,
    cluster: ClusterId,
    size: SizeChange,
    count: i32,
    requirements: &Requirements,
    phase: &str,
    mut plan: impl FnMut(Vec<HostSnapshot>, i32) -> std::result::Result<(Vec<NewMember>, Map), E> + Send,
) -> Result<std::result::Result<(), E>> {
    for how in placement::TRIES {
        let plan = &mut plan;
        let mut kept = None;
        let done = conn
            .transaction(async |conn| {
                fence::lock_action(conn, fence).await?;
                set_sizes(conn, cluster, size).await?;
                let first = take_indexes(conn, cluster, count).await?;
                let first = first.ok_or(DbError::LeaseLost)?;
                let (hosts, seen) = placement::snapshot(conn, requirements, Some(cluster), how).await?;
                let (new_members, told) = match plan(hosts, first) {
                    Ok(new_members) => new_members,
                    Err(why) => return Err(roll_back(&mut kept, Kept::Refused(why))),
                };
                let places: Vec<_> = new_members
                    .iter()
                    .filter_map(|b| b.place.clone().map(|place| (b.node.id, place)))
                    .collect();
                let names: Vec<_> = new_members.iter().map(|b| b.node.name.clone()).collect();
                fence::merge_data(conn, fence, &told, &Map::new()).await?;
                let actions: Vec<_> = new_members
                    .iter()
                    .map(|b| NewAction {
                        host_id: b.place.as_ref().map(|p| p.host),
                        ..b.action.clone()
                    })
                    .collect();
                wait_for_named(conn, fence, phase, &actions, &names).await?;
                let nodes: Vec<_> = new_members.iter().map(|b| (&b.node, b.place.as_ref())).collect();
                // Its end locks the hosts: others wait for them as briefly as can be.
                match statements::insert_nodes::insert_nodes(conn, &nodes).await {
                    // A host has gone.
                    Err(error) if error.is_in_use() && how == placement::Try::Light => {
                        return Err(roll_back(&mut kept, Kept::Stale));
                    }
                    inserted => inserted?,
                }
                if !seen.held(conn, &places).await? {
                    return Err(roll_back(&mut kept, Kept::Stale));
                }
                placement::keep_ports(conn, &places).await
            })
            .await;
        match kept {
            Some(Kept::Refused(why)) => return Ok(Err(why)),
            Some(Kept::Stale) => {}
            None => return done.map(Ok),
        }
    }
    Err(placement::unsure())
}

/// Why a growth was rolled back.
enum Kept<E> {
    /// The plan refused.
    Refused(E),
    /// The hosts do not take the plan any more.
    Stale,
}

/// Notes why, and returns an error that rolls the transaction back.
fn roll_back<E>(kept: &mut Option<Kept<E>>, why: Kept<E>) -> DbError {
    *kept = Some(why);
    DbError::LeaseLost
}

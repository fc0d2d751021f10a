//! Children: recorded in one transaction with their parent's wait for them.

use senlin_core::{
    Map,
    action::NewAction,
    ids::*,
    node::NodeStatus,
    placement::{HostSnapshot, Requirements},
};
use serde_json::{Value, json};

use crate::{
    Conn, DbError, Result,
    events::Record,
    fence::{self, FENCED, Fence, Fenced},
    placement::{self, Place},
    run::Run,
    sql::{Sql, row},
};

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
///
/// # Errors
/// When the database refuses.
pub async fn insert_nodes(conn: &mut Conn, nodes: &[NewNode]) -> Result<()> {
    insert(conn, nodes.iter().map(|n| row_of(n, None)).collect()).await
}

/// A node to be inserted, with its place if it has one.
fn row_of(node: &NewNode, place: Option<&Place>) -> Value {
    json!({
        "id": node.id, "name": node.name, "cluster_id": node.cluster_id, "profile_id": node.profile_id,
        "user_id": node.user, "project": node.project, "domain": node.domain, "index": node.index,
        "role": node.role, "metadata": node.metadata, "host_id": place.map(|p| p.host),
        "cpu_millis": place.map(|p| p.cpu_millis), "memory": place.map(|p| p.memory),
    })
}

async fn insert(conn: &mut Conn, rows: Vec<Value>) -> Result<()> {
    Sql::new(
        "INSERT INTO nodes (id, name, cluster_id, profile_id, user_id, project, domain, index, role, metadata,
            status, status_reason, host_id, cpu_millis, memory, placed_at)
        SELECT id, name, cluster_id, profile_id, user_id, project, domain, index, role, metadata, ?, 'Initializing',
            host_id, coalesce(cpu_millis, 0), coalesce(memory, 0),
            CASE WHEN host_id IS NOT NULL THEN clock_timestamp() END
        FROM jsonb_to_recordset(?) AS r(id uuid, name text, cluster_id uuid, profile_id uuid, user_id text,
            project text, domain text, index integer, role text, metadata jsonb, host_id uuid, cpu_millis bigint,
            memory bigint)",
    )
    .bind(NodeStatus::Init.as_str())
    .bind(Value::Array(rows))
    .run(conn)
    .await?;
    Ok(())
}

/// Inserts actions in one statement. `target_name` is looked up; `phase` marks
/// which wait of the parent they belong to.
///
/// # Errors
/// When the database refuses.
pub async fn insert_actions(conn: &mut Conn, actions: &[NewAction], phase: &str) -> Result<()> {
    insert_named(conn, actions, &[], phase).await
}

/// As [`insert_actions`]; `names` are those of the targets, where they are not
/// recorded yet, in the same order.
async fn insert_named(conn: &mut Conn, actions: &[NewAction], names: &[String], phase: &str) -> Result<()> {
    let rows: Vec<Value> = actions
        .iter()
        .enumerate()
        .map(|(nth, a)| {
            json!({
                "nth": nth, "target_name": names.get(nth),
                "id": a.id, "name": a.name, "action": a.kind.as_str(), "target": a.target,
                "cluster_id": a.cluster_id, "parent_id": a.parent_id, "cause": a.cause.as_str(),
                "lock_scope": a.lock_scope.as_str(), "host_id": a.host_id, "status": a.status.as_str(),
                "inputs": a.inputs, "timeout": a.timeout, "user_id": a.user, "project": a.project,
                "request_id": a.request_id, "hook": a.hook,
                "patience": a.hook.as_ref().and_then(|h| h.get("timeout")),
            })
        })
        .collect();
    Sql::new(
        "INSERT INTO actions (id, name, action, target, target_name, cluster_id, parent_id, cause, lock_scope,
            host_id, status, inputs, timeout, user_id, project, request_id, data, run_after)
        SELECT r.id, r.name, action, target, coalesce(r.target_name, n.name, c.name, ''), r.cluster_id, parent_id, cause, lock_scope,
            coalesce(r.host_id, n.host_id), r.status, inputs, r.timeout, r.user_id, r.project, request_id,
            CASE WHEN ?::text = '' THEN '{}'::jsonb ELSE jsonb_build_object('phase', ?::text) END
                || CASE WHEN r.hook IS NULL THEN '{}'::jsonb ELSE jsonb_build_object('hook', r.hook) END,
            now() + make_interval(secs => coalesce(r.patience, 0))
        FROM jsonb_to_recordset(?) AS r(id uuid, name text, action text, target uuid, cluster_id uuid,
            parent_id uuid, cause text, lock_scope text, host_id uuid, status text, inputs jsonb, timeout integer,
            user_id text, project text, request_id text, hook jsonb, patience double precision,
            target_name text, nth integer)
        LEFT JOIN nodes n ON n.id = r.target LEFT JOIN clusters c ON c.id = r.target
        ORDER BY n.index, r.nth",
    )
    .bind(phase)
    .bind(phase)
    .bind(Value::Array(rows))
    .run(conn)
    .await?;
    Ok(())
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
    insert_named(conn, children, names, phase).await?;
    let depended: Vec<_> = children.iter().map(|c| c.id.0).collect();
    Sql::new("INSERT INTO action_dependencies (depended, dependent) SELECT unnest(?), ?")
        .bind(depended)
        .bind(fence.action)
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
    let touched = Sql::new(
        "WITH parked AS (
            UPDATE actions a SET status = 'WAITING', phase = :phase, owner = NULL, lease_expires_at = NULL,
                status_reason = :reason, updated_at = now(), retries = 0,
                data = a.data - '{failing_since,waits_for}'::text[]
            WHERE",
    )
    .push(FENCED)
    .push("RETURNING a.*)")
    .push(
        &Record {
            from: "parked",
            status: "'wait'",
            ..Record::ACTION
        }
        .of_actions(),
    )
    .fence(fence)
    .set("phase", phase)
    .set("reason", reason)
    .run(conn)
    .await?;
    fence::ours(touched)
}

/// Moves on to another phase without waiting (what the phase did is recorded).
///
/// # Errors
/// [`DbError::LeaseLost`].
pub async fn enter(conn: &mut Conn, fence: Fence, phase: &str) -> Result<()> {
    let touched = Sql::new(
        "UPDATE actions a SET phase = :phase, updated_at = now(), retries = 0,
            data = a.data - '{failing_since,waits_for}'::text[]
        WHERE",
    )
    .push(FENCED)
    .fence(fence)
    .set("phase", phase)
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
    Sql::new(
        "UPDATE clusters SET desired_capacity = coalesce(?, desired_capacity),
            min_size = coalesce(?, min_size), max_size = coalesce(?, max_size) WHERE id = ?",
    )
    .bind(size.desired)
    .bind(size.min)
    .bind(size.max)
    .bind(cluster)
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
/// `plan` gets the hosts as they are and the first index, and answers the
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
                let first: Option<IndexRow> = Sql::new(
                    "UPDATE clusters SET next_index = next_index + ? WHERE id = ? RETURNING next_index - ? AS first",
                )
                .bind(count)
                .bind(cluster)
                .bind(count)
                .fetch_optional(conn)
                .await?;
                let first = first.ok_or(DbError::LeaseLost)?.first;
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
                let rows = new_members.iter().map(|b| row_of(&b.node, b.place.as_ref())).collect();
                // Last, so that others wait for these hosts as briefly as can be.
                if !seen.holds(conn, &places).await? {
                    return Err(roll_back(&mut kept, Kept::Stale));
                }
                insert(conn, rows).await?;
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

/// Notes why, and answers an error that rolls the transaction back.
fn roll_back<E>(kept: &mut Option<Kept<E>>, why: Kept<E>) -> DbError {
    *kept = Some(why);
    DbError::LeaseLost
}

row! { IndexRow { first: i32 = diesel::sql_types::Integer } }

//! Actions as users see, record and cancel them. Running them is [`crate::queue`].

use diesel::sql_types::{Array, Bool, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use senlin_core::{
    Time,
    action::{Action, ActionKind, ActionStatus, NewAction},
    caller::Scope,
    ids::*,
};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    Conn, DbError, Result, child_actions,
    history::all_actions,
    idempotency::{Keep, Stored},
    object,
    page::{self, Filter, Page, Rows},
    queue::{self, end},
    quota::{self, Full, Growth},
    run::Run,
    sql::{Sql, row},
};

row! { ActionRow {
    id: Uuid = SqlUuid,
    name: String = Text,
    action: String = Text,
    target: Uuid = SqlUuid,
    cluster_id: Option<Uuid> = Nullable<SqlUuid>,
    parent_id: Option<Uuid> = Nullable<SqlUuid>,
    cause: String = Text,
    status: String = Text,
    status_reason: String = Text,
    phase: String = Text,
    cancel: bool = Bool,
    inputs: Value = Jsonb,
    outputs: Value = Jsonb,
    data: Value = Jsonb,
    owner: Option<Uuid> = Nullable<SqlUuid>,
    attempt: i32 = Integer,
    retries: i32 = Integer,
    interval: i32 = Integer,
    timeout: i32 = Integer,
    user_id: String = Text,
    project: String = Text,
    request_id: String = Text,
    created_at: Time = Timestamptz,
    updated_at: Option<Time> = Nullable<Timestamptz>,
    started_at: Option<Time> = Nullable<Timestamptz>,
    ended_at: Option<Time> = Nullable<Timestamptz>,
    depends_on: Vec<Uuid> = Array<SqlUuid>,
    depended_by: Vec<Uuid> = Array<SqlUuid>,
}}

const ALL: &str = all_actions!();

const ROWS: Rows = Rows {
    name: "t",
    from: ALL,
    sort: "created_at",
};

const SELECT: &str = concat!(
    "SELECT t.id, t.name, t.action, t.target, t.cluster_id, t.parent_id, t.cause, t.status, t.status_reason, t.phase, \
    t.control IS NOT NULL AS cancel, t.inputs, t.outputs, t.data, t.owner, t.attempt, t.retries, t.interval, t.timeout, \
    t.user_id, t.project, t.request_id, t.created_at, t.updated_at, t.started_at, t.ended_at, \
    ARRAY(SELECT d.depended FROM action_dependencies d WHERE d.dependent = t.id ORDER BY d.depended) AS depends_on, \
    ARRAY(SELECT d.dependent FROM action_dependencies d WHERE d.depended = t.id ORDER BY d.dependent) AS depended_by \
    FROM ",
    all_actions!(),
    " t"
);

impl TryFrom<ActionRow> for Action {
    type Error = DbError;

    fn try_from(row: ActionRow) -> Result<Self> {
        Ok(Self {
            id: row.id.into(),
            name: row.name,
            kind: ActionKind::parse(&row.action).ok_or(DbError::Corrupt {
                column: "actions.action",
                value: row.action,
            })?,
            target: row.target,
            cluster_id: row.cluster_id.map(Into::into),
            parent_id: row.parent_id.map(Into::into),
            cause: row.cause,
            status: ActionStatus::parse(&row.status).ok_or(DbError::Corrupt {
                column: "actions.status",
                value: row.status,
            })?,
            status_reason: row.status_reason,
            phase: row.phase,
            cancel: row.cancel,
            inputs: object(row.inputs),
            outputs: object(row.outputs),
            data: object(row.data),
            owner: row.owner.map(Into::into),
            attempt: row.attempt,
            retries: row.retries,
            interval: row.interval,
            timeout: row.timeout,
            user: row.user_id,
            project: row.project,
            request_id: row.request_id,
            created_at: row.created_at,
            updated_at: row.updated_at,
            started_at: row.started_at,
            ended_at: row.ended_at,
            depends_on: row.depends_on.into_iter().map(Into::into).collect(),
            depended_by: row.depended_by.into_iter().map(Into::into).collect(),
        })
    }
}

/// The action with that id, name or short id.
///
/// # Errors
/// [`DbError::MultipleChoices`].
pub async fn find(conn: &mut Conn, scope: &Scope, identity: &str) -> Result<Option<Action>> {
    let rows: Vec<ActionRow> = page::identified("t", scope, identity)
        .of(SELECT)
        .fetch_all(conn)
        .await?;
    page::choose(rows, identity, |r| r.id, |r| r.name.clone())?
        .map(TryInto::try_into)
        .transpose()
}

/// A page of actions.
///
/// # Errors
/// When the database does not answer.
pub async fn list(conn: &mut Conn, scope: &Scope, filters: &[Filter], page: &Page) -> Result<Vec<Action>> {
    let sql = page::page(conn, ROWS, scope, filters, page).await?.of(SELECT);
    let rows: Vec<ActionRow> = sql.fetch_all(conn).await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// What stands in the way of a new action on a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// The target has gone.
    Gone,
    /// Another action holds the target's lock.
    Locked,
    /// Another action on the same target has not ended.
    Active(ActionId),
    /// The project has no room for the nodes that it brings.
    Full(Full),
}

row! { ObstacleRow { locked: bool = Bool, active: Option<Uuid> = Nullable<SqlUuid> } }
row! { IdRow { id: Uuid = SqlUuid } }

/// Holds the target's row until the transaction ends, and says whether
/// anything stands in the way: a lock first, then an action that has not ended.
/// Call it in the transaction that inserts.
///
/// # Errors
/// When the database does not answer.
pub async fn obstacle(conn: &mut Conn, kind: ActionKind, target: Uuid) -> Result<Option<Obstacle>> {
    let table = if kind.is_cluster() { "clusters" } else { "nodes" };
    let held: Option<IdRow> = Sql::new(format!("SELECT id FROM {table} WHERE id = ? FOR UPDATE"))
        .bind(target)
        .fetch_optional(conn)
        .await?;
    if held.is_none() {
        return Ok(Some(Obstacle::Gone));
    }
    let row: Option<ObstacleRow> = Sql::new(
        "SELECT EXISTS (SELECT 1 FROM cluster_locks WHERE cluster_id = ?)
            OR EXISTS (SELECT 1 FROM node_locks WHERE node_id = ?) AS locked,
            (SELECT id FROM actions WHERE target = ? AND cause = 'RPC Request'
                AND status IN ('READY', 'WAITING', 'RUNNING', 'WAITING_LIFECYCLE_COMPLETION')
                ORDER BY seq LIMIT 1) AS active",
    )
    .bind(target)
    .bind(target)
    .bind(target)
    .fetch_optional(conn)
    .await?;
    Ok(row.and_then(|r| {
        if r.locked {
            Some(Obstacle::Locked)
        } else {
            r.active.map(|id| Obstacle::Active(id.into()))
        }
    }))
}

/// On what conditions an action is recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Terms {
    /// Not while another one on the same target is under way.
    pub exclusive: bool,
    /// The size that it brings its cluster to, and the nodes that the project may have.
    pub size: Option<(i32, i64)>,
}

/// As [`accept`], without a size or a key.
///
/// # Errors
/// When the database refuses.
pub async fn submit(conn: &mut Conn, action: &NewAction, exclusive: bool) -> Result<std::result::Result<(), Obstacle>> {
    let terms = Terms { exclusive, size: None };
    let unkept = |_: &ActionId| Stored {
        status: 202,
        location: None,
        body: Value::Null,
    };
    accept(conn, action, terms, &Keep::new(None, &unkept)).await
}

/// Records an action that a user asked for, unless its terms are not met. A
/// deletion asks others that are under way to end.
///
/// # Errors
/// When the database refuses.
pub async fn accept(
    conn: &mut Conn,
    action: &NewAction,
    terms: Terms,
    keep: &Keep<'_, ActionId>,
) -> Result<std::result::Result<(), Obstacle>> {
    let grown = action.cluster_id.zip(terms.size);
    let recorded: Result<std::result::Result<Vec<AskedRow>, Obstacle>> = conn
        .transaction(async |conn| {
            if let Some((cluster, (size, most))) = grown {
                quota::turn(conn, &action.project).await?;
                if let Some(full) = quota::nodes(conn, &action.project, Growth::To(cluster, size), most).await? {
                    return Ok(Err(Obstacle::Full(full)));
                }
            }
            if terms.exclusive
                && let Some(obstacle) = obstacle(conn, action.kind, action.target).await?
            {
                return Ok(Err(obstacle));
            }
            let mut asked = Vec::new();
            if matches!(action.kind, ActionKind::ClusterDelete | ActionKind::NodeDelete) {
                asked = end_others(conn, action.target).await?;
            }
            child_actions::insert_actions(conn, std::slice::from_ref(action), "").await?;
            if let Some((cluster, (size, _))) = grown {
                quota::promise(conn, cluster, action.id, size).await?;
            }
            keep.settle(conn, &action.id).await?;
            Ok(Ok(asked))
        })
        .await;
    match recorded? {
        Ok(asked) => {
            // It is recorded; whom this does not wake, the sweep does.
            let _ = queue::promote(conn, &parents(&asked)).await;
            Ok(Ok(()))
        }
        Err(obstacle) => Ok(Err(obstacle)),
    }
}

/// Asks every unfinished action on a target, and its descendants, to end.
async fn end_others(conn: &mut Conn, target: Uuid) -> Result<Vec<AskedRow>> {
    let others = "(target = ? OR cluster_id = ?) AND action NOT IN ('CLUSTER_DELETE', 'NODE_DELETE')
        AND status NOT IN ('SUCCEEDED', 'FAILED', 'CANCELLED')";
    ask(conn, others, &[target, target]).await
}

row! { AskedRow { id: Uuid = SqlUuid, parent: bool = Bool } }

/// Of what was woken by asking for an end, the parents of those that ended.
fn parents(asked: &[AskedRow]) -> Vec<ActionId> {
    asked.iter().filter(|r| r.parent).map(|r| r.id.into()).collect()
}

/// Asks for the end of the actions that meet a condition on ids, and of their
/// descendants. One that never began ends at once; its parents are to be
/// promoted after the commit.
pub(crate) async fn ask(conn: &mut Conn, condition: &str, ids: &[Uuid]) -> Result<Vec<AskedRow>> {
    let sql = Sql::new("WITH RECURSIVE tree AS (SELECT id FROM actions WHERE ")
        .push(condition)
        .push(end::DESCENDANTS)
        .push(end::ASKED)
        .push(&end::released())
        .push(end::UNMADE);
    ids.iter().fold(sql, |sql, id| sql.bind(*id)).fetch_all(conn).await
}

/// Asks an action and its descendants to end; returns those to wake. One
/// that never began is CANCELLED at once, whatever holds its target.
///
/// # Errors
/// When the database does not answer.
pub async fn cancel(conn: &mut Conn, id: ActionId) -> Result<Vec<ActionId>> {
    let asked = ask(conn, "id = ?", &[id.0]).await?;
    // It is recorded; whom this does not wake, the sweep does.
    let _ = queue::promote(conn, &parents(&asked)).await;
    Ok(asked.into_iter().map(|r| r.id.into()).collect())
}

/// Ends an action and its descendants at once, without asking whoever works
/// on them: their later writes are fenced off. Returns the parents to wake.
///
/// # Errors
/// When the database does not answer.
pub async fn force_cancel(conn: &mut Conn, id: ActionId) -> Result<Vec<ActionId>> {
    conn.transaction(async |conn| {
        // Whoever claims or records children meanwhile comes first: what they
        // wrote is seen by the statement that ends them all.
        let mut known = 0;
        loop {
            let locked = Sql::new("WITH RECURSIVE tree AS (SELECT id FROM actions WHERE id = ?")
                .push(end::DESCENDANTS)
                .push(" SELECT a.id FROM actions a WHERE a.id IN (SELECT id FROM tree) ORDER BY a.id FOR UPDATE")
                .bind(id)
                .run(conn)
                .await?;
            if locked == known {
                break;
            }
            known = locked;
        }
        let rows: Vec<IdRow> = Sql::new("WITH RECURSIVE tree AS (SELECT id FROM actions WHERE id = ?")
            .push(end::DESCENDANTS)
            .push(
                ",
            ended AS (
                UPDATE actions a SET status = 'CANCELLED', status_reason = 'The action was cancelled by force.',
                    control = 'CANCEL', owner = NULL, lease_expires_at = NULL, attempt = attempt + 1,
                    ended_at = now(), updated_at = now()
                WHERE a.id IN (SELECT id FROM tree) AND a.status NOT IN ('SUCCEEDED', 'FAILED', 'CANCELLED')
                RETURNING a.*)",
            )
            .push(&end::released())
            .push(
                ",
            broken_nodes AS (
                SELECT n.id, e.status_reason FROM nodes n JOIN ended e ON e.target = n.id
                WHERE n.status NOT IN ('ACTIVE', 'WARNING', 'ERROR') ORDER BY n.id FOR NO KEY UPDATE OF n),
            node AS (
                UPDATE nodes n SET status = 'ERROR', status_reason = b.status_reason FROM broken_nodes b WHERE n.id = b.id),
            broken_clusters AS (
                SELECT c.id, e.status_reason FROM clusters c JOIN ended e ON e.target = c.id
                WHERE c.status NOT IN ('ACTIVE', 'WARNING', 'ERROR') ORDER BY c.id FOR NO KEY UPDATE OF c),
            cluster AS (
                UPDATE clusters c SET status = 'WARNING', status_reason = b.status_reason
                FROM broken_clusters b WHERE c.id = b.id)
            SELECT DISTINCT dependent AS id FROM edges WHERE dependent NOT IN (SELECT id FROM ended)",
            )
            .bind(id)
            .fetch_all(conn)
            .await?;
        Ok(rows.into_iter().map(|r| r.id.into()).collect())
    })
    .await
}

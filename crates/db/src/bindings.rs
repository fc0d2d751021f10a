//! Policies attached to clusters.

use diesel::sql_types::{Bool, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use senlin_core::{Map, Time, ids::*, policy::Binding};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    Conn, Result,
    fence::{self, End, Fence},
    page::Direction,
    run::Run,
    sql::{Bind, Sql, row},
};

row! { BindingRow {
    id: Uuid = SqlUuid,
    cluster_id: Uuid = SqlUuid,
    cluster_name: String = Text,
    policy_id: Uuid = SqlUuid,
    policy_name: String = Text,
    policy_type: String = Text,
    enabled: bool = Bool,
    priority: i32 = Integer,
    data: Option<Value> = Nullable<Jsonb>,
    memory: Value = Jsonb,
    last_op: Option<Time> = Nullable<Timestamptz>,
    properties: Value = Jsonb,
    now: Time = Timestamptz,
}}

const SELECT: &str = "SELECT b.id, b.cluster_id, c.name AS cluster_name, b.policy_id, p.name AS policy_name,
    p.type AS policy_type, b.enabled, b.priority, b.data, b.memory, b.last_op, p.spec->'properties' AS properties, now() AS now
    FROM cluster_policies b JOIN clusters c ON c.id = b.cluster_id JOIN policies p ON p.id = b.policy_id";

impl From<BindingRow> for Binding {
    fn from(row: BindingRow) -> Self {
        Self {
            id: row.id.into(),
            cluster_id: row.cluster_id.into(),
            cluster_name: row.cluster_name,
            policy_id: row.policy_id.into(),
            policy_name: row.policy_name,
            policy_type: row.policy_type,
            enabled: row.enabled,
            priority: row.priority,
            data: row.data.map(crate::object),
            memory: crate::object(row.memory),
            last_op: row.last_op,
        }
    }
}

/// Which bindings of a cluster are wanted, in which order.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Only enabled or only disabled ones.
    pub enabled: Option<bool>,
    /// Any of these names.
    pub names: Vec<String>,
    /// Any of these types.
    pub types: Vec<String>,
    /// By `enabled`; by id otherwise.
    pub by_enabled: Option<Direction>,
}

/// A cluster's bindings.
///
/// # Errors
/// When the database does not answer.
pub async fn list(conn: &mut Conn, cluster: ClusterId, wanted: &Wanted) -> Result<Vec<Binding>> {
    let order = match wanted.by_enabled {
        Some(Direction::Asc) => "b.enabled, b.id",
        Some(Direction::Desc) => "b.enabled DESC, b.id",
        None => "b.id",
    };
    let rows: Vec<BindingRow> = Sql::new(SELECT)
        .push(" WHERE b.cluster_id = ? AND (?::bool IS NULL OR b.enabled = ?)")
        .push(" AND (cardinality(?::text[]) = 0 OR p.name = ANY (?)) AND (cardinality(?::text[]) = 0 OR p.type = ANY (?))")
        .push(&format!(" ORDER BY {order}"))
        .bind(cluster)
        .bind(wanted.enabled)
        .bind(wanted.enabled)
        .bind(Bind::Texts(wanted.names.clone()))
        .bind(Bind::Texts(wanted.names.clone()))
        .bind(Bind::Texts(wanted.types.clone()))
        .bind(Bind::Texts(wanted.types.clone()))
        .fetch_all(conn)
        .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// A binding with the properties of its policy.
#[derive(Debug, Clone)]
pub struct Active {
    /// The binding.
    pub binding: Binding,
    /// As the policy's spec has them.
    pub properties: Map,
}

/// What has a say in a cluster's actions: its enabled bindings, as of now by
/// the database's clock. None: nothing has.
///
/// # Errors
/// When the database does not answer.
pub async fn active(conn: &mut Conn, cluster: ClusterId) -> Result<Option<(Time, Vec<Active>)>> {
    let rows: Vec<BindingRow> = Sql::new(SELECT)
        .push(" WHERE b.cluster_id = ? AND b.enabled ORDER BY b.priority, b.id")
        .bind(cluster)
        .fetch_all(conn)
        .await?;
    let Some(now) = rows.first().map(|r| r.now) else {
        return Ok(None);
    };
    let active = rows.into_iter().map(|mut row| Active {
        properties: crate::object(std::mem::take(&mut row.properties)),
        binding: row.into(),
    });
    Ok(Some((now, active.collect())))
}

/// A policy to attach.
#[derive(Debug, Clone)]
pub struct Attach {
    /// The policy.
    pub policy: PolicyId,
    /// Whether it has a say from now on.
    pub enabled: bool,
    /// Less is asked first.
    pub priority: i32,
    /// Types of the same name, if a cluster may have only one of them.
    pub rivals: Vec<String>,
    /// What is kept with the binding.
    pub data: Option<Map>,
}

/// What became of an attachment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attached {
    /// It is attached from now on.
    Now,
    /// It was already.
    Already,
    /// A policy of the same type stands in its way: its name.
    Rival(String),
}

row! { NameRow { id: Uuid = SqlUuid, name: String = Text } }

/// Attaches a policy, in the action's name.
///
/// # Errors
/// [`crate::DbError::LeaseLost`]; a foreign-key violation when the policy has gone.
pub async fn attach(conn: &mut Conn, fence: Fence, cluster: ClusterId, new: &Attach) -> Result<Attached> {
    conn.transaction(async |conn| {
        fence::lock_action(conn, fence).await?;
        let others: Vec<NameRow> = Sql::new(
            "SELECT p.id, p.name FROM cluster_policies b JOIN policies p ON p.id = b.policy_id
            WHERE b.cluster_id = ? AND (p.id = ? OR p.type = ANY (?)) ORDER BY p.id = ? DESC",
        )
        .bind(cluster)
        .bind(new.policy)
        .bind(Bind::Texts(new.rivals.clone()))
        .bind(new.policy)
        .fetch_all(conn)
        .await?;
        match others.first() {
            Some(other) if other.id == new.policy.0 => return Ok(Attached::Already),
            Some(other) => return Ok(Attached::Rival(other.name.clone())),
            None => {}
        }
        Sql::new(
            "INSERT INTO cluster_policies (id, cluster_id, policy_id, enabled, priority, data)
            VALUES (gen_random_uuid(), ?, ?, ?, ?, ?)",
        )
        .bind(cluster)
        .bind(new.policy)
        .bind(new.enabled)
        .bind(new.priority)
        .bind(new.data.clone().map(Value::Object))
        .run(conn)
        .await?;
        touch(conn, cluster).await?;
        Ok(Attached::Now)
    })
    .await
}

/// Detaches a policy and ends the action; already gone is success.
///
/// # Errors
/// [`crate::DbError::LeaseLost`].
pub async fn detach(
    conn: &mut Conn,
    fence: Fence,
    cluster: ClusterId,
    policy: PolicyId,
    end: &End,
) -> Result<Vec<ActionId>> {
    conn.transaction(async |conn| {
        fence::lock_action(conn, fence).await?;
        Sql::new("DELETE FROM cluster_policies WHERE cluster_id = ? AND policy_id = ?")
            .bind(cluster)
            .bind(policy)
            .run(conn)
            .await?;
        touch(conn, cluster).await?;
        fence::finish(conn, fence, end, None).await
    })
    .await
}

/// Enables or disables a policy and ends the action. None: it is not attached
/// any more, and nothing was done.
///
/// # Errors
/// [`crate::DbError::LeaseLost`].
pub async fn enable(
    conn: &mut Conn,
    fence: Fence,
    cluster: ClusterId,
    policy: PolicyId,
    enabled: Option<bool>,
    end: &End,
) -> Result<Option<Vec<ActionId>>> {
    conn.transaction(async |conn| {
        fence::lock_action(conn, fence).await?;
        let found = Sql::new(
            "UPDATE cluster_policies SET enabled = coalesce(?, enabled) WHERE cluster_id = ? AND policy_id = ?",
        )
        .bind(enabled)
        .bind(cluster)
        .bind(policy)
        .run(conn)
        .await?;
        if found == 0 {
            return Ok(None);
        }
        touch(conn, cluster).await?;
        fence::finish(conn, fence, end, None).await.map(Some)
    })
    .await
}

async fn touch(conn: &mut Conn, cluster: ClusterId) -> Result<()> {
    Sql::new("UPDATE clusters SET updated_at = now() WHERE id = ?")
        .bind(cluster)
        .run(conn)
        .await?;
    Ok(())
}

/// Something was done that these policies count their cooldowns from.
///
/// # Errors
/// When the database does not answer.
pub(crate) async fn start_cooldown(conn: &mut Conn, bindings: &[BindingId]) -> Result<()> {
    Sql::new("UPDATE cluster_policies SET last_op = now() WHERE id = ANY (?)")
        .bind(bindings)
        .run(conn)
        .await?;
    Ok(())
}

row! { DueRow {
    id: Uuid = SqlUuid,
    cluster_id: Uuid = SqlUuid,
    policy_name: String = Text,
    policy_type: String = Text,
    last_op: Option<Time> = Nullable<Timestamptz>,
    properties: Value = Jsonb,
    state: Value = Jsonb,
    now: Time = Timestamptz,
}}

/// A binding whose policy acts by itself, and is due.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "columns of the same names")]
pub struct Due {
    pub id: BindingId,
    pub cluster_id: ClusterId,
    pub policy_name: String,
    pub policy_type: String,
    pub last_op: Option<Time>,
    /// As the policy's spec has them.
    pub properties: Map,
    /// What was remembered the last time.
    pub state: Map,
    /// By the database's clock.
    pub now: Time,
}

/// Takes on bindings of a policy type (its name, any version) that are due:
/// each is taken by one engine. Should that engine not say [`reschedule`] within
/// `hold` seconds, another takes it.
///
/// # Errors
/// When the database does not answer.
pub async fn due(conn: &mut Conn, type_name: &str, hold: f64, most: i64) -> Result<Vec<Due>> {
    let rows: Vec<DueRow> = Sql::new(
        "WITH due AS (
            SELECT b.id FROM cluster_policies b JOIN policies p ON p.id = b.policy_id
            WHERE b.enabled AND b.due_at <= now() AND p.type LIKE ? || '-%'
            ORDER BY b.due_at LIMIT ? FOR UPDATE OF b SKIP LOCKED)
        UPDATE cluster_policies b SET due_at = now() + make_interval(secs => ?) FROM due, policies p
        WHERE b.id = due.id AND p.id = b.policy_id
        RETURNING b.id, b.cluster_id, p.name AS policy_name, p.type AS policy_type, b.last_op,
            p.spec->'properties' AS properties, b.memory AS state, now() AS now",
    )
    .bind(type_name)
    .bind(most)
    .bind(hold)
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| Due {
            id: r.id.into(),
            cluster_id: r.cluster_id.into(),
            policy_name: r.policy_name,
            policy_type: r.policy_type,
            last_op: r.last_op,
            properties: crate::object(r.properties),
            state: crate::object(r.state),
            now: r.now,
        })
        .collect())
}

/// A binding was seen to: it is due again `seconds` after `since`, and
/// remembers `state`.
///
/// # Errors
/// When the database does not answer.
pub async fn reschedule(conn: &mut Conn, binding: BindingId, since: Time, seconds: f64, state: &Map) -> Result<()> {
    Sql::new("UPDATE cluster_policies SET due_at = ?::timestamptz + make_interval(secs => ?), memory = ? WHERE id = ?")
        .bind(since)
        .bind(seconds)
        .bind(state)
        .bind(binding)
        .run(conn)
        .await?;
    Ok(())
}

/// These bindings are still seen to: no other engine takes them within
/// `seconds` from now.
///
/// # Errors
/// When the database does not answer.
pub async fn extend(conn: &mut Conn, bindings: &[BindingId], seconds: f64) -> Result<()> {
    Sql::new("UPDATE cluster_policies SET due_at = now() + make_interval(secs => ?) WHERE id = ANY (?)")
        .bind(seconds)
        .bind(bindings)
        .run(conn)
        .await?;
    Ok(())
}

/// These bindings were seen to, and remember what they did: each is due again
/// then.
///
/// # Errors
/// When the database does not answer.
pub async fn reschedule_all(conn: &mut Conn, bindings: &[(BindingId, Time)]) -> Result<()> {
    let rows: Vec<Value> = bindings
        .iter()
        .map(|(id, due)| serde_json::json!({"id": id, "due": due}))
        .collect();
    Sql::new(
        "UPDATE cluster_policies b SET due_at = r.due
        FROM jsonb_to_recordset(?) AS r(id uuid, due timestamptz) WHERE b.id = r.id",
    )
    .bind(Value::Array(rows))
    .run(conn)
    .await?;
    Ok(())
}

/// The enabled binding of a cluster whose policy is of that type name.
///
/// # Errors
/// When the database does not answer.
pub async fn of_type(conn: &mut Conn, cluster: ClusterId, type_name: &str) -> Result<Option<Active>> {
    let row: Option<BindingRow> = Sql::new(SELECT)
        .push(" WHERE b.cluster_id = ? AND b.enabled AND p.type LIKE ? || '-%'")
        .bind(cluster)
        .bind(type_name)
        .fetch_optional(conn)
        .await?;
    Ok(row.map(|mut row| Active {
        properties: crate::object(std::mem::take(&mut row.properties)),
        binding: row.into(),
    }))
}

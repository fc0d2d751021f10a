//! Policies attached to clusters.

use diesel::{
    dsl::{IntervalDsl, now},
    prelude::*,
    sql_types::Timestamptz,
};
use senlin_core::{Map, Time, ids::*, policy::Binding};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    Conn, Result,
    fence::{self, End, Fence},
    functions::{coalesce, from_now},
    object,
    page::Direction,
    run::Run,
    schema::{cluster_policies, clusters, policies},
    statements::{reschedule_bindings::reschedule_bindings, take_due_bindings::take_due_bindings},
    stored::Document,
};

#[derive(Queryable, Selectable)]
#[diesel(table_name = cluster_policies, check_for_backend(diesel::pg::Pg))]
struct BindingRow {
    #[diesel(deserialize_as = Uuid)]
    id: BindingId,
    #[diesel(deserialize_as = Uuid)]
    cluster_id: ClusterId,
    #[diesel(select_expression = clusters::name)]
    cluster_name: String,
    #[diesel(deserialize_as = Uuid)]
    policy_id: PolicyId,
    #[diesel(select_expression = policies::name)]
    policy_name: String,
    #[diesel(select_expression = policies::type_name)]
    policy_type: String,
    enabled: bool,
    priority: i32,
    data: Option<Document<Map>>,
    #[diesel(deserialize_as = Document<Map>)]
    memory: Map,
    last_op: Option<Time>,
}

/// Bindings with what they bind.
#[diesel::dsl::auto_type(no_type_alias)]
fn bound() -> _ {
    cluster_policies::table
        .inner_join(clusters::table)
        .inner_join(policies::table)
}

impl From<BindingRow> for Binding {
    fn from(row: BindingRow) -> Self {
        Self {
            id: row.id,
            cluster_id: row.cluster_id,
            cluster_name: row.cluster_name,
            policy_id: row.policy_id,
            policy_name: row.policy_name,
            policy_type: row.policy_type,
            enabled: row.enabled,
            priority: row.priority,
            data: row.data.map(Into::into),
            memory: row.memory,
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
pub async fn list(conn: &mut Conn, cluster: ClusterId, wanted: &Wanted) -> Result<Vec<Binding>> {
    let of_cluster = bound().filter(cluster_policies::cluster_id.eq(cluster.0));
    let mut query = of_cluster.select(BindingRow::as_select()).into_boxed();
    if let Some(enabled) = wanted.enabled {
        query = query.filter(cluster_policies::enabled.eq(enabled));
    }
    if !wanted.names.is_empty() {
        query = query.filter(policies::name.eq_any(&wanted.names));
    }
    if !wanted.types.is_empty() {
        query = query.filter(policies::type_name.eq_any(&wanted.types));
    }
    query = match wanted.by_enabled {
        Some(Direction::Asc) => query.order(cluster_policies::enabled.asc()),
        Some(Direction::Desc) => query.order(cluster_policies::enabled.desc()),
        None => query,
    };
    let rows: Vec<BindingRow> = query.then_order_by(cluster_policies::id).fetch_all(conn).await?;
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

impl From<(BindingRow, Document<Map>)> for Active {
    fn from((binding, properties): (BindingRow, Document<Map>)) -> Self {
        Self {
            binding: binding.into(),
            properties: properties.into(),
        }
    }
}

/// What has a say in a cluster's actions: its enabled bindings, as of now by
/// the database's clock. None: nothing has.
pub async fn active(conn: &mut Conn, cluster: ClusterId) -> Result<Option<(Time, Vec<Active>)>> {
    let query = bound()
        .filter(cluster_policies::cluster_id.eq(cluster.0))
        .filter(cluster_policies::enabled)
        .order((cluster_policies::priority, cluster_policies::id))
        .select((
            now.into_sql::<Timestamptz>(),
            (BindingRow::as_select(), policies::spec.retrieve_as_object("properties")),
        ));
    let rows: Vec<(Time, (BindingRow, Document<Map>))> = query.fetch_all(conn).await?;
    let Some(time) = rows.first().map(|(time, _)| *time) else {
        return Ok(None);
    };
    let active = rows.into_iter().map(|(_, row)| row.into()).collect();
    Ok(Some((time, active)))
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

/// Attaches a policy, in the action's name.
///
/// # Errors
/// [`crate::DbError::LeaseLost`]; a foreign-key violation when the policy has gone.
pub async fn attach(conn: &mut Conn, fence: Fence, cluster: ClusterId, new: &Attach) -> Result<Attached> {
    conn.transaction(async |conn| {
        fence::lock_action(conn, fence).await?;
        let same = policies::id.eq(new.policy.0);
        let others = cluster_policies::table
            .inner_join(policies::table)
            .filter(cluster_policies::cluster_id.eq(cluster.0))
            .filter(same.or(policies::type_name.eq_any(&new.rivals)))
            .order(same.desc())
            .select((policies::id, policies::name));
        let others: Vec<(Uuid, String)> = others.fetch_all(conn).await?;
        match others.into_iter().next() {
            Some((id, _)) if id == new.policy.0 => return Ok(Attached::Already),
            Some((_, name)) => return Ok(Attached::Rival(name)),
            None => {}
        }
        diesel::insert_into(cluster_policies::table)
            .values((
                cluster_policies::id.eq(Uuid::new_v4()),
                cluster_policies::cluster_id.eq(cluster.0),
                cluster_policies::policy_id.eq(new.policy.0),
                cluster_policies::enabled.eq(new.enabled),
                cluster_policies::priority.eq(new.priority),
                cluster_policies::data.eq(new.data.clone().map(Value::Object)),
            ))
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
        diesel::delete(of_policy(cluster.0, policy.0)).run(conn).await?;
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
        let enabled = coalesce(enabled, cluster_policies::enabled);
        let found = diesel::update(of_policy(cluster.0, policy.0))
            .set(cluster_policies::enabled.eq(enabled))
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

/// The binding of a policy to a cluster.
#[diesel::dsl::auto_type(no_type_alias)]
fn of_policy(cluster: Uuid, policy: Uuid) -> _ {
    let of_cluster = cluster_policies::table.filter(cluster_policies::cluster_id.eq(cluster));
    of_cluster.filter(cluster_policies::policy_id.eq(policy))
}

async fn touch(conn: &mut Conn, cluster: ClusterId) -> Result<()> {
    diesel::update(clusters::table.find(cluster.0))
        .set(clusters::updated_at.eq(now))
        .run(conn)
        .await?;
    Ok(())
}

/// Something was done that these policies count their cooldowns from.
pub(crate) async fn start_cooldown(conn: &mut Conn, bindings: &[BindingId]) -> Result<()> {
    let those = cluster_policies::id.eq_any(bindings.iter().map(|b| b.0));
    diesel::update(cluster_policies::table.filter(those))
        .set(cluster_policies::last_op.eq(now))
        .run(conn)
        .await?;
    Ok(())
}

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
pub async fn due(conn: &mut Conn, type_name: &str, hold: f64, most: i64) -> Result<Vec<Due>> {
    let rows = take_due_bindings(conn, type_name, hold, most).await?;
    Ok(rows
        .into_iter()
        .map(|r| Due {
            id: r.id.into(),
            cluster_id: r.cluster_id.into(),
            policy_name: r.policy_name,
            policy_type: r.policy_type,
            last_op: r.last_op,
            properties: object(r.properties),
            state: object(r.memory),
            now: r.now,
        })
        .collect())
}

/// A binding was seen to: it is due again `seconds` after `since`, and
/// remembers `state`.
pub async fn reschedule(conn: &mut Conn, binding: BindingId, since: Time, seconds: f64, state: &Map) -> Result<()> {
    diesel::update(cluster_policies::table.find(binding.0))
        .set((
            cluster_policies::due_at.eq(since.into_sql::<Timestamptz>() + seconds.seconds()),
            cluster_policies::memory.eq(Value::Object(state.clone())),
        ))
        .run(conn)
        .await?;
    Ok(())
}

/// These bindings are still seen to: no other engine takes them within
/// `seconds` from now.
pub async fn extend(conn: &mut Conn, bindings: &[BindingId], seconds: f64) -> Result<()> {
    let those = cluster_policies::id.eq_any(bindings.iter().map(|b| b.0));
    diesel::update(cluster_policies::table.filter(those))
        .set(cluster_policies::due_at.eq(from_now(seconds.seconds())))
        .run(conn)
        .await?;
    Ok(())
}

/// These bindings were seen to, and remember what they did: each is due again
/// then.
pub async fn reschedule_all(conn: &mut Conn, bindings: &[(BindingId, Time)]) -> Result<()> {
    reschedule_bindings(conn, bindings).await
}

/// The enabled binding of a cluster whose policy is of that type name.
pub async fn of_type(conn: &mut Conn, cluster: ClusterId, type_name: &str) -> Result<Option<Active>> {
    let query = bound()
        .filter(cluster_policies::cluster_id.eq(cluster.0))
        .filter(cluster_policies::enabled)
        .filter(policies::type_name.like(format!("{type_name}-%")))
        .select((BindingRow::as_select(), policies::spec.retrieve_as_object("properties")));
    let row: Option<(BindingRow, Document<Map>)> = query.fetch_optional(conn).await?;
    Ok(row.map(Into::into))
}

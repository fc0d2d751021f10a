//! What an action would do, without doing it.

use senlin_core::{
    Map,
    action::{ActionKind, inputs::Rebalance},
    cluster::Cluster,
    ids::*,
    profile_type::Demand,
};
use senlin_db::{clusters, members, placement};
use senlin_policies::placement::Planner;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    Engine,
    actions::context::read_inputs,
    decisions::{self, Intent, hosts, moves, rules, size_of},
    failure::Failure,
};

/// Why an action that demands a plan is refused.
pub(crate) const STALE: &str =
    "The plan is no longer true: the action would now do something else. Ask for a new plan.";

/// Stands for what an action would do. Equal tokens: it would do the same.
pub(crate) fn token(cluster: &Cluster, kind: ActionKind, intent: &Intent, hosts: &[Option<NodeId>]) -> String {
    let told = json!([
        cluster.id,
        kind.as_str(),
        intent.size.desired,
        intent.size.min,
        intent.size.max,
        intent.decision.victims,
        intent.decision.destroy,
        hosts
    ]);
    let digest = Sha256::digest(told.to_string().as_bytes());
    hex::encode(digest.get(..16).unwrap_or_default())
}

/// `{"cluster_id", "action", "inputs"}` → the plan.
pub async fn plan(engine: &Engine, body: &Map) -> Result<Value, Failure> {
    let missing = |key: &str| Failure::Refused(format!("'{key}' is missing."));
    let id: ClusterId = body
        .get("cluster_id")
        .and_then(Value::as_str)
        .and_then(|id| id.parse().ok())
        .ok_or_else(|| missing("cluster_id"))?;
    let kind = body
        .get("action")
        .and_then(Value::as_str)
        .and_then(ActionKind::parse)
        .ok_or_else(|| missing("action"))?;
    let inputs = body
        .get("inputs")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    let mut conn = engine.db.session();
    let cluster = clusters::get(&mut conn, id)
        .await?
        .ok_or_else(|| Failure::Refused("The cluster could not be found.".to_owned()))?;
    let mut plan = json!({"cluster_id": id, "action": kind.as_str(), "current_size": size_of(&cluster),
        "possible": false, "refusal": null, "placements": [], "victims": [], "batches": [], "moves": [], "reasons": [],
        "token": null});
    let (intent, _) = match decisions::intend(engine, &mut conn, &cluster, kind, &inputs).await {
        Ok(decided) => decided,
        Err((Failure::Refused(reason), _)) => {
            set(&mut plan, "refusal", reason.into());
            return Ok(plan);
        }
        Err((failure, _)) => return Err(failure),
    };
    set(&mut plan, "possible", true.into());
    set(&mut plan, "desired_capacity", intent.size.desired.into());
    set(&mut plan, "reasons", json!(intent.decision.reasons));
    let mut chosen = Vec::new();
    if intent.more > 0 {
        let (placements, hosts) = place(engine, &mut conn, &cluster, &intent).await?;
        if placements.iter().any(|p| p.get("refusal").is_some()) {
            set(&mut plan, "possible", false.into());
        }
        let first = placements.iter().find_map(|p| p.get("refusal").cloned());
        set(&mut plan, "refusal", first.unwrap_or(Value::Null));
        set(&mut plan, "placements", Value::Array(placements));
        chosen = hosts;
    }
    if intent.fewer > 0 {
        let list = members::list(&mut conn, id).await?;
        let victims: Vec<Value> = intent
            .decision
            .victims
            .iter()
            .filter_map(|v| list.iter().find(|m| m.id == *v))
            .map(|m| {
                json!({"id": m.id, "name": m.name, "status": m.status.as_str(), "host_id": m.host_id,
                "zone": m.zone, "tainted": m.tainted})
            })
            .collect();
        set(&mut plan, "victims", Value::Array(victims));
        set(&mut plan, "destroy", intent.decision.destroy.unwrap_or(true).into());
        set(&mut plan, "grace_period", intent.decision.grace.into());
    }
    if let Some(batches) = &intent.decision.batches {
        set(&mut plan, "batches", json!(batches.plan));
        set(&mut plan, "pause_time", batches.pause_time.into());
    }
    if kind == ActionKind::ClusterRebalance {
        let Rebalance { max_moves } = read_inputs(&inputs)?;
        let moves = moves::wanted(engine, &cluster, &intent.decision.rules, max_moves).await?;
        let told = |m: &senlin_policies::rebalance::Move| json!({"id": m.id, "from": m.from, "reason": m.reason});
        set(&mut plan, "moves", moves.iter().map(told).collect());
    }
    let token = token(&cluster, kind, &intent, &chosen);
    set(&mut plan, "token", token.into());
    Ok(plan)
}

fn set(plan: &mut Value, key: &str, value: Value) {
    if let Some(map) = plan.as_object_mut() {
        map.insert(key.to_owned(), value);
    }
}

/// Where each new member would go, and the hosts in that order.
async fn place(
    engine: &Engine,
    conn: &mut senlin_db::Conn,
    cluster: &Cluster,
    intent: &Intent,
) -> Result<(Vec<Value>, Vec<Option<NodeId>>), Failure> {
    let loaded = engine.profile_cache.load(conn, cluster.profile_id).await?;
    let Demand::Host(needs) = loaded.demand()? else {
        return Ok((Vec::new(), Vec::new()));
    };
    let found = if intent.decision.rules == senlin_core::placement::Rules::default() {
        hosts(engine, conn, cluster).await?
    } else {
        placement::look(conn, &needs, Some(cluster.id)).await?
    };
    let mut planner = Planner::new(found, rules(&intent.decision, &loaded), decisions::seed(cluster));
    let (mut told, mut hosts) = (Vec::new(), Vec::new());
    for offset in 0..intent.more {
        let index = cluster.next_index.saturating_add(offset);
        match planner.place(&needs) {
            Ok(id) => {
                hosts.push(Some(id));
                told.push(json!({"index": index, "host": on(&planner, id)}));
            }
            Err(refusal) => {
                hosts.push(None);
                let text = format!("No host can take the container: {refusal}");
                told.push(json!({"index": index, "host": null, "refusal": text}));
            }
        }
    }
    Ok((told, hosts))
}

/// A host as a placement names it, with the facts that spoke for it.
pub(crate) fn on(planner: &Planner, id: NodeId) -> Value {
    let Some(host) = planner.host(id) else {
        return json!({"id": id});
    };
    let rounded = |load: Option<f64>| load.map(|l| (l * 10.0).round() / 10.0);
    json!({"id": id, "name": host.name, "zone": host.zone(), "members": host.siblings, "containers": host.containers,
        "cpu_percent": rounded(host.cpu_load), "cpu_expected_percent": rounded(host.cpu_expected())})
}

//! What tenants ask for.

use hyper::Method;
use rand::{Rng, rngs::StdRng};
use serde_json::{Value, json};

use crate::tenants::{Sight, Tenant};

/// Most clusters, members of each, and nodes outside clusters that a tenant wants.
const CLUSTERS: usize = 3;
const MEMBERS: i64 = 6;
const SINGLES: usize = 3;

/// One request.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) verb: &'static str,
    pub(crate) method: Method,
    /// Of the API, or a whole URL for a webhook.
    pub(crate) path: String,
    pub(crate) body: Option<Value>,
}

fn post(verb: &'static str, path: String, body: Value) -> Ask {
    Ask {
        verb,
        method: Method::POST,
        path,
        body: Some(body),
    }
}

/// What is asked now: groups, each of requests that are sent at the same moment.
pub(crate) fn choose(chance: &mut StdRng, tenant: &Tenant, sight: &Sight) -> Vec<Vec<Ask>> {
    let crowd = chance.random_range(0..100);
    if crowd < 6 {
        return vec![everyone(chance, sight)];
    }
    let Some(ask) = one(chance, tenant, sight) else {
        return Vec::new();
    };
    // The same of the same, several times at the same moment.
    let copies = if crowd < 16 && ask.verb != "receiver" { 4 } else { 1 };
    vec![vec![ask; copies]]
}

/// Every member of a cluster is checked or recovered at the same moment, and the cluster with them.
fn everyone(chance: &mut StdRng, sight: &Sight) -> Vec<Ask> {
    let Some((cluster, members)) = pick(chance, &sight.clusters).map(|c| (id(c), members(c))) else {
        return Vec::new();
    };
    let verb = if chance.random_bool(0.7) { "check" } else { "recover" };
    let body = json!({ verb: {} });
    let mut asks: Vec<Ask> = members
        .iter()
        .map(|node| post("node at once", format!("/v1/nodes/{node}/actions"), body.clone()))
        .collect();
    if chance.random_bool(0.3) {
        asks.push(post("cluster at once", format!("/v1/clusters/{cluster}/actions"), body));
    }
    asks
}

fn one(chance: &mut StdRng, tenant: &Tenant, sight: &Sight) -> Option<Ask> {
    let drawn = chance.random_range(0..100);
    match drawn {
        0..=13 => make(chance, tenant, sight),
        14..=17 => {
            let cluster = id(pick(chance, &sight.clusters)?);
            let force = if chance.random_bool(0.4) { "?force=true" } else { "" };
            Some(delete("delete cluster", format!("/v1/clusters/{cluster}{force}")))
        }
        18..=22 => {
            let node = id(pick(chance, &sight.nodes)?);
            Some(delete("delete node", format!("/v1/nodes/{node}")))
        }
        23..=32 => {
            let node = id(pick(chance, &sight.nodes)?);
            of_node(chance, tenant, &node)
        }
        33..=42 => {
            let id = sight.recent.get(chance.random_range(0..sight.recent.len().max(1)))?;
            let (verb, force) = if chance.random_bool(0.3) {
                ("force cancel", "?force=true")
            } else {
                ("cancel", "")
            };
            Some(Ask {
                verb,
                method: Method::PATCH,
                path: format!("/v1/actions/{id}{force}"),
                body: Some(json!({"action": {"status": "CANCELLED"}})),
            })
        }
        43..=45 => {
            let cluster = id(pick(chance, &sight.clusters)?);
            let action = if chance.random_bool(0.5) {
                "CLUSTER_SCALE_OUT"
            } else {
                "CLUSTER_SCALE_IN"
            };
            let receiver = json!({"receiver": {"name": "webhook", "type": "webhook", "cluster_id": cluster,
                "action": action, "params": {"count": 1}}});
            Some(post("receiver", "/v1/receivers".to_owned(), receiver))
        }
        46..=50 => {
            let webhook = sight
                .webhooks
                .get(chance.random_range(0..sight.webhooks.len().max(1)))?;
            Some(post("webhook", webhook.clone(), Value::Null))
        }
        _ => of_cluster(chance, tenant, sight),
    }
}

fn delete(verb: &'static str, path: String) -> Ask {
    Ask {
        verb,
        method: Method::DELETE,
        path,
        body: None,
    }
}

/// A cluster while there are few; a node; the tenant with number 0 tries what cannot work too.
fn make(chance: &mut StdRng, tenant: &Tenant, sight: &Sight) -> Option<Ask> {
    let has = |kind: &str| {
        let name = format!("-{kind}-");
        let of = |c: &&Value| c.get("name").and_then(Value::as_str).is_some_and(|n| n.contains(&name));
        sight.clusters.iter().filter(of).count()
    };
    if tenant.number == 0 && chance.random_bool(0.3) {
        let kind = if chance.random_bool(0.6) { "pit" } else { "crash" };
        if has(kind) == 0 {
            return Some(new_cluster(tenant, &tenant.name(kind), 0, 1));
        }
    }
    let alone: Vec<&Value> = sight.nodes.iter().filter(|n| cluster_of(n).is_none()).collect();
    if alone.len() < SINGLES && chance.random_bool(0.5) {
        let node = json!({"node": {"name": tenant.name("single"), "profile_id": good(chance, tenant)}});
        return Some(post("create node", "/v1/nodes".to_owned(), node));
    }
    if has("good") < CLUSTERS {
        let size = chance.random_range(1..=4);
        return Some(new_cluster(
            tenant,
            &tenant.name("good"),
            chance.random_range(0..2),
            size,
        ));
    }
    if chance.random_bool(0.5) {
        return None;
    }
    let cluster = id(pick(chance, &sight.clusters)?);
    let node = json!({"node": {"name": "member", "profile_id": good(chance, tenant), "cluster_id": cluster}});
    Some(post("create member", "/v1/nodes".to_owned(), node))
}

/// A cluster whose name says what it is made of, and whose members bear its name.
pub(crate) fn new_cluster(tenant: &Tenant, name: &str, which: usize, size: i64) -> Ask {
    let (profile, timeout) = if name.contains("pit") {
        (Some(&tenant.pit), 45)
    } else if name.contains("crash") {
        (Some(&tenant.crash), 600)
    } else {
        (tenant.good.get(which), 600)
    };
    let cluster = json!({"cluster": {"name": name, "profile_id": profile, "min_size": 0, "max_size": MEMBERS,
        "desired_capacity": size, "timeout": timeout, "config": {"node.name.format": format!("{name}-$2I")}}});
    post("create cluster", "/v1/clusters".to_owned(), cluster)
}

fn of_node(chance: &mut StdRng, tenant: &Tenant, node: &str) -> Option<Ask> {
    let actions = format!("/v1/nodes/{node}/actions");
    Some(match chance.random_range(0..4) {
        0 => post("check node", actions, json!({"check": {}})),
        1 => post("recover node", actions, recovery(chance)),
        2 => Ask {
            verb: "update node",
            method: Method::PATCH,
            path: format!("/v1/nodes/{node}"),
            body: Some(json!({"node": {"profile_id": good(chance, tenant)}})),
        },
        _ => post(
            "restart node",
            format!("/v1/nodes/{node}/ops"),
            json!({"restart": {"wait_time": 0}}),
        ),
    })
}

fn recovery(chance: &mut StdRng) -> Value {
    match chance.random_range(0..3) {
        0 => json!({"recover": {"operation": "RESTART"}}),
        1 => json!({"recover": {"operation": "RECREATE"}}),
        _ => json!({"recover": {"check": true}}),
    }
}

fn of_cluster(chance: &mut StdRng, tenant: &Tenant, sight: &Sight) -> Option<Ask> {
    let cluster = pick(chance, &sight.clusters)?;
    let actions = format!("/v1/clusters/{}/actions", id(cluster));
    let inside = members(cluster);
    let count = json!({"count": chance.random_range(1..=2)});
    Some(match chance.random_range(0..20) {
        0..=1 => post("scale out", actions, json!({"scale_out": count})),
        2..=3 => post("scale in", actions, json!({"scale_in": count})),
        4..=6 => post("resize", actions, json!({"resize": resize(chance)})),
        7..=9 => post("check cluster", actions, json!({"check": {}})),
        10..=11 => post("recover cluster", actions, recovery(chance)),
        12..=13 => Ask {
            verb: "update cluster",
            method: Method::PATCH,
            path: format!("/v1/clusters/{}", id(cluster)),
            body: Some(json!({"cluster": {"profile_id": good(chance, tenant)}})),
        },
        14 => {
            let path = format!("/v1/clusters/{}/ops", id(cluster));
            post("restart cluster", path, json!({"restart": {"wait_time": 0}}))
        }
        15..=16 => {
            let policy = tenant
                .policies
                .get(chance.random_range(0..tenant.policies.len().max(1)))?;
            let body = json!({"policy_attach": {"policy_id": policy, "enabled": true}});
            post("attach policy", actions, body)
        }
        17 => {
            // The health policy stays mostly, for there is something to heal.
            let first = usize::from(chance.random_bool(0.8));
            let policy = tenant.policies.get(chance.random_range(first..tenant.policies.len()))?;
            post(
                "detach policy",
                actions,
                json!({"policy_detach": {"policy_id": policy}}),
            )
        }
        18 => {
            let alone: Vec<String> = sight.nodes.iter().filter(|n| cluster_of(n).is_none()).map(id).collect();
            let node = alone.get(chance.random_range(0..alone.len().max(1)))?;
            post("add node", actions, json!({"add_nodes": {"nodes": [node]}}))
        }
        _ => {
            let node = inside.get(chance.random_range(0..inside.len().max(1)))?;
            let destroy = chance.random_bool(0.7);
            let body = json!({"del_nodes": {"nodes": [node], "destroy_after_deletion": destroy}});
            post("del node", actions, body)
        }
    })
}

fn resize(chance: &mut StdRng) -> Value {
    match chance.random_range(0..3) {
        0 => json!({"adjustment_type": "EXACT_CAPACITY", "number": chance.random_range(1..=MEMBERS)}),
        1 => json!({"adjustment_type": "CHANGE_IN_CAPACITY", "number": chance.random_range(-2..=2), "strict": false}),
        _ => json!({"adjustment_type": "CHANGE_IN_PERCENTAGE", "number": 50, "min_step": 1, "strict": false}),
    }
}

fn good<'a>(chance: &mut StdRng, tenant: &'a Tenant) -> Option<&'a String> {
    tenant.good.get(chance.random_range(0..tenant.good.len().max(1)))
}

fn pick<'a>(chance: &mut StdRng, list: &'a [Value]) -> Option<&'a Value> {
    list.get(chance.random_range(0..list.len().max(1)))
}

fn id(value: &Value) -> String {
    value.get("id").and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn cluster_of(node: &Value) -> Option<&str> {
    node.get("cluster_id").and_then(Value::as_str).filter(|c| !c.is_empty())
}

fn members(cluster: &Value) -> Vec<String> {
    let nodes = cluster
        .get("nodes")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    nodes.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

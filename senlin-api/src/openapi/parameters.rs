//! The document's parameters, by the names that the table of operations uses.

use senlin_core::{
    action::{ActionKind, ActionStatus},
    cluster::ClusterStatus,
    event::Level,
    node::NodeStatus,
};
use serde_json::{Value, json};

fn query(name: &str, description: &str, schema: &Value) -> Value {
    json!({"name": name, "in": "query", "required": false, "description": description, "schema": schema})
}

/// A filter that may be repeated: any of the values.
fn any(name: &str, description: &str, items: &Value) -> Value {
    json!({"name": name, "in": "query", "required": false, "description": description, "explode": true,
        "schema": {"type": "array", "items": items}})
}

/// What each parameter may look like, where its description does not say.
const EXAMPLES: [(&str, &str); 23] = [
    ("once", "\"deploy-42\""),
    ("limit", "100"),
    ("marker", "\"8f2b1c3d-0000-4000-8000-000000000003\""),
    ("sort", "\"name:desc\""),
    ("global_project", "false"),
    ("name", "[\"web\"]"),
    ("type", "[\"container.dockerinc.docker-1.1\"]"),
    ("user", "[\"5e5b7d0d9a8f4f0e\"]"),
    ("target", "[\"8f2b1c3d-0000-4000-8000-000000000003\"]"),
    ("cluster_id", "\"web\""),
    ("action_cluster_id", "[\"web\"]"),
    ("oid", "[\"8f2b1c3d-0000-4000-8000-000000000003\"]"),
    ("oname", "[\"web\"]"),
    ("force", "true"),
    ("show_details", "true"),
    ("enabled", "true"),
    ("policy_name", "[\"grow\"]"),
    ("policy_type", "[\"senlin.policy.scaling-1.0\"]"),
    ("binding_sort", "\"enabled:desc\""),
    ("key", "\"…\""),
    ("since", "\"2ee-1f\""),
    ("action", "[\"CLUSTER_SCALE_OUT\"]"),
    ("event_action", "[\"CLUSTER_SCALE_OUT\"]"),
];

/// Every parameter, with an example.
pub(super) fn all() -> Value {
    let mut all = described();
    let Some(map) = all.as_object_mut() else { return all };
    for (name, parameter) in map.iter_mut() {
        let Some(fields) = parameter.as_object_mut() else {
            continue;
        };
        if fields.contains_key("example") {
            continue;
        }
        let own = EXAMPLES.iter().find(|(n, _)| n == name);
        let example = own.and_then(|(_, text)| serde_json::from_str(text).ok()).or_else(|| {
            // The first of those that may be.
            let first = fields.get("schema")?.pointer("/items/enum/0")?.clone();
            Some(json!([first]))
        });
        if let Some(example) = example {
            fields.insert("example".to_owned(), example);
        }
    }
    all
}

fn described() -> Value {
    let text = json!({"type": "string"});
    let truth = json!({"type": "boolean"});
    let words = |list: Vec<&str>| json!({"type": "string", "enum": list});
    let kinds = words(ActionKind::ALL.iter().map(|k| k.as_str()).collect());
    let cluster_kinds = words(
        ActionKind::ALL
            .iter()
            .filter(|k| k.is_cluster())
            .map(|k| k.as_str())
            .collect(),
    );
    let statuses = |list: Vec<&'static str>| any("status", "Any of these statuses.", &words(list));
    json!({
        "id": {"name": "id", "in": "path", "required": true, "schema": {"type": "string", "minLength": 1},
            "description": "Id, name or the beginning of an id.", "example": "web"},
        "sub": {"name": "sub", "in": "path", "required": true, "schema": {"type": "string", "minLength": 1},
            "description": "A policy's id or name; or a JSONPath from the node, such as details.State.Status.",
            "example": "name"},
        "version": {"name": "OpenStack-API-Version", "in": "header", "required": false,
            "description": "Microversion; 1.0 without it. `latest` is 1.14; ours are 1.15.",
            "schema": {"type": "string", "pattern": "^clustering (1\\.(1[0-5]|[0-9])|latest)$"},
            "example": "clustering 1.14"},
        "once": {"name": "Idempotency-Key", "in": "header", "required": false,
            "description": "From 1.15: the request is carried out once. The same one again within 24 hours gets the \
                first answer; another one with the same key is 409.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}},
        "limit": query("limit", "At most so many.", &json!({"type": "integer", "minimum": 0, "maximum": 1_000_000})),
        "marker": query("marker", "Only what comes after the one of this id.",
            &json!({"type": "string", "format": "uuid"})),
        "sort": query("sort", "key[:asc|desc],…", &text),
        "global_project": query("global_project", "Of every project: for admins.", &truth),
        "name": any("name", "Any of these names.", &text),
        "type": any("type", "Any of these types.", &text),
        "user": any("user", "Any of these users.", &text),
        "target": any("target", "Ids of clusters or nodes.", &text),
        "cluster_id": query("cluster_id", "Of this cluster.", &text),
        "action_cluster_id": any("cluster_id", "Of any of these clusters.", &text),
        "cluster_status": statuses(ClusterStatus::ALL.iter().map(|s| s.as_str()).collect()),
        "node_status": statuses(NodeStatus::ALL.iter().map(|s| s.as_str()).collect()),
        "action_status": statuses(ActionStatus::ALL.iter().map(|s| s.as_str()).collect()),
        "action": any("action", "Any of these actions.", &kinds),
        "event_action": any("action", "Any of these actions.", &kinds),
        "receiver_action": any("action", "Any of these actions.", &cluster_kinds),
        "receiver_type": any("type", "Any of these types.", &words(vec!["webhook", "message"])),
        "oid": any("oid", "Ids of clusters or nodes.", &text),
        "oname": any("oname", "Names of clusters or nodes.", &text),
        "otype": any("otype", "CLUSTER or NODE.", &words(vec!["CLUSTER", "NODE"])),
        "level": any("level", "Any of these levels.", &words(Level::ALL.iter().map(|l| l.as_str()).collect())),
        "since": query("since", "From 1.15: in the order of commits, what comes after the `next` of an earlier answer, \
            or all from the oldest if empty; none is missed. Not with marker or sort.", &text),
        "force": query("force", "Whatever its status.", &truth),
        "show_details": query("show_details", "Ask the host for what runs.", &truth),
        "enabled": query("enabled", "Only those that have a say, or have none.", &truth),
        "policy_name": any("policy_name", "Any of these names.", &text),
        "policy_type": any("policy_type", "Any of these types.", &text),
        "binding_sort": query("sort", "enabled[:asc|desc]", &words(vec!["enabled", "enabled:asc", "enabled:desc"])),
        "V": {"name": "V", "in": "query", "required": true, "description": "Version of the form: 1 or 2.",
            "schema": {"type": "string"}, "example": "2"},
        "key": query("key", "What opens the receiver.", &text),
    })
}

//! `GET /v1/clusters/{id}/attrs/{path}`: one value of every member.

use actix_web::HttpResponse;
use senlin_core::Map;
use senlin_db::{
    nodes,
    page::{Filter, Page},
};
use senlin_openapi as wire;
use serde_json::{Value, json};
use serde_json_path::JsonPath;

use super::find::find;
use crate::{
    error::{ApiError, Result},
    request::Call,
};

/// Members whose details one request to an engine asks for.
const BATCH: usize = 32;

/// The first match of a JSONPath in each member; members without one are left
/// out. A path with `details` in it looks at the live containers.
pub async fn collect(call: Call) -> Result<HttpResponse> {
    call.no_query()?;
    let path = parse(&call.sub)?;
    let cluster = find(&call, &call.identity).await?;
    let member = Filter {
        column: "cluster_id",
        values: vec![cluster.id.to_string()],
    };
    let found = nodes::list(&mut call.conn(), &call.scope(), &[member], &Page::default()).await?;
    let mut shown: Vec<Value> = found.iter().map(|n| wire::node(n, call.version)).collect();
    if call.sub.contains("details") {
        details(&call, &mut shown).await?;
    }
    let values: Vec<Value> = shown
        .iter()
        .filter_map(|node| {
            let value = path.query(node).first()?;
            Some(json!({"id": node.get("id"), "value": value}))
        })
        .collect();
    Ok(call.ok(&json!({"cluster_attributes": values})))
}

/// Senlin's paths start at the node: `$.` may be left out.
fn parse(text: &str) -> Result<JsonPath> {
    let text = text.trim();
    if text.is_empty() || text == "None" {
        return Err(ApiError::BadRequest("Required path attribute is missing.".to_owned()));
    }
    let full = if text.starts_with('$') {
        text.to_owned()
    } else if text.starts_with('[') || text.starts_with("..") {
        format!("${text}")
    } else {
        format!("$.{text}")
    };
    JsonPath::parse(&full).map_err(|e| ApiError::BadRequest(format!("Invalid attribute path - {text}: {e}")))
}

async fn details(call: &Call, shown: &mut [Value]) -> Result<()> {
    for batch in shown.chunks_mut(BATCH) {
        let ids: Vec<&Value> = batch
            .iter()
            .filter(|n| !n["physical_id"].is_null())
            .filter_map(|n| n.get("id"))
            .collect();
        let body = Map::from_iter([("ids".to_owned(), json!(ids))]);
        let all = call.api.ask("nodes.details", body, &call.caller.request_id).await?;
        for node in batch {
            let Some(details) = node["id"].as_str().and_then(|id| all.get(id)).cloned() else {
                continue;
            };
            if let Value::Object(map) = node {
                map.insert("details".to_owned(), details);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_start_at_the_node() {
        let node = json!({"name": "n", "details": {"State": {"Status": "running"}}, "list": [1, 2]});
        for (path, value) in [
            ("name", json!("n")),
            ("$.name", json!("n")),
            ("details.State.Status", json!("running")),
            ("list[1]", json!(2)),
            ("$..Status", json!("running")),
        ] {
            assert_eq!(parse(path).unwrap().query(&node).first(), Some(&value), "{path}");
        }
        for bad in ["", "None", "a b", "[", "name["] {
            assert!(matches!(parse(bad), Err(ApiError::BadRequest(_))), "{bad}");
        }
    }
}

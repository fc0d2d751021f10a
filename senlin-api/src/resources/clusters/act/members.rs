//! Members that come and go by name.

use senlin_core::{
    action::{
        ActionKind,
        inputs::{AddNodes, DelNodes, ReplaceNodes},
    },
    cluster::Cluster,
    ids::*,
    node::{Node, NodeStatus},
};
use senlin_db::nodes;
use senlin_openapi::{
    bodies::{Leaving, Members, Replacement},
    versions,
};
use senlin_policies::size;

use super::{Planned, bounds, refuse, size_of};
use crate::{
    error::{ApiError, Result},
    request::Call,
    resources::clusters::find,
};

fn grown_by(cluster: &Cluster, nodes: usize) -> i32 {
    size_of(cluster).saturating_add(i32::try_from(nodes).unwrap_or(i32::MAX))
}

fn quoted<T: ToString>(list: &[T]) -> String {
    format!(
        "[{}]",
        list.iter()
            .map(|i| format!("'{}'", i.to_string()))
            .collect::<Vec<_>>()
            .join(", ")
    )
}

/// Nodes by name or id; those that are not there, or not only one, are named.
async fn resolve(call: &Call, identities: &[String], missed: &str) -> Result<Vec<Node>> {
    let found = nodes::find_all(&mut call.conn(), &call.scope(), identities).await?;
    let missing: Vec<&String> = identities
        .iter()
        .zip(&found)
        .filter_map(|(identity, node)| node.is_none().then_some(identity))
        .collect();
    if missing.is_empty() {
        Ok(found.into_iter().flatten().collect())
    } else {
        refuse(format!("{missed}: {}.", quoted(&missing)))
    }
}

/// Nodes that may become members: orphans, ACTIVE, of the same type.
fn joinable(cluster: &Cluster, nodes: &[Node]) -> Result<()> {
    let ids = |bad: &dyn Fn(&Node) -> bool| nodes.iter().filter(|n| bad(n)).map(|n| n.id).collect::<Vec<NodeId>>();
    let owned = ids(&|n| n.cluster_id.is_some());
    if !owned.is_empty() {
        return refuse(format!("Nodes {} already owned by some cluster.", quoted(&owned)));
    }
    let inactive = ids(&|n| n.status != NodeStatus::Active);
    if !inactive.is_empty() {
        return refuse(format!("Nodes are not ACTIVE: {}.", quoted(&inactive)));
    }
    let other = ids(&|n| n.profile_type != cluster.profile_type);
    if !other.is_empty() {
        return refuse(format!(
            "Profile type of nodes {} does not match that of the cluster.",
            quoted(&other)
        ));
    }
    Ok(())
}

pub(super) async fn add_nodes(call: &Call, joining: Members) -> Result<Planned> {
    let cluster = &find(call, &call.identity).await?;
    let nodes = resolve(call, &joining.nodes.0, "Nodes not found").await?;
    joinable(cluster, &nodes)?;
    size::check(
        Some(grown_by(cluster, nodes.len())),
        None,
        None,
        true,
        bounds(call, cluster),
    )?;
    let ids: Vec<NodeId> = nodes.iter().map(|n| n.id).collect();
    Ok(Planned::new(
        cluster,
        ActionKind::ClusterAddNodes,
        &AddNodes { nodes: ids },
    ))
}

pub(super) async fn del_nodes(call: &Call, leaving: Leaving) -> Result<Planned> {
    let destroy = call.version >= versions::DESTROY_AFTER_DELETION
        && leaving.destroy_after_deletion.is_some_and(|destroy| destroy.0);
    let plan_token = call.known("plan_token", leaving.plan_token, versions::PLAN_TOKEN)?;
    let cluster = &find(call, &call.identity).await?;
    let nodes = resolve(call, &leaving.nodes.0, "Nodes not found").await?;
    let strangers: Vec<NodeId> = nodes
        .iter()
        .filter(|n| n.cluster_id != Some(cluster.id))
        .map(|n| n.id)
        .collect();
    if !strangers.is_empty() {
        return refuse(format!(
            "Nodes not members of specified cluster: {}.",
            quoted(&strangers)
        ));
    }
    if let Some(host) = nodes.iter().find(|n| !n.dependent_nodes.is_empty()) {
        return Err(ApiError::InUse {
            kind: "node",
            identity: host.name.clone(),
            reason: "there are still containers that depend on it".to_owned(),
        });
    }
    let left = size_of(cluster) - i32::try_from(nodes.len()).unwrap_or(0);
    size::check(Some(left), None, None, true, bounds(call, cluster))?;
    let inputs = DelNodes {
        candidates: nodes.iter().map(|n| n.id).collect(),
        count: nodes.len(),
        destroy_after_deletion: destroy,
    };
    Ok(Planned {
        plan_token,
        ..Planned::new(cluster, ActionKind::ClusterDelNodes, &inputs)
    })
}

pub(super) async fn replace_nodes(call: &Call, replacement: Replacement) -> Result<Planned> {
    let (old, new): (Vec<_>, Vec<_>) = replacement.nodes.0.into_iter().unzip();
    let cluster = &find(call, &call.identity).await?;
    let old = resolve(call, &old, "Original nodes not found").await?;
    let new = resolve(call, &new, "Replacement nodes not found").await?;
    let strangers: Vec<NodeId> = old
        .iter()
        .filter(|n| n.cluster_id != Some(cluster.id))
        .map(|n| n.id)
        .collect();
    if !strangers.is_empty() {
        return refuse(format!(
            "The specified nodes {} to be replaced are not members of the cluster {}.",
            quoted(&strangers),
            cluster.id
        ));
    }
    // The same rules as for joining, in the words that Senlin has here.
    joinable(cluster, &new).map_err(|error| match error {
        ApiError::BadRequest(text) => ApiError::BadRequest(
            text.replace("already owned by some cluster", "already member of a cluster")
                .replace("does not match that of the cluster", "do not match that of the cluster"),
        ),
        other => other,
    })?;
    let candidates = old.iter().zip(&new).map(|(o, n)| (o.id, n.id)).collect();
    Ok(Planned::new(
        cluster,
        ActionKind::ClusterReplaceNodes,
        &ReplaceNodes { candidates },
    ))
}

//! Policies decide: facts and a request in, a decision and its reasons out.

use std::sync::Arc;

use senlin_core::{
    Map, Time,
    action::ActionKind,
    ids::{BindingId, NodeId},
    placement::HostSnapshot,
    spec::{SpecError, SpecSchema},
    types::{self, Meta, SpecType},
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    size::Bounds,
    victims::{self, Candidate, Criteria},
};

mod decision;
mod typed;

pub use decision::{Batches, Decision, Hook, Sink};
pub(crate) use typed::{Behaviour, Typed};

/// A cluster as a decision sees it.
#[derive(Debug, Clone)]
pub struct ClusterSnapshot {
    /// Members it has.
    pub size: i32,
    /// What is asked of it.
    pub bounds: Bounds,
    /// Its members.
    pub members: Vec<Candidate>,
    /// Hosts that its containers may go to; empty when nothing asks for them.
    pub hosts: Vec<HostSnapshot>,
    /// When the decision is made.
    pub now: Time,
}

/// What an action is about to do.
#[derive(Debug, Clone)]
pub struct Request {
    /// The action.
    pub kind: ActionKind,
    /// Members go rather than come.
    pub shrinks: bool,
    /// Members more or fewer, if it says so itself.
    pub count: Option<i32>,
    /// Members that must be the ones to go, if it says so itself.
    pub candidates: Vec<NodeId>,
    /// Chance, so that the decision can be told again.
    pub seed: u64,
}

/// A policy attached to a cluster.
#[derive(Clone)]
pub struct AttachedPolicy {
    /// The policy's name, for explanations.
    pub name: String,
    /// Its type.
    pub kind: Arc<dyn PolicyType>,
    /// Its properties, checked.
    pub properties: Map,
    /// When it last let something be done.
    pub last_op: Option<Time>,
    /// The binding that attaches it.
    pub binding: BindingId,
}

/// What a policy type is called, and how policies of it are treated.
#[derive(Debug, Clone, Copy)]
pub struct PolicyMeta {
    /// What it is called, and since when.
    pub is: Meta,
    /// Less goes first.
    pub priority: i32,
    /// Whether a cluster may have only one of this name.
    pub singleton: bool,
    /// Whether it must know the hosts to decide.
    pub needs_hosts: bool,
}

/// A policy type.
pub trait PolicyType: Send + Sync {
    /// What it is called, and how it is treated.
    fn meta(&self) -> &'static PolicyMeta;
    /// The schema of `properties`.
    fn schema(&self) -> &SpecSchema;
    /// Rules beyond the schema.
    ///
    /// # Errors
    /// Names the item and the rule.
    fn validate(&self, properties: &Map) -> Result<(), SpecError>;
    /// Seconds until it lets `kind` be done again; none when it has no say in it.
    fn cooldown(&self, bound: &AttachedPolicy, kind: ActionKind, now: Time) -> Option<i64> {
        let _ = (bound, kind, now);
        None
    }
    /// What is kept with the binding while the policy is attached.
    fn binding_data(&self, properties: &Map) -> Option<Map> {
        let _ = properties;
        None
    }
    /// AFTER: whether the end of such an action, good or bad, is the time its
    /// next cooldown counts from.
    fn after(&self, kind: ActionKind) -> bool {
        let _ = kind;
        false
    }
    /// Refines the decision, or says why not.
    ///
    /// # Errors
    /// The reason, for the tenant.
    fn before(
        &self,
        bound: &AttachedPolicy,
        view: &ClusterSnapshot,
        request: &Request,
        decision: Decision,
    ) -> Result<Decision, String>;
}

impl SpecType for dyn PolicyType {
    fn meta(&self) -> &'static Meta {
        &PolicyType::meta(self).is
    }

    fn schema(&self) -> &SpecSchema {
        PolicyType::schema(self)
    }
}

/// Every policy type.
pub type Registry = types::Registry<dyn PolicyType>;

/// A policy says no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Policy check failure: Failed policy '{policy}': {reason}.")]
pub struct Refusal {
    /// Its name.
    pub policy: String,
    /// Why.
    pub reason: String,
}

/// Asks every policy in the order of priorities.
///
/// # Errors
/// The first policy that says no.
pub fn decide(policies: &[AttachedPolicy], view: &ClusterSnapshot, request: &Request) -> Result<Decision, Refusal> {
    let mut decision = Decision::of(request);
    for bound in in_order(policies) {
        decision = bound
            .kind
            .before(bound, view, request, decision)
            .map_err(|reason| Refusal {
                policy: bound.name.clone(),
                reason: reason.trim_end_matches('.').to_owned(),
            })?;
    }
    if request.shrinks && decision.victims.is_empty() {
        let count = decision.count.unwrap_or(1).clamp(0, view.size);
        decision.choose(view, count, Criteria::Random, request.seed);
    }
    protect(view, request, &mut decision)?;
    Ok(decision)
}

/// Members that protect themselves do not go when a cluster scales in by itself.
fn protect(view: &ClusterSnapshot, request: &Request, decision: &mut Decision) -> Result<(), Refusal> {
    if request.kind != ActionKind::ClusterScaleIn {
        return Ok(());
    }
    let before = decision.victims.len();
    let shielded = victims::protected(&view.members);
    decision.victims.retain(|id| !shielded.contains(id));
    let left = decision.victims.len();
    if left == before {
        return Ok(());
    }
    if left == 0 {
        return Err(Refusal {
            policy: "scale-in protection".to_owned(),
            reason: format!("each of the {before} members that could go protects itself for now"),
        });
    }
    decision
        .reasons
        .push(format!("{} members protect themselves: {left} go.", before - left));
    decision.count = i32::try_from(left).ok();
    Ok(())
}

/// AFTER: the bindings whose cooldown counts from the end of such an action.
#[must_use]
pub fn after(policies: &[AttachedPolicy], kind: ActionKind) -> Vec<BindingId> {
    let marked = in_order(policies).into_iter().filter(|b| b.kind.after(kind));
    marked.map(|b| b.binding).collect()
}

/// The order of priorities; among equals by name.
fn in_order(policies: &[AttachedPolicy]) -> Vec<&AttachedPolicy> {
    let mut ordered: Vec<&AttachedPolicy> = policies.iter().collect();
    ordered.sort_by(|a, b| (a.kind.meta().priority, &a.name).cmp(&(b.kind.meta().priority, &b.name)));
    ordered
}

/// Properties as a type's own struct.
///
/// # Errors
/// Names what does not fit.
pub(crate) fn read<T: DeserializeOwned>(properties: &Map) -> Result<T, SpecError> {
    serde_json::from_value(Value::Object(properties.clone()))
        .map_err(|e| SpecError(format!("The properties cannot be understood: {e}")))
}

#[cfg(test)]
mod tests;

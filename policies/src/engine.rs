//! Policies decide: facts and a request in, a decision and its reasons out.

use std::sync::Arc;

use senlin_core::{
    Map, Time,
    action::ActionKind,
    ids::NodeId,
    profile_type::Support,
    spec::{SpecError, SpecSchema},
};
use serde_json::{Value, json};

use crate::{size::Bounds, victims::Candidate};

/// A cluster as a decision sees it.
#[derive(Debug, Clone)]
pub struct View {
    /// Members it has.
    pub size: i32,
    /// What is asked of it.
    pub bounds: Bounds,
    /// Its members.
    pub members: Vec<Candidate>,
    /// When the decision is made.
    pub now: Time,
}

/// What an action is about to do.
#[derive(Debug, Clone)]
pub struct Request {
    /// The action.
    pub kind: ActionKind,
    /// Members more or fewer, if it says so itself.
    pub count: Option<i32>,
    /// Members that must be the ones to go, if it says so itself.
    pub candidates: Vec<NodeId>,
    /// Chance, so that the decision can be told again.
    pub seed: u64,
}

/// What will be done. Begins as the request; each policy in turn refines it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Members more or fewer.
    pub count: Option<i32>,
    /// Who goes.
    pub victims: Vec<NodeId>,
    /// Whether they are destroyed, or let go as orphans.
    pub destroy: Option<bool>,
    /// Seconds to wait before they go.
    pub grace: i64,
    /// Whether the desired capacity falls with them.
    pub reduce: bool,
    /// Why, in words, policy by policy.
    pub because: Vec<String>,
}

impl Default for Decision {
    fn default() -> Self {
        Self {
            count: None,
            victims: Vec::new(),
            destroy: None,
            grace: 0,
            reduce: true,
            because: Vec::new(),
        }
    }
}

impl Decision {
    /// What the request alone says.
    #[must_use]
    pub fn of(request: &Request) -> Self {
        Self {
            count: request.count,
            victims: request.candidates.clone(),
            ..Self::default()
        }
    }

    /// As an action's `data` shows it (contract/policies, "action.data keys").
    #[must_use]
    pub fn to_data(&self, shrinks: bool) -> Map {
        let mut data = Map::from_iter([("status".to_owned(), "OK".into())]);
        if shrinks {
            let deletion = json!({"count": self.count, "candidates": self.victims,
                "destroy_after_deletion": self.destroy, "grace_period": self.grace,
                "reduce_desired_capacity": self.reduce});
            data.insert("deletion".to_owned(), deletion);
        } else {
            data.insert("creation".to_owned(), json!({"count": self.count}));
        }
        data.insert(
            "reason".to_owned(),
            Value::String(if self.because.is_empty() {
                "No policy had a say.".to_owned()
            } else {
                self.because.join(" ")
            }),
        );
        data
    }
}

/// A policy attached to a cluster.
#[derive(Clone)]
pub struct Bound {
    /// The policy's name, for explanations.
    pub name: String,
    /// Its type.
    pub kind: Arc<dyn PolicyType>,
    /// Its properties, checked.
    pub properties: Map,
    /// When it last let something be done.
    pub last_op: Option<Time>,
}

/// A policy type.
pub trait PolicyType: Send + Sync {
    /// Such as `senlin.policy.scaling`.
    fn name(&self) -> &'static str;
    /// Such as `1.0`.
    fn version(&self) -> &'static str;
    /// Its life so far.
    fn support(&self) -> &'static [Support];
    /// The schema of `properties`.
    fn schema(&self) -> &SpecSchema;
    /// Less goes first.
    fn priority(&self) -> i32;
    /// Whether a cluster may have only one of this name.
    fn singleton(&self) -> bool {
        true
    }
    /// Rules beyond the schema.
    ///
    /// # Errors
    /// Names the item and the rule.
    fn validate(&self, properties: &Map) -> Result<(), SpecError>;
    /// Seconds until it lets `kind` be done again; none when it has no say in it.
    fn cooldown(&self, bound: &Bound, kind: ActionKind, now: Time) -> Option<i64> {
        let _ = (bound, kind, now);
        None
    }
    /// Refines the decision, or says why not.
    ///
    /// # Errors
    /// The reason, for the tenant.
    fn before(&self, bound: &Bound, view: &View, request: &Request, so_far: Decision) -> Result<Decision, String>;
}

/// `name-version` of a type.
#[must_use]
pub fn full_name(kind: &dyn PolicyType) -> String {
    format!("{}-{}", kind.name(), kind.version())
}

/// A policy says no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Policy check failure: Failed policy '{policy}': {reason}.")]
pub struct Refusal {
    /// Its name.
    pub policy: String,
    /// Why.
    pub reason: String,
}

/// Asks every policy in the order of priorities (contract/policies, "Binding rules").
///
/// # Errors
/// The first policy that says no.
pub fn decide(policies: &[Bound], view: &View, request: &Request) -> Result<Decision, Refusal> {
    let mut ordered: Vec<&Bound> = policies.iter().collect();
    ordered.sort_by_key(|b| (b.kind.priority(), b.name.clone()));
    let mut decision = Decision::of(request);
    for bound in ordered {
        decision = bound
            .kind
            .before(bound, view, request, decision)
            .map_err(|reason| Refusal {
                policy: bound.name.clone(),
                reason: reason.trim_end_matches('.').to_owned(),
            })?;
    }
    Ok(decision)
}

/// Every type, found by `name-version`.
#[derive(Clone)]
pub struct Registry {
    types: Arc<Vec<Arc<dyn PolicyType>>>,
}

impl Registry {
    /// A registry of these types.
    #[must_use]
    pub fn new(types: Vec<Arc<dyn PolicyType>>) -> Self {
        Self { types: Arc::new(types) }
    }

    /// The type with that `name-version`.
    #[must_use]
    pub fn find(&self, full: &str) -> Option<&Arc<dyn PolicyType>> {
        self.types.iter().find(|t| full == full_name(t.as_ref()))
    }

    /// Every type, in listing order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn PolicyType>> {
        self.types.iter()
    }
}

#[cfg(test)]
mod tests;

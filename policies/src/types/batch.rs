//! `senlin.policy.batch`: an update, some members at a time.

use senlin_core::{
    action::ActionKind,
    ids::NodeId,
    spec::SpecError,
    types::{Meta, Support},
};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::engine::{AttachedPolicy, Batches, Behaviour, ClusterSnapshot, Decision, PolicyMeta, Request};

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    /// Minimum number of nodes in service when performing updates.
    #[serde(default = "one")]
    #[schema(default = 1, minimum = 0)]
    min_in_service: i32,
    /// Maximum number of nodes in each batch when performing updates.
    #[serde(default = "unlimited")]
    #[schema(default = -1, minimum = -1)]
    max_batch_size: i32,
    /// Number of seconds between update batches.
    #[serde(default = "minute")]
    #[schema(default = 60, minimum = 0, maximum = 86400)]
    pause_time: i64,
    /// What becomes of the members that were updated when one turns out bad: they stay as they are (STOP), or get
    /// the old profile back (ROLLBACK). Those that were not updated yet are never touched.
    #[serde(default)]
    #[schema(inline, default = "STOP")]
    on_failure: OnFailure,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum OnFailure {
    #[default]
    Stop,
    Rollback,
}

fn one() -> i32 {
    1
}

fn unlimited() -> i32 {
    -1
}

fn minute() -> i64 {
    60
}

/// Members per batch.
fn batch_size(spec: &Spec, total: i32) -> i32 {
    let most = if total > spec.min_in_service {
        total - spec.min_in_service
    } else {
        (total + 1) / 2
    };
    let limited = if spec.max_batch_size > 0 {
        most.min(spec.max_batch_size)
    } else {
        most
    };
    limited.max(1)
}

/// The batches of an update that no policy divides: one member first, then a
/// tenth of them at a time, and none after a bad one.
#[must_use]
pub fn careful(members: &[NodeId]) -> Batches {
    let (first, rest) = members.split_at(members.len().min(1));
    let size = members.len().div_ceil(10).max(1);
    let plan = [first]
        .into_iter()
        .chain(rest.chunks(size))
        .filter(|batch| !batch.is_empty());
    Batches {
        pause_time: 0,
        plan: plan.map(<[_]>::to_vec).collect(),
        rollback: false,
    }
}

pub(crate) const META: PolicyMeta = PolicyMeta {
    is: Meta {
        name: "senlin.policy.batch",
        version: "1.0",
        support: &[Support::experimental("2017.02")],
        since: (1, 0),
    },
    priority: 200,
    singleton: true,
    needs_hosts: false,
};

impl Behaviour for Spec {
    fn check(&self) -> Result<(), SpecError> {
        if self.max_batch_size == 0 {
            return Err(SpecError(
                "'max_batch_size' must be -1 for no limit, or at least 1".to_owned(),
            ));
        }
        Ok(())
    }

    fn concerns(request: &Request) -> bool {
        request.kind == ActionKind::ClusterUpdate
    }

    fn before(
        self,
        bound: &AttachedPolicy,
        view: &ClusterSnapshot,
        _: &Request,
        mut decision: Decision,
    ) -> Result<Decision, String> {
        let size = batch_size(&self, view.size);
        let mut members: Vec<_> = view.members.iter().collect();
        // What does not work already is updated first: it has nothing to lose.
        members.sort_by_key(|m| !m.bad);
        let ids: Vec<_> = members.into_iter().map(|m| m.id).collect();
        let plan: Vec<Vec<_>> = ids
            .chunks(usize::try_from(size).unwrap_or(1))
            .map(<[_]>::to_vec)
            .collect();
        decision.reasons.push(format!(
            "'{}' updates {} members in {} batches of up to {size}, {} s apart.",
            bound.name,
            view.size,
            plan.len(),
            self.pause_time
        ));
        decision.batches = Some(Batches {
            pause_time: self.pause_time,
            plan,
            rollback: self.on_failure == OnFailure::Rollback,
        });
        Ok(decision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f4_one_goes_first_and_then_a_tenth_at_a_time() {
        let sizes = |members: usize| -> Vec<usize> {
            let ids: Vec<_> = (0..members).map(|_| NodeId::random()).collect();
            let batches = careful(&ids);
            assert_eq!(batches.plan.concat(), ids, "everyone, once, in order");
            batches.plan.iter().map(Vec::len).collect()
        };
        assert_eq!(sizes(0), Vec::<usize>::new());
        assert_eq!(sizes(1), [1]);
        assert_eq!(sizes(3), [1, 1, 1]);
        assert_eq!(sizes(25), [1, 3, 3, 3, 3, 3, 3, 3, 3]);
        assert_eq!(sizes(1000).len(), 11);
    }
}

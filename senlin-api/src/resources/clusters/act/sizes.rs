//! How many members there are to be.

use senlin_core::{
    action::{ActionKind, inputs},
    cluster::Cluster,
};
use senlin_db::bindings;
use senlin_openapi::{
    bodies::{Count, Resize},
    versions,
};
use senlin_policies::{
    engine::AttachedPolicy,
    size::{self, Adjustment},
};

use super::{Planned, bounds, refuse, size_of};
use crate::{
    error::{ApiError, Result},
    request::Call,
    resources::{self, clusters::find},
};

pub(super) async fn scale(call: &Call, by: Count, kind: ActionKind) -> Result<Planned> {
    let count = by.count.map(|c| c.0);
    if count == Some(0) {
        return refuse("Count for scale-in/out request cannot be 0.".to_owned());
    }
    let plan_token = call.newer("plan_token", by.plan_token, versions::PLAN_TOKEN)?;
    let cluster = &find(call, &call.identity).await?;
    if let Some(count) = count {
        let desired = match kind {
            ActionKind::ClusterScaleOut => size_of(cluster).saturating_add(count),
            _ => (size_of(cluster) - count).max(0),
        };
        size::check(Some(desired), None, None, false, bounds(call, cluster))?;
    }
    check_cooldowns(call, cluster, kind).await?;
    let grown = (kind == ActionKind::ClusterScaleOut).then(|| size_of(cluster).saturating_add(count.unwrap_or(1)));
    Ok(Planned {
        size: grown,
        plan_token,
        ..Planned::new(cluster, kind, &inputs::Scale { count })
    })
}

/// Refuses at once what a policy's cooldown would refuse later.
async fn check_cooldowns(call: &Call, cluster: &Cluster, kind: ActionKind) -> Result<()> {
    let Some((now, active)) = bindings::active(&mut call.conn(), cluster.id).await? else {
        return Ok(());
    };
    for one in active {
        let Some(policy) = call.api.policies.find(&one.binding.policy_type) else {
            continue;
        };
        let bound = AttachedPolicy {
            name: one.binding.policy_name,
            kind: policy.clone(),
            properties: one.properties,
            last_op: one.binding.last_op,
            binding: one.binding.id,
        };
        if let Some(left) = policy.cooldown(&bound, kind, now) {
            return Err(ApiError::Cooldown {
                action: kind.as_str(),
                cluster: cluster.id.to_string(),
                policy: bound.name,
                left,
            });
        }
    }
    Ok(())
}

pub(super) async fn resize(call: &Call, resize: Resize) -> Result<Planned> {
    let kind = resize.adjustment_type.map(|k| k.0);
    let number = resize.number.map(|n| n.0);
    let min = resources::size(call, "min_size", resize.min_size.map(|s| s.0))?;
    let max = resources::size(call, "max_size", resize.max_size.map(|s| s.0))?;
    let strict = resize.strict.is_none_or(|s| s.0);
    let plan_token = call.known("plan_token", resize.plan_token, versions::PLAN_TOKEN)?;
    if kind.is_none() && number.is_none() && min.is_none() && max.is_none() {
        return refuse("Not enough parameters to do resize action.".to_owned());
    }
    let adjustment = match &kind {
        None => None,
        Some(name) => match Adjustment::parse(name) {
            Some(adjustment) => Some(adjustment),
            None => return refuse(format!("Value '{name}' is not acceptable for field 'adjustment_type'.")),
        },
    };
    let step = resize.min_step.map(|s| s.0);
    let step = step.filter(|_| adjustment == Some(Adjustment::Percentage));
    let change = match (adjustment, number) {
        (Some(adjustment), Some(number)) => {
            let whole = matches!(adjustment, Adjustment::Percentage) || number.fract() == 0.0;
            if !whole {
                return refuse(format!(
                    "The 'number' must be integer for adjustment type '{}'.",
                    kind.unwrap_or_default()
                ));
            }
            if adjustment == Adjustment::Exact && number < 0.0 {
                return refuse(
                    "The 'number' must be non-negative integer for adjustment type 'EXACT_CAPACITY'.".to_owned(),
                );
            }
            Some((adjustment, number))
        }
        (Some(_), None) => return refuse("Missing number value for size adjustment.".to_owned()),
        (None, Some(_)) => return refuse("Missing adjustment_type value for size adjustment.".to_owned()),
        (None, None) => None,
    };
    if let (Some(least), Some(most)) = (min, max)
        && most >= 0
        && least > most
    {
        return refuse(format!(
            "The specified min_size ({least}) is greater than the specified max_size ({most})."
        ));
    }
    let cluster = &find(call, &call.identity).await?;
    let desired = change.map(|(adjustment, number)| size::desired(size_of(cluster), adjustment, number, step));
    let now = bounds(call, cluster);
    let wanted = if strict {
        desired
    } else {
        desired.map(|d| size::truncate(d, min, max, now))
    };
    size::check(wanted, min, max, strict, now)?;
    let inputs = inputs::Resize {
        adjustment_type: kind,
        number,
        min_size: min,
        max_size: max,
        min_step: step,
        strict: Some(strict),
    };
    Ok(Planned {
        size: wanted.filter(|wanted| *wanted > size_of(cluster)),
        plan_token,
        ..Planned::new(cluster, ActionKind::ClusterResize, &inputs)
    })
}

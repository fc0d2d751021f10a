//! CLUSTER_ATTACH_POLICY: a policy has a say from now on.

use senlin_core::{
    Map,
    action::{ActionStatus, inputs::Policy},
};
use senlin_db::{
    bindings::{self, Attach, Attached},
    fence::{self, End},
    policies,
};

use crate::{
    actions::context::{Ctx, Outcome},
    failure::Failure,
};

/// Success, in these words.
pub(super) fn success(reason: String) -> End {
    End {
        status: ActionStatus::Succeeded,
        reason,
        outputs: Map::new(),
    }
}

pub(crate) async fn run(ctx: &Ctx) -> Result<Outcome, Failure> {
    let Policy { policy_id: id, enabled } = ctx.inputs()?;
    let cluster = ctx.cluster_id()?;
    let mut conn = ctx.conn();
    let all = senlin_core::caller::Scope::All;
    let policy = policies::find(&mut conn, &all, &id.to_string())
        .await?
        .ok_or_else(|| Failure::Refused(format!("The policy '{id}' could not be found.")))?;
    let kind = ctx.engine.policies.find(&policy.type_name).ok_or_else(|| {
        Failure::Refused(format!(
            "This engine does not know the policy type '{}'.",
            policy.type_name
        ))
    })?;
    // One of a name, whatever its version: two would contradict each other.
    let meta = kind.meta();
    let rivals = if meta.singleton {
        let all = ctx.engine.policies.iter().map(|t| t.meta().is);
        all.filter(|t| t.name == meta.is.name).map(|t| t.full_name()).collect()
    } else {
        Vec::new()
    };
    let new = Attach {
        policy: id,
        enabled: enabled.unwrap_or(true),
        priority: meta.priority,
        rivals,
        data: kind.binding_data(&policy.spec.properties),
    };
    let attached = ctx
        .record("attach", bindings::attach(&mut conn, ctx.fence, cluster, &new))
        .await?;
    let reason = match attached {
        Attached::Now => "Policy attached.".to_owned(),
        Attached::Already => "Policy already attached.".to_owned(),
        Attached::Rival(name) => {
            return Err(Failure::Refused(format!(
                "Only one policy of type '{}' may be attached to a cluster, and '{name}' is.",
                meta.is.name
            )));
        }
    };
    let end = success(reason);
    let write = fence::finish(&mut conn, ctx.fence, &end, None);
    Ok(Outcome::ended(ctx.end("record the end", write).await?))
}

//! Where a cluster action is. Each kind has an enum of its own phases, read once
//! from the row: a phase that one place enters and another does not know of
//! does not compile, and one that no engine of this release writes is refused.

use senlin_core::action::ActionStatus;
use senlin_db::{
    children,
    fence::{self, End},
};

use super::{explain, failed_nodes};
use crate::{
    actions::context::{Ctx, Outcome},
    failure::Failure,
};

/// The last phase of every kind that waits for children: their ends are judged.
pub(crate) const FINISH: &str = "finish";
/// Before the phase of an action that ends early and waits for its children.
pub(crate) const ENDING: &str = "ending:";

/// Declares the phases of a kind, each with its word in the row.
macro_rules! phases {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $phase:ident = $word:expr),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum $name {
            $($(#[$doc])* $phase),+
        }

        impl $name {
            /// The action's phase.
            ///
            /// # Errors
            /// When this kind of action has none of that name.
            pub(crate) fn of(ctx: &$crate::actions::context::Ctx) -> Result<Self, $crate::failure::Failure> {
                let word = $crate::actions::cluster::phase::word(ctx);
                $(if word == $word {
                    return Ok(Self::$phase);
                })+
                Err($crate::actions::cluster::phase::unknown(ctx))
            }

            /// As the row has it.
            pub(crate) fn word(self) -> &'static str {
                match self {
                    $(Self::$phase => $word),+
                }
            }
        }
    };
}
pub(crate) use phases;

phases! {
    /// Kinds that begin, and end when their children have.
    Once {
        /// Nothing is done yet.
        Begin = "",
        /// The children have ended.
        Finish = FINISH,
    }
}

phases! {
    /// Kinds that change the size, perhaps after a grace.
    Sizing {
        /// Nothing is done yet.
        Begin = "",
        /// The grace of those that go has passed.
        Grace = "grace",
        /// The children have ended.
        Finish = FINISH,
    }
}

/// The phase's word. The last phase judges the children's ends, also of an
/// action that was told to end while it waited for them.
pub(crate) fn word(ctx: &Ctx) -> &str {
    let phase = ctx.action.phase.as_str();
    match phase.strip_prefix(ENDING) {
        Some(FINISH) => FINISH,
        _ => phase,
    }
}

pub(crate) fn unknown(ctx: &Ctx) -> Failure {
    Failure::Refused(format!(
        "This engine does not know the phase '{}' of {}.",
        ctx.action.phase,
        ctx.action.kind.as_str()
    ))
}

/// The phase in which an action was told to end, or failed, while its children
/// were under way; unless it was the last one.
pub(crate) fn ended_in(ctx: &Ctx) -> Option<&str> {
    ctx.action.phase.strip_prefix(ENDING).filter(|phase| *phase != FINISH)
}

/// Why the action is to end, where it failed while children were under way.
pub(crate) fn last_failure(ctx: &Ctx) -> Option<&str> {
    ctx.action.data.get("last_failure").and_then(serde_json::Value::as_str)
}

/// The children of a phase that was cut short have ended: so does the action,
/// for the reason that it was told to, whatever came of the children.
pub(crate) async fn end_early(ctx: &Ctx, phase: &str) -> Result<Outcome, Failure> {
    let mut conn = ctx.conn();
    let ends = children::ends(&mut conn, ctx.action.id, phase).await?;
    let failed: Vec<_> = ends.iter().filter(|c| c.status != ActionStatus::Succeeded).collect();
    let (status, reason) = ctx.ending().unwrap_or_else(|| {
        let reason = last_failure(ctx).map_or_else(|| explain(&failed, ends.len()), str::to_owned);
        (ActionStatus::Failed, reason)
    });
    let end = End {
        status,
        reason,
        outputs: failed_nodes(&failed).unwrap_or_default(),
    };
    let kind = ctx.action.kind.as_str();
    let write = fence::finish_cluster(&mut conn, ctx.fence, &end, ctx.cluster_id()?, kind, &[]);
    Ok(Outcome::ended(ctx.end("record the end", write).await?))
}

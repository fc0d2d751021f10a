//! What an action's handler gets to work with.

use std::{sync::Arc, time::Duration};

use senlin_core::{
    Map,
    action::{Action, ActionKind, ActionStatus, inputs},
    driver::ContainerDriver,
    ids::*,
    node::{Node, NodeStatus},
    profile_type::{Job, ProfileError},
    steps::{Interrupt, Steps, step},
};
use senlin_db::{
    Conn, DbError,
    fence::{End, Fence, Mark, NodeChange, NodeEnd},
    members,
};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::{
    Engine,
    actions::faults::{Fault, When},
    failure::Failure,
    hosts::profile_cache::LoadedProfile,
    queue::{
        many::Many,
        running::StopSignals,
        together::{Call, Together},
    },
};

/// What a handler came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has ended, or waits for its children: everything is recorded.
    Recorded {
        /// Parents to look at.
        parents: Vec<ActionId>,
        /// There are new children to claim.
        spawned: bool,
    },
    /// It entered another phase: run it again at once.
    Next(String),
}

impl Outcome {
    /// Ended; these parents may go on.
    #[must_use]
    pub fn ended(parents: Vec<ActionId>) -> Self {
        Self::Recorded {
            parents,
            spawned: false,
        }
    }

    /// Waits for children.
    #[must_use]
    pub fn waiting() -> Self {
        Self::Recorded {
            parents: Vec::new(),
            spawned: true,
        }
    }
}

/// Inputs as those of a kind.
///
/// # Errors
/// When they are something else.
pub(crate) fn read_inputs<T: DeserializeOwned>(inputs: &Map) -> Result<T, Failure> {
    inputs::read(inputs).map_err(|e| Failure::Refused(format!("The action's inputs are not usable: {e}.")))
}

/// One claimed action and everything its handler may use.
pub struct Ctx {
    pub(crate) engine: Arc<Engine>,
    /// The action, as it was claimed; its phase moves on with the handler.
    pub action: Action,
    /// Proof of the claim.
    pub fence: Fence,
    pub(crate) signals: StopSignals,
    pub(crate) deadline: Instant,
}

impl Ctx {
    /// What statements run on; it holds no connection.
    #[must_use]
    pub fn conn(&self) -> Conn {
        self.engine.db.session()
    }

    /// What the action is told to do, as its kind has it.
    ///
    /// # Errors
    /// When the row says something else.
    pub fn inputs<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        read_inputs(&self.action.inputs)
    }

    /// The cluster the action is about.
    ///
    /// # Errors
    /// When it is about none.
    pub fn cluster_id(&self) -> Result<ClusterId, Failure> {
        if self.action.kind.is_cluster() {
            return Ok(self.action.target.into());
        }
        self.action
            .cluster_id
            .ok_or_else(|| Failure::Refused("The node is not in a cluster.".to_owned()))
    }

    /// Whether a user asked for this action on a member: then the cluster's
    /// status follows it at once, and not a parent's.
    #[must_use]
    pub fn is_members_own(&self) -> bool {
        !self.action.kind.is_cluster() && self.action.parent_id.is_none() && self.action.cluster_id.is_some()
    }

    /// A write to the database, as a step that can fail or crash in tests.
    ///
    /// # Errors
    /// The interrupt, or the write's own error.
    pub async fn record<T>(
        &self,
        name: &'static str,
        write: impl Future<Output = Result<T, DbError>> + Send,
    ) -> Result<T, Failure> {
        // Not `step`: a transaction must never be dropped half way.
        self.before(name).await?;
        let value = write.await?;
        self.after(name).await?;
        Ok(value)
    }

    /// The write that ends the action, as a step: neither a cancel nor the
    /// timeout keeps it from being recorded.
    ///
    /// # Errors
    /// As [`Self::record`].
    pub async fn end<T>(
        &self,
        name: &'static str,
        write: impl Future<Output = Result<T, DbError>> + Send,
    ) -> Result<T, Failure> {
        if self.signals.abandon.is_cancelled() {
            return Err(Interrupt::LeaseLost.into());
        }
        self.fault(name, When::Before)?;
        let value = write.await?;
        self.fault(name, When::After)?;
        Ok(value)
    }

    /// Gives the action's node the status that it has while it is worked on, as
    /// a step.
    ///
    /// # Errors
    /// As [`Self::record`].
    pub async fn mark(&self, name: &'static str, status: NodeStatus, reason: &str) -> Result<(), Failure> {
        let mark = Mark {
            fence: self.fence,
            status,
            reason: reason.to_owned(),
        };
        self.record(name, self.many(|many| &many.marks, mark)).await
    }

    /// Ends the action and changes its node; a member's own gives its cluster the
    /// status that is then true. Returns the parents to wake.
    ///
    /// # Errors
    /// [`DbError::LeaseLost`] when it is no longer ours.
    pub async fn finish(&self, end: End, change: NodeChange) -> Result<Vec<ActionId>, DbError> {
        if let Some(cluster) = self.action.cluster_id.filter(|_| self.is_members_own()) {
            let kind = self.action.kind.as_str();
            return members::finish_member(&mut self.conn(), self.fence, &end, Some(&change), cluster, kind).await;
        }
        let end = NodeEnd {
            fence: self.fence,
            end,
            change,
        };
        self.many(|many| &many.ends, end).await
    }

    /// Carries a call out, together with what other workers do at the moment.
    ///
    /// # Errors
    /// Its own; [`DbError::LeaseLost`] once the work is to stop.
    pub(crate) async fn many<C: Call>(
        &self,
        of: impl Fn(&Many) -> &Together<C> + Send,
        call: C,
    ) -> Result<C::Answer, DbError> {
        let engine = &self.engine;
        of(&engine.many).call(&engine.db, call, &self.signals.abandon).await
    }

    /// An effect on a host, as a step.
    ///
    /// # Errors
    /// The interrupt, or the effect's own error.
    pub async fn act<T>(
        &self,
        name: &'static str,
        effect: impl Future<Output = Result<T, ProfileError>> + Send,
    ) -> Result<T, Failure> {
        step(self, name, async { effect.await.map_err(Failure::from) }).await
    }

    /// The job of a profile's verb.
    #[must_use]
    pub fn job<'a>(
        &'a self,
        node: &'a Node,
        loaded: &'a LoadedProfile,
        driver: Arc<dyn ContainerDriver>,
        steps: &'a dyn Steps,
    ) -> Job<'a> {
        Job {
            node,
            properties: &loaded.properties,
            driver,
            action: self.action.id,
            attempt: self.action.attempt,
            owner: &self.engine.installation,
            rules: &self.engine.settings.rules,
            interface: self.engine.interface(),
            steps,
        }
    }

    fn fault(&self, step: &'static str, when: When) -> Result<(), Interrupt> {
        match self.engine.faults.at(self.action.kind, step, when) {
            Fault::None => Ok(()),
            Fault::Error => Err(Interrupt::Injected(step)),
            Fault::Crash => Err(Interrupt::LeaseLost),
        }
    }

    /// Why the work is to stop, if it is.
    pub(crate) fn interrupted(&self) -> Result<(), Interrupt> {
        if self.signals.abandon.is_cancelled() {
            Err(Interrupt::LeaseLost)
        } else if self.signals.cancel.is_cancelled() {
            Err(Interrupt::Cancelled)
        } else if Instant::now() >= self.deadline {
            Err(Interrupt::TimedOut)
        } else {
            Ok(())
        }
    }

    /// Seconds since the action first began, by the database's clock.
    #[must_use]
    pub fn elapsed(&self) -> f64 {
        let left = self.deadline.saturating_duration_since(Instant::now());
        f64::from(self.action.timeout) - left.as_secs_f64()
    }

    /// The name of a child: `node_create_1a2b3c4d`.
    #[must_use]
    pub fn child_name(kind: ActionKind, node: NodeId) -> String {
        format!("{}_{}", kind.as_str().to_lowercase(), node.short())
    }

    /// Whether the action is to end because a user said so or its time is up,
    /// with the status and reason it then gets.
    #[must_use]
    pub fn ending(&self) -> Option<(ActionStatus, String)> {
        if self.signals.cancel.is_cancelled() {
            Some((ActionStatus::Cancelled, "The action was cancelled.".to_owned()))
        } else if Instant::now() >= self.deadline {
            Some((
                ActionStatus::Failed,
                format!("The action timed out after {} seconds.", self.action.timeout),
            ))
        } else {
            None
        }
    }
}

#[async_trait::async_trait]
impl Steps for Ctx {
    async fn before(&self, name: &'static str) -> Result<(), Interrupt> {
        self.interrupted()?;
        self.fault(name, When::Before)
    }

    async fn after(&self, name: &'static str) -> Result<(), Interrupt> {
        self.fault(name, When::After)
    }

    async fn stopped(&self) -> Interrupt {
        tokio::select! {
            () = self.signals.abandon.cancelled() => Interrupt::LeaseLost,
            () = self.signals.cancel.cancelled() => Interrupt::Cancelled,
            () = tokio::time::sleep_until(self.deadline) => Interrupt::TimedOut,
        }
    }
}

/// Steps of a clean-up: they can crash in tests, but neither a user's cancel
/// nor the action's own timeout keeps them from tidying up; only this bound does.
pub struct CleanUp<'a> {
    ctx: &'a Ctx,
    until: Instant,
}

impl<'a> CleanUp<'a> {
    /// A clean-up of at most `seconds`.
    #[must_use]
    pub fn new(ctx: &'a Ctx, seconds: u64) -> Self {
        Self {
            ctx,
            until: Instant::now() + Duration::from_secs(seconds),
        }
    }
}

#[async_trait::async_trait]
impl Steps for CleanUp<'_> {
    async fn before(&self, name: &'static str) -> Result<(), Interrupt> {
        if self.ctx.signals.abandon.is_cancelled() {
            return Err(Interrupt::LeaseLost);
        }
        self.ctx.fault(name, When::Before)
    }

    async fn after(&self, name: &'static str) -> Result<(), Interrupt> {
        self.ctx.fault(name, When::After)
    }

    async fn stopped(&self) -> Interrupt {
        tokio::select! {
            () = self.ctx.signals.abandon.cancelled() => Interrupt::LeaseLost,
            () = tokio::time::sleep_until(self.until) => Interrupt::TimedOut,
        }
    }
}

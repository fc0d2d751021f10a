//! How tests drive an engine step by step: each of its loops, once.

use std::{sync::Arc, time::Duration};

use senlin_core::ids::NodeId;
use senlin_db::{DbError, bindings, hooks, loads};

use crate::{
    Engine,
    actions::context::Failure,
    queue::lease,
    tasks::{health, hooks as questions, load, target_tracking},
};

/// More than any test has.
const ALL: i64 = 10_000;

impl Engine {
    /// Measures every host.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn measure_all(self: &Arc<Self>) -> Result<(), DbError> {
        let due = loads::due(&mut self.db.session(), 0.0, ALL).await?;
        for host in due {
            load::measure(self.clone(), host).await;
        }
        Ok(())
    }

    /// Sweeps every cluster with a health policy that is due.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn sweep_health(self: &Arc<Self>) -> Result<usize, DbError> {
        let taken = health::sweep::take(self, usize::MAX).await?;
        let count = taken.len();
        health::sweep::sweep(self.clone(), taken).await;
        Ok(count)
    }

    /// Something happened to a node's container.
    ///
    /// # Errors
    /// When it could not be looked at.
    pub async fn examine(self: &Arc<Self>, node: NodeId) -> Result<(), Failure> {
        health::examine(self, node, false).await
    }

    /// Compares what a host has with what is known of it.
    ///
    /// # Errors
    /// When it could not be asked.
    pub async fn compare(self: &Arc<Self>, host: NodeId) -> Result<(), Failure> {
        health::watch::compare(self, host).await
    }

    /// Sends every lifecycle question that has not been sent.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn ask_all(self: &Arc<Self>) -> Result<(), DbError> {
        let found = hooks::unsent(&mut self.db.session(), ALL, 0.0).await?;
        for question in found {
            questions::send(self.clone(), question).await;
        }
        Ok(())
    }

    /// Looks at every target that is due.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn track_all(self: &Arc<Self>) -> Result<(), DbError> {
        let due = bindings::due(&mut self.db.session(), target_tracking::TYPE, 0.0, ALL).await?;
        for one in due {
            target_tracking::look(self.clone(), one).await;
        }
        Ok(())
    }

    /// Looks for what this engine owns and does not work on.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn hand_back_strays(self: &Arc<Self>) -> Result<(), DbError> {
        lease::release_strays(self, Duration::ZERO).await
    }

    /// Claims that are worked on.
    #[must_use]
    pub fn working_on(&self) -> usize {
        self.running.len()
    }

    /// The plan of an action, as the API asks for it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn plan(self: &Arc<Self>, body: &senlin_core::Map) -> Result<serde_json::Value, Failure> {
        crate::decisions::plan::plan(self, body).await
    }
}

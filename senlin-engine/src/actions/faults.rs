//! Where tests make an action fail or crash.

use senlin_core::action::ActionKind;

/// Before a step is taken, or after its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "plain words")]
pub enum When {
    Before,
    After,
}

/// What happens there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// The step fails.
    Error,
    /// The engine dies: nothing more is written.
    Crash,
}

/// Asked at every step of every action.
pub trait Faults: Send + Sync {
    /// What happens at this step.
    fn at(&self, kind: ActionKind, step: &'static str, when: When) -> Fault;
}

/// Production: nothing happens.
#[derive(Debug, Clone, Copy)]
pub struct NoFaults;

impl Faults for NoFaults {
    fn at(&self, _: ActionKind, _: &'static str, _: When) -> Fault {
        Fault::None
    }
}

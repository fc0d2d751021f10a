//! Faults that strike at one step.

use std::sync::{Arc, Mutex};

use senlin_core::action::ActionKind;
use senlin_engine::actions::faults::{Fault, Faults, When};

/// A fault at one step, once.
pub(crate) struct Once {
    pub(crate) at: usize,
    pub(crate) fault: Fault,
    seen: Mutex<(usize, Option<(ActionKind, &'static str, When)>)>,
}

impl Once {
    pub(crate) fn new(at: usize, fault: Fault) -> Arc<Self> {
        Arc::new(Self {
            at,
            fault,
            seen: Mutex::default(),
        })
    }

    /// How many steps were passed, and where it struck.
    pub(crate) fn seen(&self) -> (usize, Option<(ActionKind, &'static str, When)>) {
        *self.seen.lock().unwrap()
    }
}

impl Faults for Once {
    fn at(&self, kind: ActionKind, step: &'static str, when: When) -> Fault {
        let mut seen = self.seen.lock().unwrap();
        seen.0 += 1;
        if seen.0 == self.at {
            seen.1 = Some((kind, step, when));
            return self.fault;
        }
        Fault::None
    }
}

/// A fault at the n-th time that a step is taken.
pub(crate) struct AtStep {
    pub(crate) kind: ActionKind,
    pub(crate) step: &'static str,
    pub(crate) when: When,
    pub(crate) fault: Fault,
    left: Mutex<usize>,
}

impl AtStep {
    pub(crate) fn new(kind: ActionKind, step: &'static str, when: When, fault: Fault) -> Arc<Self> {
        Self::nth(1, kind, step, when, fault)
    }

    pub(crate) fn nth(n: usize, kind: ActionKind, step: &'static str, when: When, fault: Fault) -> Arc<Self> {
        let left = Mutex::new(n);
        Arc::new(Self {
            kind,
            step,
            when,
            fault,
            left,
        })
    }

    pub(crate) fn struck(&self) -> bool {
        *self.left.lock().unwrap() == 0
    }
}

impl Faults for AtStep {
    fn at(&self, kind: ActionKind, step: &'static str, when: When) -> Fault {
        let mut left = self.left.lock().unwrap();
        if *left == 0 || (kind, step, when) != (self.kind, self.step, self.when) {
            return Fault::None;
        }
        *left -= 1;
        if *left == 0 { self.fault } else { Fault::None }
    }
}

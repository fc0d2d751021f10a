//! Statements that must be one: one file each.

pub(crate) mod answer_hook;
pub(crate) mod list_deliveries;
pub(crate) mod read_host_load;
pub(crate) mod record_host_load;
pub(crate) mod record_node_loads;
pub(crate) mod reschedule_bindings;
pub(crate) mod take_due_bindings;
pub(crate) mod take_unsent_questions;
pub(crate) mod time_out_hooks;

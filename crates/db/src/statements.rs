//! Statements that must be one: one file each.

pub(crate) mod answer_hook;
pub(crate) mod ask_end;
pub(crate) mod cancel_tree;
pub(crate) mod end_hopeless;
pub(crate) mod hand_back;
pub(crate) mod hand_back_all;
pub(crate) mod judge_containers;
pub(crate) mod list_deliveries;
pub(crate) mod list_partitions;
pub(crate) mod lock_tree;
pub(crate) mod move_ended;
pub(crate) mod promote_parents;
pub(crate) mod read_host_load;
pub(crate) mod record_host_load;
pub(crate) mod record_node_loads;
pub(crate) mod renew_leases;
pub(crate) mod requeue_action;
pub(crate) mod reschedule_bindings;
pub(crate) mod select_actions;
pub(crate) mod take_due_bindings;
pub(crate) mod take_unsent_questions;
pub(crate) mod time_out_hooks;
pub(crate) mod wake_parents;

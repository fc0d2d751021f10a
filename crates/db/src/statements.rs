//! Statements that must be one: one file each.

pub(crate) mod count_nodes_of_project;
pub(crate) mod delete_receiver;
pub(crate) mod settle_restored_events;

//! Statements that must be one: one file each.

pub(crate) mod add_ports;
pub(crate) mod begin_attempt;
pub(crate) mod delay_action;
pub(crate) mod insert_actions;
pub(crate) mod insert_nodes;
pub(crate) mod join_cluster;
pub(crate) mod list_members;
pub(crate) mod park_action;
pub(crate) mod settle_attempt;
pub(crate) mod take_attempts;

//! Statements that must be one: one file each.

pub(crate) mod ask_end;
pub(crate) mod cancel_tree;
pub(crate) mod end_hopeless;
pub(crate) mod hand_back;
pub(crate) mod hand_back_all;
pub(crate) mod judge_containers;
pub(crate) mod list_partitions;
pub(crate) mod lock_tree;
pub(crate) mod move_ended;
pub(crate) mod promote_parents;
pub(crate) mod renew_leases;
pub(crate) mod requeue_action;
pub(crate) mod select_actions;
pub(crate) mod wake_parents;

//! Statements that must be one: one file each.

pub(crate) mod hold_back_recovery;
pub(crate) mod keep_ports;
pub(crate) mod leave_host;
pub(crate) mod look_again;
pub(crate) mod look_at_hosts;
pub(crate) mod note_silence;
pub(crate) mod observe_member;
pub(crate) mod occupy_place;
pub(crate) mod record_answer;
pub(crate) mod record_places;
pub(crate) mod take_endpoint;
pub(crate) mod watch_hosts;

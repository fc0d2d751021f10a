//! The queue: what is claimed, how long it is held, how it runs, and what
//! happens to what nobody holds any more.

pub mod dispatcher;
pub mod lease;
pub(crate) mod many;
pub(crate) mod running;
pub mod sweeper;
pub(crate) mod together;
pub mod worker;
